//! The store: a journal that makes acknowledgements cheap, in front of redb, the home of everything.
//!
//! An acknowledgement costs one write and one sync of a journal that all partitions of a shard share. Later, off that
//! path, the settler moves what was written into redb. The files stand in five wings, and a wing imports only wings below:
//!
//! ```text
//!   store/    the data directory: identity, recovery, opening
//!   shard/    one shard at work: the engine, its threads, reading, room on the disk
//!   settled/  redb: rows, transactions, settle windows
//!   journal/  segments, groups of entries, runs that are not settled yet
//!   disk/     the disk as a port, and the real one      beside them: readers.rs, metrics.rs, sample.rs, scrape.rs
//! ```
//!
//! The store moves bytes; it decides nothing. `callboard_core::storage` decides what is torn, what a replica is, and what
//! to settle and recycle.

pub mod disk;
mod journal;
pub mod metrics;
mod readers;
mod sample;
pub mod scrape;
mod settled;
mod shard;
mod store;

pub use disk::fault::ShardFault;
pub use disk::real::RealDisk;
pub use disk::reserve::Reserve;
pub use readers::Readers;
pub use settled::backend::Backend;
pub use shard::engine::{Engine, EngineOptions};
pub use shard::handle::ShardHandle;
pub use shard::inner::OnFault;
pub use store::error::StoreError;
pub use store::identity::{Forming, Identity, StoredVerdict};
pub use store::open::{Opened, Recovered, Store, StoreOptions, hold};

#[cfg(test)]
mod tests;
