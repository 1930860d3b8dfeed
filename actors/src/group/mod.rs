//! Consumer groups on this node: one coordinator a led partition of `__consumer_offsets`, one actor a group.
//!
//! ```text
//!   request ─ Coordinators (by the group's hash) ─> CoordinatorActor ─> GroupActor: GroupMachine
//!                                                        ^  Store           │
//!                           partition's leader <─ batch ─┘<─────────────────┘     Stored ─> Answer
//! ```
//!
//! A request goes through the coordinator, so that it knows whether a group's actor may go. A coordinator or a group
//! that fails is started again and replays the log.

mod actor;
mod coordinator;
mod io;
mod lag;
mod messages;
mod supervisor;
mod table;

pub use lag::{GroupLag, LagReader};
pub use messages::CoordinatorsMsg;
pub use supervisor::{CoordinatorsActor, CoordinatorsArgs};
pub use table::Coordinators;
