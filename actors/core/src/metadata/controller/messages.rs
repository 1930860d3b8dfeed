//! The controller's vocabulary: questions and answers, the other events it hears, and the effects it wants done.
//!
//! [`Ask`] and [`Reply`] are plain data without tickets or shared pointers. Any node takes any request, so both have
//! to travel between nodes. A ticket belongs to one shell, and therefore stands beside the ask in [`Input`].

use crate::bootstrap::Seat;
use crate::error::ErrorCode;
use crate::ids::{BrokerId, LeaderEpoch, Peer, Ticket, TopicId, TopicPartition};
use crate::metadata::broker::Registration;
use crate::metadata::image::{Image, Topic};
use crate::metadata::isr::{IsrOutcome, IsrWish};
use crate::metadata::log::{Committed, Leadership, ProposalId, ProposeResult};
use crate::metadata::partition::Opened;
use crate::metadata::record::MetadataRecord;
use crate::metadata::verdict::Judgement;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Producer ids of one block.
pub const PRODUCER_ID_BLOCK: i64 = 1000;
/// Partitions that one request may add at most, as in Kafka, and that a topic may grow to.
pub const PARTITIONS_MAX: usize = 10_000;

/// A topic that a client wants. −1 asks for the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTopic {
    pub name: String,
    /// Drawn by the asker, so that asking again makes no second topic.
    pub id: TopicId,
    pub partitions: i32,
    pub replication_factor: i16,
    /// Explicit replicas by partition. The controller places the replicas if the list is empty.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    /// Name and value. A null value is refused.
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

/// A refusal, with Kafka's code and a text for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: String,
}

pub(super) fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, message: message.into() })
}

/// How a deletion names a topic. The node that takes the request resolves names once (R44): a question that is asked
/// again, or comes late, never means the next topic of that name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TopicRef {
    /// A name that the asking node's image does not have. It is refused, even if a topic has it by now: the answer is that
    /// of the metadata that the client was shown.
    Name(String),
    /// A name, and the id that it stands for.
    Named(String, TopicId),
    Id(TopicId),
    /// Kafka allows only one of the two, so the controller refuses this form.
    Both(String, TopicId),
}

impl TopicRef {
    /// A name, as the asking node resolves it.
    #[must_use]
    pub fn named(image: &Image, name: String) -> TopicRef {
        match image.by_name.get(&name) {
            Some(id) => TopicRef::Named(name, *id),
            None => TopicRef::Name(name),
        }
    }
}

/// A client's wish for more partitions of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MorePartitions {
    pub name: String,
    /// The id that the name stands for in the asking node's image (R44); zero if the image does not have the name.
    pub id: TopicId,
    /// Number of partitions after the change.
    pub count: i32,
    /// Explicit replicas of each new partition. Without them the controller places the replicas.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

impl MorePartitions {
    /// The wish with the name as the asking node resolves it.
    #[must_use]
    pub fn named(
        image: &Image,
        name: String,
        count: i32,
        assignments: Option<Vec<Vec<BrokerId>>>,
    ) -> MorePartitions {
        let id = image.by_name.get(&name).copied().unwrap_or_default();
        MorePartitions { name, id, count, assignments }
    }
}

/// The kind of a resource that has configs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ResourceKind {
    Topic,
    /// One broker, or all of them if the name is empty.
    Broker,
    /// A broker's loggers. This broker has none.
    BrokerLogger,
    /// A subscription to clients' metrics.
    ClientMetrics,
    Group,
    /// Any other number that a client sent.
    Unknown(i8),
}

impl ResourceKind {
    /// Reads Kafka's number of a kind.
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

    /// Kafka's number of this kind.
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

/// The kind of change to one config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigOp {
    Set,
    /// Removes the resource's own value, so that the default holds again.
    Delete,
    /// Adds words to a list.
    Append,
    /// Takes words out of a list.
    Subtract,
    /// Any other number that a client sent.
    Unknown(i8),
}

impl ConfigOp {
    /// Reads Kafka's number of a change.
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

/// Changes to the configs of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alteration {
    pub kind: ResourceKind,
    pub name: String,
    /// Whether configs that the request does not name go back to their defaults.
    pub replace: bool,
    /// Name, change and value of each config.
    pub changes: Vec<(String, ConfigOp, Option<String>)>,
}

/// The kind of election that an operator wants, as in Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Election {
    /// The first replica leads, if it is in sync.
    Preferred,
    /// A partition without a leader gets one, even if records are lost by it.
    Unclean,
}

/// A partition for which an election was asked, and how that ended.
pub type Elected = (TopicPartition, Result<(), Refusal>);

/// A question to the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Founds a cluster under this id, unless there is one: then nothing changes, and the image says which.
    Found {
        cluster_id: String,
        /// The nodes that found it.
        seats: Vec<Seat>,
    },
    /// A node's process starts.
    Register {
        node: Box<Registration>,
        /// The node is alone: it founds the cluster under this id if there is none, and starts unfenced.
        #[serde(default)]
        alone: Option<String>,
        /// The last leader epoch of each log that the node recovered, as pairs, because JSON has no other keys than text.
        #[serde(default)]
        log_epochs: Vec<(TopicPartition, LeaderEpoch)>,
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
    /// Asks for a block of [`PRODUCER_ID_BLOCK`] producer ids.
    ProducerIds,
    /// Nodes have opened these replicas in these places.
    Opened(Vec<(TopicPartition, Opened)>),
    /// A node's leaders want other in-sync replicas (R40).
    AlterIsr {
        from: Peer,
        /// Rises in the process that asks.
        number: u64,
        /// The leadership that the node sends this to. Another one refuses it.
        leadership: Leadership,
        wishes: Vec<IsrWish>,
    },
    /// An operator wants leaders (KIP-460). None asks for all partitions.
    ElectLeaders {
        election: Election,
        partitions: Option<Vec<TopicPartition>>,
    },
    /// A node's leaders were rebuilt, and each wants a leader epoch above the one named (R7).
    RenewEpochs {
        from: Peer,
        partitions: Vec<(TopicPartition, LeaderEpoch)>,
    },
}

/// A topic as it was created, for the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedTopic {
    pub id: TopicId,
    pub name: String,
    pub partitions: usize,
    /// Replicas of the first partition.
    pub replication_factor: usize,
    /// Only the configs that the topic sets itself.
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

/// The outcome for a topic that a client wants.
pub type TopicOutcome = Result<CreatedTopic, Refusal>;
/// The outcome for a topic that was to be deleted. Name and id come first, as far as they are known.
pub type DeleteOutcome = (Option<String>, TopicId, Result<(), Refusal>);

/// An answer of the controller. The number in it is an index, from which on the image holds the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Answers `Register`, where the index is the broker epoch, `Found`, `Opened` and `RenewEpochs`.
    Done(u64),
    /// Answers `CreateTopics`, in the order asked.
    Created(Vec<TopicOutcome>, u64),
    /// Answers `DeleteTopics`, in the order asked; a topic named twice is told once.
    Deleted(Vec<DeleteOutcome>, u64),
    /// Answers `CreatePartitions` and `AlterConfigs`, in the order asked.
    Altered(Vec<Result<(), Refusal>>, u64),
    /// Answers `ProducerIds` with the first id of the block.
    ProducerIds(i64),
    /// Answers `AlterIsr`, in the order asked.
    IsrAltered(Vec<IsrOutcome>, u64),
    /// Answers `ElectLeaders`: each partition that was asked for; of all partitions those that needed an election.
    Elected(Vec<Elected>, u64),
    /// The controller refuses the whole question and changes nothing.
    Failed(Refusal),
    /// The change was proposed, and may or may not be committed now or later (R44). The text says why.
    Unknown(String),
}

impl Reply {
    /// The refusal for a client, where the answer does not fit the question.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        let (code, message) = match self {
            Reply::Failed(refusal) => return refusal,
            // The client may look before it asks again, because the change may be on its way (R44).
            Reply::Unknown(why) => (ErrorCode::RequestTimedOut, why),
            _ => (ErrorCode::UnknownServerError, "the controller gave no answer: ask again".to_owned()),
        };
        Refusal { code, message }
    }
}

/// An event that the controller hears of.
#[derive(Clone, Debug)]
pub enum Input {
    /// The next event of the metadata log's stream.
    Log(Committed),
    /// A question; its answer goes to the ticket.
    Ask { ticket: Ticket, ask: Ask },
    /// The metadata log's answer to a proposal, outside of the stream.
    Proposed(ProposalId, ProposeResult),
    /// The judge of sessions has found something out.
    Judged(Judgement),
    /// A deadline may have passed.
    Tick,
}

/// An action that the controller wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Ask the metadata log to take these records as one batch, while this leadership holds.
    Propose {
        leadership: Leadership,
        id: ProposalId,
        records: Vec<MetadataRecord>,
    },
    /// Show this image to every reader.
    Publish(Arc<Image>),
    /// Count so many committed records that did not fit the image (R43).
    Dropped(usize),
    Answer(Ticket, Reply),
}
