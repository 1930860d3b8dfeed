//! Partition machines: the leader, what it shows, and the producers it knows.

mod divergence;
mod epochs;
mod leader;
mod messages;
mod producers;
mod retention;
mod view;
mod waits;

#[cfg(test)]
mod leader_tests;
#[cfg(test)]
mod producers_tests;

pub use divergence::diverging;
pub use epochs::{epoch_at, last_offset_for, trim_epochs};
pub use leader::LeaderMachine;
pub use messages::{Acks, Appended, Effect, Event, Input, LeaderConfig, LeaderStart};
pub use producers::{ActiveProducer, Forgotten, Judgement, ProducerTable, ProducersError, Written};
pub use view::{Role, View};
