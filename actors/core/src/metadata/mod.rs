//! Metadata: the topics, brokers and settings of the cluster.
//!
//! ```text
//!   controller ── proposes records ──> log ── commits ──> image, which every request reads
//! ```
//!
//! The controller decides changes and proposes them as records. Committed records add up to the image. Nothing here
//! moves bytes: adapters store the log.

mod broker;
pub mod configs;
pub mod controller;
mod events;
mod image;
mod isr;
mod log;
mod names;
mod offsets_topic;
mod partition;
mod producer_ids;
mod record;
pub mod recovery;
mod safe;
mod settle;
mod told;
mod verdict;

#[cfg(test)]
mod alter_tests;
#[cfg(test)]
mod cluster_rig;
#[cfg(test)]
mod cluster_tests;
#[cfg(test)]
mod controller_tests;
#[cfg(test)]
mod eligible_tests;
#[cfg(test)]
mod ends_tests;
#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod image_tests;
#[cfg(test)]
mod place_tests;
#[cfg(test)]
mod proposals_tests;

pub use broker::{Broker, FEATURE, LEVELS, LevelRange, Listener, Protocol, Registration, SyncedPositions};
pub use controller::{
    Alteration, ConfigOp, ControllerMachine, MorePartitions, NewTopic, Refusal, ResourceKind, TopicDefaults,
    TopicRef,
};
pub use events::{event_lines, returned_unclean, unclean_elections};
pub use image::{Dropped, Image, Topic};
pub use isr::{IsrOutcome, IsrWish};
pub use log::{Committed, Leadership, ProposalId, ProposeResult};
pub use names::{OFFSETS_TOPIC, check_name, collide, is_internal};
pub use offsets_topic::{OFFSETS_TOPIC_WAIT, missing_offsets_topic, offsets_topic_made, topic_on_request};
pub use partition::{Opened, Partition};
pub use producer_ids::ProducerIdBlock;
pub use record::{ConfigOf, MetadataRecord, PartitionChange};
pub use safe::stops_without;
pub use told::Told;
pub use verdict::{FencedFor, Judgement, Verdict};
