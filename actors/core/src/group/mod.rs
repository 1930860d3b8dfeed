//! Consumer groups (the classic protocol, KIP-62, -134, -345, -394, -429).
//!
//! A group's members share the partitions of topics, and the group remembers how far they have read. Each group is one
//! machine; every change that must survive is a record that its coordinator stores first.
//!
//! ```text
//!   request ──> GroupMachine ──> Store(records) ─ ─ coordinator: gathered, appended, committed ─ ─> Stored ──> Answer
//! ```
//!
//! `machine.rs` names the files of the machine, `messages.rs` its words, `record.rs` the records of `__consumer_offsets`.
//! `log.rs` tells the coordinator what a record replaces. How records are gathered and loaded is in `coordinator/`.

mod answers;
mod commits;
mod expiry;
mod join;
mod log;
mod machine;
mod members;
pub mod messages;
mod offsets;
mod rebalance;
pub mod record;
mod replay;
mod state;
mod stored;
mod subscription;
mod sync;
pub mod topics;
mod write;

#[cfg(test)]
mod tests;

pub use messages::{Answer, Effect, GroupConfig, GroupState, Input, Summary};
pub use record::{GroupRecord, GroupValue, MemberValue, OffsetValue};
pub use state::GroupMachine;
