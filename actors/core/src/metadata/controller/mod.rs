//! The controller: the one place that decides metadata. `machine.rs` takes asks and proposes records; `messages.rs` is
//! its vocabulary; the other files decide one kind of ask each.

mod alter;
mod basis;
mod create;
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
