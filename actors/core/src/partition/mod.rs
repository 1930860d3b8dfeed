//! Partition machines: the leader, what it shows, and the producers it knows.

mod epochs;
mod leader;
mod producers;
mod view;

#[cfg(test)]
mod leader_tests;

pub use epochs::{end_offset_for, epoch_at};
pub use leader::{Acks, Appended, Effect, Event, Input, LeaderConfig, LeaderMachine, LeaderStart};
pub use producers::{Judgement, ProducerTable, ProducersError, Written};
pub use view::{Role, View};
