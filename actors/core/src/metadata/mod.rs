//! Metadata: committed records, the image they add up to, the controller that decides them.

pub mod configs;
pub mod controller;
mod image;
mod names;
mod record;

#[cfg(test)]
mod alter_tests;
#[cfg(test)]
mod controller_tests;

pub use controller::{
    Alteration, ConfigOp, ControllerMachine, MorePartitions, NewTopic, Refusal, ResourceKind, TopicDefaults,
    TopicRef,
};
pub use image::{Broker, Image, Partition, Topic};
pub use names::{OFFSETS_TOPIC, check_name, collide, is_internal};
pub use record::{ConfigOf, MetadataRecord};
