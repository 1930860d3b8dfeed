//! A coordinator: who keeps the state of many small things (groups, later transactions) in the log of one partition.
//!
//! The state of a consumer group must survive the node that keeps it, so every change of it is a record in a partition
//! of an internal topic, and whoever leads that partition coordinates the group. All of this is the same for every kind
//! of thing that is kept so. The things are called *entities* here; a module of their own (`group/`) says what they do.
//!
//! ```text
//!   roster.rs   a node leads some partitions of the topic: which coordinators to start, to let go, to start again
//!   place.rs    entity ──> number of its partition
//!   epoch.rs    one leadership: Loading ──> Serving ──> Draining | Ended
//!   load.rs     the partition's log ──> the newest record of each key, entity by entity
//!   gather.rs   stores of many entities ──> one batch
//!   rewrite.rs  a long log ──> all live state once more, and a new log start
//!   machine.rs  the machine of one coordinator, out of the four above; its words in messages.rs
//! ```
//!
//! A coordinator does not know what an entity is: it sees tickets, sizes, and records by [`load::LogRecord`].

pub mod epoch;
pub mod gather;
pub mod load;
mod machine;
mod messages;
mod place;
mod rewrite;
pub mod roster;

pub use machine::CoordinatorMachine;
pub use messages::{CoordinatorConfig, Effect, Input};
pub use place::partition_of;
