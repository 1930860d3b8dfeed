//! The controller: decides metadata where the metadata log leads.

mod alter;
mod create;
mod machine;
mod messages;
mod partitions;

pub use machine::{ControllerMachine, TopicDefaults};
pub use messages::{
    Alteration, ConfigOp, Effect, Input, MorePartitions, NewTopic, PARTITIONS_MAX, PRODUCER_ID_BLOCK,
    Refusal, Reply, ResourceKind, TopicOutcome, TopicRef,
};
