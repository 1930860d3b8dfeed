//! What is settled: the rows of `store.redb`, and the transactions that write them.
//!
//! Redb is the home of everything but the newest entries. [`state::Settled`] owns the database and the position up to which
//! it holds the journal; a settle window moves that position on. This wing reads the journal and never writes it, and it
//! leaves to the shard what an error of redb means.

pub mod backend;
pub mod db;
pub mod heads;
pub mod part;
pub mod rows;
pub mod spans;
pub mod state;
pub mod tables;
pub mod tx;
pub mod window;
