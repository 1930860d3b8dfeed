//! The controller's vocabulary: what it is asked, what it answers, what else it hears, what it wants done.
//!
//! [`Ask`] and [`Reply`] are plain data without tickets or shared pointers. Any node takes any request, so both have to
//! travel between nodes. A ticket belongs to one shell, and therefore stands beside the ask in [`Input`].

use crate::error::ErrorCode;
use crate::ids::{BrokerId, Ticket, TopicId};
use crate::metadata::image::{Image, Topic};
use crate::metadata::log::{Committed, Leadership, ProposalId, ProposeResult};
use crate::metadata::record::MetadataRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Producer ids of one block.
pub const PRODUCER_ID_BLOCK: i64 = 1000;
/// Partitions of one topic at most.
pub const PARTITIONS_MAX: i32 = 10_000;

/// A topic that is asked for. −1 asks for the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTopic {
    pub name: String,
    /// Drawn by the asker, so that asking again makes no second topic.
    pub id: TopicId,
    pub partitions: i32,
    pub replication_factor: i16,
    /// Explicit replicas by partition; if empty, the controller places them.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    /// A null value is the default.
    pub configs: Vec<(String, Option<String>)>,
}

impl NewTopic {
    /// A topic with every default.
    #[must_use]
    pub fn new(name: &str, id: TopicId) -> NewTopic {
        NewTopic {
            name: name.to_owned(),
            id,
            partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }
}

/// A refusal with Kafka's code and words for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: String,
}

pub(super) fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, message: message.into() })
}

/// How a deletion names a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TopicRef {
    Name(String),
    Id(TopicId),
    /// Kafka allows only one of the two, so the controller refuses this form.
    Both(String, TopicId),
}

/// More partitions that are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MorePartitions {
    pub name: String,
    /// Partitions of the topic in all.
    pub count: i32,
    /// Explicit replicas of each new partition; without them the controller places.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// The kinds of resources that have configs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ResourceKind {
    Topic,
    /// One broker; with an empty name all of them.
    Broker,
    /// A broker's loggers, of which there are none.
    BrokerLogger,
    /// A subscription to clients' metrics.
    ClientMetrics,
    Group,
    /// Any other number that a client sent.
    Unknown(i8),
}

impl ResourceKind {
    /// The kind behind Kafka's number.
    #[must_use]
    pub fn of(kind: i8) -> ResourceKind {
        match kind {
            2 => ResourceKind::Topic,
            4 => ResourceKind::Broker,
            8 => ResourceKind::BrokerLogger,
            16 => ResourceKind::ClientMetrics,
            32 => ResourceKind::Group,
            other => ResourceKind::Unknown(other),
        }
    }

    /// Kafka's number.
    #[must_use]
    pub fn id(self) -> i8 {
        match self {
            ResourceKind::Topic => 2,
            ResourceKind::Broker => 4,
            ResourceKind::BrokerLogger => 8,
            ResourceKind::ClientMetrics => 16,
            ResourceKind::Group => 32,
            ResourceKind::Unknown(other) => other,
        }
    }
}

/// A change of one config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigOp {
    Set,
    /// The resource's own value goes, and the default holds again.
    Delete,
    /// Words are added to a list.
    Append,
    /// Words are taken out of a list.
    Subtract,
    /// Any other number that a client sent.
    Unknown(i8),
}

impl ConfigOp {
    /// The change behind Kafka's number.
    #[must_use]
    pub fn of(op: i8) -> ConfigOp {
        match op {
            0 => ConfigOp::Set,
            1 => ConfigOp::Delete,
            2 => ConfigOp::Append,
            3 => ConfigOp::Subtract,
            other => ConfigOp::Unknown(other),
        }
    }
}

/// Changes of one resource's configs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alteration {
    pub kind: ResourceKind,
    pub name: String,
    /// Whether configs that are not named go back to their defaults.
    pub replace: bool,
    /// Name, change, value.
    pub changes: Vec<(String, ConfigOp, Option<String>)>,
}

/// A question to the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// A node's process starts: everything that the node leads gets a new epoch.
    Register {
        broker_id: BrokerId,
        /// Taken only where no cluster exists yet.
        cluster_id: String,
        /// Host and port that clients are told.
        host: String,
        port: u16,
        rack: Option<String>,
    },
    CreateTopics {
        topics: Vec<NewTopic>,
        validate_only: bool,
    },
    DeleteTopics(Vec<TopicRef>),
    CreatePartitions {
        topics: Vec<MorePartitions>,
        validate_only: bool,
    },
    AlterConfigs {
        /// The broker that the client asked.
        broker_id: BrokerId,
        alterations: Vec<Alteration>,
        validate_only: bool,
    },
    /// A block of [`PRODUCER_ID_BLOCK`] producer ids.
    ProducerIds,
    /// A node has opened these replicas, given by topic and partition.
    Opened(BrokerId, Vec<(TopicId, i32)>),
}

/// A topic as it was created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedTopic {
    pub id: TopicId,
    pub name: String,
    pub partitions: usize,
    /// Replicas of the first partition.
    pub replication_factor: usize,
    /// Only what the topic sets itself.
    pub configs: BTreeMap<String, String>,
}

impl From<&Topic> for CreatedTopic {
    fn from(topic: &Topic) -> CreatedTopic {
        CreatedTopic {
            id: topic.id,
            name: topic.name.clone(),
            partitions: topic.partitions.len(),
            replication_factor: topic.partitions.first().map_or(0, |p| p.replicas.len()),
            configs: topic.configs.clone(),
        }
    }
}

/// What became of a topic that was asked for.
pub type TopicOutcome = Result<CreatedTopic, Refusal>;
/// What became of a topic that was to be deleted: its name and id, as far as they are known, and the outcome.
pub type DeleteOutcome = (Option<String>, TopicId, Result<(), Refusal>);

/// An answer of the controller. The number in it is an index: the image holds the change from there on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Answers `Register`, where the index is the broker epoch, and `Opened`.
    Done(u64),
    /// Answers `CreateTopics`, in the order asked.
    Created(Vec<TopicOutcome>, u64),
    /// Answers `DeleteTopics`, in the order asked; a topic named twice is told once.
    Deleted(Vec<DeleteOutcome>, u64),
    /// Answers `CreatePartitions` and `AlterConfigs`, in the order asked.
    Altered(Vec<Result<(), Refusal>>, u64),
    /// Answers `ProducerIds` with the first of the block.
    ProducerIds(i64),
    /// Nothing was done.
    Failed(Refusal),
    /// The change was proposed, and nobody knows yet whether it is or will be committed (R44). The text says why.
    Unknown(String),
}

impl Reply {
    /// The answer as Kafka's clients are told it, where it is not the one that the question asks for.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        let (code, message) = match self {
            Reply::Failed(refusal) => return refusal,
            Reply::Unknown(why) => (ErrorCode::UnknownServerError, why),
            _ => (ErrorCode::UnknownServerError, "the controller gave no answer: ask again".to_owned()),
        };
        Refusal { code, message }
    }
}

/// An event of the controller.
#[derive(Clone, Debug)]
pub enum Input {
    /// The next event of the metadata log's stream.
    Log(Committed),
    /// A question; its answer goes to the ticket.
    Ask { ticket: Ticket, ask: Ask },
    /// The metadata log's word on a proposal, outside of the stream.
    Proposed(ProposalId, ProposeResult),
}

/// An action that the controller wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The metadata log is to take these records as one batch, while this leadership holds.
    Propose {
        leadership: Leadership,
        id: ProposalId,
        records: Vec<MetadataRecord>,
    },
    /// Everyone is to see this image.
    Publish(Arc<Image>),
    Answer(Ticket, Reply),
}
