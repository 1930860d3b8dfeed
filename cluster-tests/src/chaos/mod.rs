//! Nodes of one cluster die, and meet other faults, under a verified load, and no acknowledged record may be lost.
//!
//! ```text
//!   options  what a user chooses: kills, seed, nodes, durability, partitions, pace
//!   cluster  the nodes as processes, their ids and logs; which of them is the controller's
//!   map      where partitions are led, asked of any node over the Kafka port
//!   work     the load: starts lanes and members of a group, waits for them, gathers what they leave
//!   shared   what they share: counters, times of all acknowledgements, marks of the group
//!   lane     one idempotent producer to one partition, which follows the leader
//!   member   one member of the group: it reads, commits, and never finds its place moved back
//!   reader   one consumer with assigned partitions, and the final read of all
//!   recorder what all clients did, as a history for the checker
//!   keep     the history and the timeline as files
//!   promise  what the group was promised, held against what the coordinator says
//!   tape     times of acknowledgements, and the longest gap within a span of time
//!   round    one kill: the victim, the wait, the restart, the full ISR again
//!   tally    acknowledged, lost and duplicated records of each round
//!   report   the table and the summary
//!   bench    a cluster on the wire (`src/wire`) and on disks of its own, for faults that are no kills
//!   machine  what this machine allows; disk: ext4 on a loop device; reboot: the boot behind a power cut
//!   fault    a fault by its id; faults/: all of them; plan: a list of plays from a user's words
//!   suite    plays them one after the other; stage: the cluster between plays; act: one play; seen: its figures
//!   run      all of it, from the first start to the verdict
//! ```
//!
//! `process/verdict.rs` judges at the end, as it does for one node, and so does the checker of `history`. Nothing here looks into a node: all that it knows
//! comes from the Kafka port and from the log. Limits are guards against a hang; no time is asserted.

mod act;
mod bench;
mod cluster;
mod disk;
mod fault;
pub mod faults;
mod keep;
mod lane;
mod machine;
pub mod map;
mod member;
mod options;
mod plan;
mod promise;
mod reader;
mod reboot;
mod recorder;
mod report;
mod round;
mod run;
mod seen;
mod shared;
mod stage;
pub mod suite;
mod tally;
mod tape;
mod work;

pub use bench::Bench;
pub use cluster::Cluster;
pub use fault::{Fault, Promise};
pub use machine::Need;
pub use map::Map;
pub use options::{Options, TOPIC};
pub use report::{Kind, Report, Round};
pub use round::{STUCK, fire, outage};
pub use run::{finish, run};
pub use work::Work;
