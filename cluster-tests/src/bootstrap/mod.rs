//! An exhaustive search of how a cluster forms (RELIABILITY §7, I21): every order of probes, questions, answers, writes,
//! crashes and emptied directories within bounds, over the machine that will run.
//!
//! ```text
//!   local.rs   one node: the real machine, its directory, and each of its steps made once
//!   world.rs   all nodes, the messages between them, Raft in one sentence, every next step
//!   check.rs   what must hold            search.rs   breadth first, and how each state ends without faults
//! ```
//! Raft is: a node that holds a log leads if a quorum of its living voters would elect it; a leader's log grows on
//! others; `Cluster` is committed when a quorum holds it. A message stays for ever and may come again. A process that
//! died starts again at once, since one that is down does nothing.

pub mod check;
pub mod local;
pub mod search;
pub mod world;

pub use check::Violation;
pub use search::{Report, search};
pub use world::{Bounds, Probes};
