//! Consumer groups (the classic protocol, KIP-62, -134, -345, -394, -429): the machine of one group, its vocabulary,
//! and what `__consumer_offsets` holds of it.
//!
//! ```text
//!   request ──> GroupMachine ──> Store(records) ─ ─ coordinator: gathered, appended, committed ─ ─> Stored ──> Answer
//! ```

pub mod coordinator;
pub mod load;
pub mod messages;
pub mod record;

pub use messages::{Answer, Effect, GroupConfig, GroupState, Input, Summary};
pub use record::{GroupRecord, GroupValue, MemberValue, OffsetValue};
