//! A partition on this node: the actor of its replica, and the handle through which requests see it.
//!
//! ```text
//!   produce ──> PartitionHandle ──cast──> ReplicaActor ──> journal
//!   fetch ────> view, tail, store         └── publishes the view, fills the tail, wakes waiters and feeds
//!   feed ─────> view, tail, store (`feeding.rs`), up to the log's end
//! ```
//!
//! Messages stand apart from the actor, so that the handle does not import the actor, which imports it. Both decide
//! nothing about the log; `callboard_core::partition` does.

mod feeding;
mod feeds;
mod handle;
mod messages;
mod replica;
mod tail;
mod tails;
mod waiters;

pub use feeds::Fed;
pub use handle::PartitionHandle;
pub use messages::{Appending, Heard, Mark, Received, ReplicaMsg};
pub use replica::{OnOpened, OnSpent, OnUnable, OnWish, ReplicaActor, ReplicaArgs};
pub use tail::Tail;
pub use tails::TailBudget;
pub use waiters::{Waiter, Waiters};
