//! What is settled: the rows of `store.redb`, and the transactions that write them.

pub(in crate::storage) mod backend;
pub(in crate::storage) mod db;
pub(in crate::storage) mod heads;
pub(in crate::storage) mod part;
pub(in crate::storage) mod rows;
pub(in crate::storage) mod spans;
pub(in crate::storage) mod tx;
pub(in crate::storage) mod window;
