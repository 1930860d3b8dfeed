//! A partition, as this node has it: the actor of its replica, and the handle through which everyone else sees it.
//!
//! ```text
//!   produce ──> PartitionHandle ──cast──> ReplicaActor ──> journal
//!   fetch ────> view, tail, store         └── publishes the view, fills the tail, wakes the waiters
//! ```

mod handle;
mod messages;
mod replica;
mod tail;
mod tails;
mod waiters;

pub use handle::PartitionHandle;
pub use messages::{Appending, ReplicaMsg};
pub use replica::{OnOpened, ReplicaActor, ReplicaArgs};
pub use tail::Tail;
pub use tails::TailBudget;
pub use waiters::{Waiter, Waiters};
