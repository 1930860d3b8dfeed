//! The controller: the one place that decides metadata.
//!
//! `machine.rs` takes asks and judgements and proposes records, in the words of `messages.rs`; `pending.rs` keeps what it
//! has proposed, within the bounds of `room.rs`. `decide.rs` hands each ask to the file that decides its kind on the ground of `basis.rs`. The shell and the metadata log stand in other packages.

mod alter;
mod basis;
mod create;
mod decide;
mod elect;
mod election;
mod eligible;
pub mod forward;
mod isr;
mod judged;
mod machine;
mod messages;
mod partitions;
mod pending;
mod place;
mod register;
mod returned;
mod room;

#[cfg(test)]
mod messages_tests;

pub use basis::TopicDefaults;
pub use machine::ControllerMachine;
pub use messages::{
    Alteration, Ask, ConfigOp, CreatedTopic, DeleteOutcome, Effect, Elected, Election, Input, MorePartitions,
    NewTopic, PARTITIONS_MAX, PRODUCER_ID_BLOCK, Refusal, Reply, ResourceKind, TopicOutcome, TopicRef,
};
