//! A partition, as this node has it: the actor that leads it, and the handle through which everyone else sees it.

mod handle;
mod leader;
mod tail;
mod waiters;

pub use handle::{Appending, PartitionHandle};
pub use leader::{LeaderActor, LeaderArgs, LeaderMsg, LeaderOrigin};
pub use tail::{Tail, TailBudget};
pub use waiters::{Waiter, Waiters};
