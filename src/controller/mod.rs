//! The metadata log, as an adapter behind the port `MetadataLog`.
//!
//! ```text
//!   single.rs   a node alone: redb, no other node        worker.rs  its thread      rows.rs  its rows
//!   raft/       a node of a cluster: openraft over redb  file.rs    what both know of `meta.redb`
//!   offline.rs  either of them while the node does not run                    kept.rs    what they hold then
//! ```
//! An adapter stores and orders records; the controller decides them.

mod file;
mod kept;
mod offline;
pub mod raft;
mod rows;
mod single;
mod worker;

pub use file::OpenError;
pub use kept::Kept;
pub use offline::{kept, sole_voter};
pub use raft::{Limits, RaftLog, RaftStatus};
pub use single::{SINGLE_TERM, SingleLog};
