//! The store: a journal that makes acknowledgements cheap, in front of redb, the home of everything.
//!
//! ```text
//!   shard.rs      queues, the port's implementation         threads.rs   what a shard's threads do
//!   engine.rs     one shard without threads ── writer.rs · settle.rs · read.rs · times.rs · rebuild.rs
//!   recovery.rs   look (scan.rs), say, change           store.rs   the data directory, all shards, identity
//!   index.rs      runs in memory              db.rs · spans.rs · rows.rs   redb   segment.rs   journal files
//!   space.rs      room on the disk              reserve.rs   a file that is given back when it is full
//!   disk.rs       the port below: the real disk, or the crash backend of the tests
//! ```
//!
//! What is torn, what a replica is, what to settle and recycle is decided in `callboard_core::storage`.

mod backend;
mod batches;
mod db;
pub mod disk;
pub mod engine;
mod error;
mod evacuate;
mod gate;
mod gather;
mod heads;
pub mod identity;
mod index;
pub mod metrics;
mod part;
mod read;
mod readers;
mod real_disk;
mod rebuild;
mod recovery;
mod reserve;
mod rows;
mod scan;
mod scrub;
mod segment;
mod settle;
pub mod shard;
mod space;
mod spans;
pub mod store;
mod threads;
mod times;
mod tx;
mod writer;

pub use backend::Backend;
pub use engine::{Engine, EngineOptions};
pub use error::{ShardFault, StoreError};
pub use readers::Readers;
pub use real_disk::RealDisk;
pub use reserve::Reserve;
pub use shard::ShardHandle;
pub use store::{Opened, Recovered, Store, StoreOptions};

#[cfg(test)]
mod descriptor_tests;
#[cfg(test)]
mod producers_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod times_tests;
