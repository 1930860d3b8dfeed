//! The controller's vocabulary: what it is told and asked, what it answers, what it wants done.

use crate::error::ErrorCode;
use crate::ids::{BrokerId, Ticket, TopicId};
use crate::metadata::image::{Image, Topic};
use crate::metadata::record::MetadataRecord;
use std::sync::Arc;

/// Producer ids that are given out at once.
pub const PRODUCER_ID_BLOCK: i64 = 1000;
/// Partitions of one topic at most.
pub const PARTITIONS_MAX: i32 = 10_000;

/// A topic that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// An id for it, drawn by the asker.
    pub id: TopicId,
    /// −1: the default.
    pub partitions: i32,
    /// −1: the default.
    pub replication_factor: i16,
    /// Explicit replicas by partition; empty: the controller places.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    /// Configs; a null value is the default.
    pub configs: Vec<(String, Option<String>)>,
}

/// A refusal with Kafka's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's code.
    pub code: ErrorCode,
    /// In words.
    pub message: String,
}

pub(super) fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, message: message.into() })
}

/// How a topic is named in a deletion.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRef {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
    /// By both, which is one too many.
    Both(String, TopicId),
}

/// More partitions that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MorePartitions {
    /// Of which topic.
    pub name: String,
    /// How many it is to have in all.
    pub count: i32,
    /// Explicit replicas of each new one; none: the controller places.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// What has configs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
    /// A topic.
    Topic,
    /// A broker; with an empty name all of them.
    Broker,
    /// A broker's loggers, of which there are none.
    BrokerLogger,
    /// A subscription to clients' metrics.
    ClientMetrics,
    /// A group.
    Group,
    /// Something else.
    Unknown(i8),
}

impl ResourceKind {
    /// By Kafka's number.
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

/// What is to become of one config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    /// This value.
    Set,
    /// None of its own.
    Delete,
    /// These words more.
    Append,
    /// These words less.
    Subtract,
    /// Something else.
    Unknown(i8),
}

impl ConfigOp {
    /// By Kafka's number.
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

/// Configs of one resource that are to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alteration {
    /// What it is.
    pub kind: ResourceKind,
    /// Its name.
    pub name: String,
    /// Whether what is not named is taken back.
    pub replace: bool,
    /// Name, what becomes of it, value.
    pub changes: Vec<(String, ConfigOp, Option<String>)>,
}

/// What can happen to the controller.
#[derive(Clone, Debug)]
pub enum Input {
    /// It may propose in this term, or may not.
    Role(Option<u64>),
    /// Everything up to an index.
    Snapshot(Arc<Image>),
    /// One more committed batch.
    Committed {
        /// Its index.
        index: u64,
        /// Its records.
        records: Arc<Vec<MetadataRecord>>,
    },
    /// This node's process starts: a new epoch for everything it leads.
    Register {
        /// Names the answer.
        ticket: Ticket,
        /// Its id.
        broker_id: BrokerId,
        /// A cluster id, if there is none yet.
        cluster_id: String,
        /// Host that clients are told.
        host: String,
        /// Port that clients are told.
        port: u16,
        /// Its rack.
        rack: Option<String>,
    },
    /// Topics are asked for.
    CreateTopics {
        /// Names the answer.
        ticket: Ticket,
        /// Which.
        topics: Vec<NewTopic>,
        /// Only check.
        validate_only: bool,
    },
    /// Topics are to go.
    DeleteTopics {
        /// Names the answer.
        ticket: Ticket,
        /// Which.
        topics: Vec<TopicRef>,
    },
    /// Topics are to have more partitions.
    CreatePartitions {
        /// Names the answer.
        ticket: Ticket,
        /// Which.
        topics: Vec<MorePartitions>,
        /// Only check.
        validate_only: bool,
    },
    /// Configs are to change.
    AlterConfigs {
        /// Names the answer.
        ticket: Ticket,
        /// The broker that was asked.
        broker_id: BrokerId,
        /// Whose, and how.
        alterations: Vec<Alteration>,
        /// Only check.
        validate_only: bool,
    },
    /// A block of producer ids is asked for.
    ProducerIds {
        /// Names the answer.
        ticket: Ticket,
    },
    /// Replicas were opened on a node.
    Opened {
        /// Names the answer.
        ticket: Ticket,
        /// Where.
        broker_id: BrokerId,
        /// Which: topic and partitions.
        replicas: Vec<(TopicId, i32)>,
    },
    /// A proposal was not committed, or nobody knows.
    ProposalFailed {
        /// Whose.
        ticket: Ticket,
        /// Why.
        why: String,
    },
}

/// What becomes of each topic that was asked for.
pub type TopicOutcome = Result<Arc<Topic>, Refusal>;

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To `Register` and `Opened`: in the image as of this index.
    Done(u64),
    /// To `CreateTopics`, in the order asked; in the image as of this index.
    Created(Vec<TopicOutcome>, u64),
    /// To `DeleteTopics`, in the order asked; what is named more than once is told once.
    Deleted(Vec<(Option<String>, TopicId, Result<(), Refusal>)>, u64),
    /// To `CreatePartitions` and `AlterConfigs`, in the order asked; in the image as of this index.
    Altered(Vec<Result<(), Refusal>>, u64),
    /// To `ProducerIds`: the first of [`PRODUCER_ID_BLOCK`].
    ProducerIds(i64),
    /// Nothing was done, as far as is known.
    Failed(Refusal),
}

/// What the controller wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Propose these records, in this term.
    Propose {
        /// Whose.
        ticket: Ticket,
        /// The term.
        term: u64,
        /// The records.
        records: Vec<MetadataRecord>,
    },
    /// Show the image.
    Publish(Arc<Image>),
    /// Answer.
    Answer(Ticket, Reply),
}
