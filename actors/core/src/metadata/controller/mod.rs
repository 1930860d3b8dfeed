//! The controller: the one place that decides metadata.
//!
//! `machine.rs` takes asks and proposes records, in the words of `messages.rs`. Each other file decides one kind of
//! ask on the ground of `basis.rs`. The shell and the metadata log stand in other packages.

mod alter;
mod basis;
mod create;
mod isr;
mod machine;
mod messages;
mod partitions;
mod register;

#[cfg(test)]
mod messages_tests;

pub use basis::TopicDefaults;
pub use machine::ControllerMachine;
pub use messages::{
    Alteration, Ask, ConfigOp, CreatedTopic, DeleteOutcome, Effect, Input, MorePartitions, NewTopic,
    PARTITIONS_MAX, PRODUCER_ID_BLOCK, Refusal, Reply, ResourceKind, TopicOutcome, TopicRef,
};
