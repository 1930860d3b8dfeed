//! An exhaustive search of restarts (RELIABILITY R19 and its neighbours): every order of appends, syncs, acknowledgements,
//! deaths, lost and old directories, registrations, fencing, elections and ISR changes, within bounds.
//!
//! ```text
//!   disk.rs    a directory: its journal, and what its identity file keeps     start.rs  what a start makes of it
//!   rule.rs    the controller's words, and its rule on paper (R8–R12, R46, R47)
//!   real.rs    the same through `ControllerMachine` and `Image::apply`
//!   world.rs   all nodes, every next step           node.rs    what a step does to nodes and to the controller
//!   data.rs    replication: what a leader counts, what a follower takes
//!   check.rs   what must hold                       search.rs  breadth first, and how each state ends without faults
//! ```
//! There is one partition, and its replicas are on all nodes. Each step is atomic, and any of them may come late: a
//! leader counts by the image that it saw last. The world keeps no gossip, no Raft and no clock.

pub mod check;
mod data;
pub mod disk;
mod node;
mod real;
pub mod rule;
pub mod search;
mod start;
mod violation;
pub mod world;

pub use rule::{Planted, Rule};
pub use search::{Report, search};
pub use violation::Violation;
pub use world::{Bounds, Copies, Fault};
