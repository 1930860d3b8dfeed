//! Metadata: committed records, the image they add up to, the controller that decides them, what they mean for a node.

mod assign;
pub mod configs;
pub mod controller;
mod image;
mod names;
mod record;

#[cfg(test)]
mod controller_tests;

pub use assign::{Assignment, assignments};
pub use controller::{ControllerMachine, NewTopic, Refusal, TopicDefaults, TopicRef};
pub use image::{Broker, Image, Partition, Topic};
pub use names::{check_name, collide, is_internal};
pub use record::MetadataRecord;
