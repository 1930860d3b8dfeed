//! Partition machines: one replica with its log and its role, its published view, and the producers it knows.
//!
//! ```text
//!   ReplicaMachine ── role ──> Leader ── appends ──> LocalLog (ends, epochs, producers)
//!         └── publishes ──> View              └── Journal(entry) ──> the shell
//! ```
//!
//! The log outlives roles, so a change of role loses no state of the log. The machines see heads and tickets; bytes
//! and replies stay in the shell of `callboard-actors`.

mod config;
mod divergence;
mod epochs;
mod leader;
mod log;
mod messages;
mod producers;
mod replica;
mod replication;
mod retention;
mod view;
mod waits;

#[cfg(test)]
mod producers_tests;
#[cfg(test)]
mod replica_tests;

pub use config::ReplicaConfig;
pub use divergence::diverging;
pub use epochs::{epoch_at, last_offset_for, trim_epochs};
pub use log::{LocalLog, LogStart};
pub use messages::{Acks, Appended, Assigned, AssignedRole, Effect, Event, Input, TrimTo};
pub use producers::{ActiveProducer, Forgotten, Judgement, ProducerTable, ProducersError, Written};
pub use replica::ReplicaMachine;
pub use replication::{Ack, Answer, Continuity, Group, Member, Part, Position, PositionNumber, RefusedFor};
pub use view::{Role, View};
