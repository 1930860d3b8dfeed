//! Consumer groups (the classic protocol, KIP-62, -134, -345, -394, -429): the machine of one group, its vocabulary,
//! and what `__consumer_offsets` holds of it.
//!
//! ```text
//!   request ──> GroupMachine ──> Store(records) ─ ─ coordinator: gathered, appended, committed ─ ─> Stored ──> Answer
//! ```

mod commits;
mod expiry;
mod join;
mod machine;
mod members;
pub mod messages;
mod offsets;
mod rebalance;
pub mod record;
mod replay;
mod stored;
mod subscription;
mod sync;

#[cfg(test)]
mod tests;

pub use machine::GroupMachine;
pub use messages::{Answer, Effect, GroupConfig, GroupState, Input, Summary};
pub use record::{GroupRecord, GroupValue, MemberValue, OffsetValue};
