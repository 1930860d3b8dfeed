//! Log, vote and snapshot of one voter in `meta.redb`.
//!
//! ```text
//!   raft_log   index → crc32c · version · entry (JSON)
//!   raft_meta  "node", "vote", "committed", "purged", "snapshot" → crc32c · version · value (JSON)
//!
//!   log.rs, snapshot.rs ── changes in order ──> writer.rs (one thread) ──> file.rs ──> redb
//!   log.rs <── the newest entries, the vote, the positions ── view.rs
//! ```
//! One thread owns every write. Vote, log, purge and snapshot pass through its one queue, so their order on disk is the
//! order of the calls. `load.rs` reads the whole file at a start and refuses what is torn, rotten or of another node.
//! Nothing here knows what a record means.

mod file;
mod load;
mod log;
pub mod rows;
mod snapshot;
#[cfg(test)]
mod tests;
mod view;
mod writer;

pub use file::File;
pub use load::{Loaded, Stored, load, make};
pub use log::{Leading, LogStore};
pub use snapshot::SnapshotStore;
pub use view::View;
pub use writer::Writer;
