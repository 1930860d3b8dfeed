//! Partition machines: one replica with its log and its role, its published view, and the producers it knows.
//!
//! ```text
//!   ReplicaMachine ── role ─┬─> Leader ── appends ──> LocalLog (ends, epochs, producers)
//!         │                 │     └─ Followers (progress, ISR) ── Feed(cursor) ──> parts for each follower
//!         │                 └─> Follower ── parts ──> LocalLog, Ack
//!         └── publishes ──> View              └── Journal(entry) ──> the shell
//! ```
//!
//! The log outlives roles, so a change of role loses no state of the log. The machines see heads and tickets; bytes
//! and replies stay in the shell of `callboard-actors`.

mod config;
mod cut_off;
mod divergence;
mod epochs;
mod feed;
mod follower;
mod followers;
mod held;
mod isr;
mod leader;
mod log;
mod messages;
mod producers;
mod progress;
mod replica;
mod replicating;
mod replication;
mod retention;
mod upkeep;
mod view;
mod waits;

#[cfg(test)]
mod cut_off_tests;
#[cfg(test)]
mod divergence_tests;
#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod producers_tests;
#[cfg(test)]
mod replica_tests;
#[cfg(test)]
mod replicating_tests;

pub use config::ReplicaConfig;
pub use divergence::diverging;
pub use epochs::{end_of_epoch, epoch_at, last_offset_for, trim_epochs};
pub use feed::{Cursor, Next};
pub use followers::Followers;
pub use log::{LocalLog, LogStart};
pub use messages::{Acks, Appended, Assigned, AssignedRole, Beginning, Effect, Event, Input, TrimTo};
pub use producers::{ActiveProducer, Forgotten, Judgement, ProducerTable, ProducersError, Written};
pub use replica::ReplicaMachine;
pub use replication::{Ack, Answer, Continuity, Group, Member, Part, Position, PositionNumber, RefusedFor};
pub use view::{Role, View};
