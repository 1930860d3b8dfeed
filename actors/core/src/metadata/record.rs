//! Metadata records: the content of the metadata log.
//!
//! A record states one fact, decided by the controller. One proposal is one batch of records, committed as a whole or not
//! at all. The log stores them as JSON; a record is never changed later, so a new field needs a default. What a record
//! means for the image stands in `image.rs`.

use crate::ids::{BrokerId, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The owner of configs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ConfigOf {
    Topic(TopicId),
    Broker(BrokerId),
    /// All brokers together.
    Cluster,
    Group(String),
    /// A subscription to clients' metrics.
    ClientMetrics(String),
}

/// One committed fact. A build stops at a kind that it does not know; it never skips one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MetadataRecord {
    /// The cluster exists.
    Cluster {
        /// Never changes. 22 characters, URL-safe base64 of a UUID, as Kafka's.
        cluster_id: String,
    },
    /// A node's process registered. The index of this record's batch becomes its broker epoch.
    Broker {
        broker_id: BrokerId,
        /// Host and port that clients are told.
        host: String,
        port: u16,
        rack: Option<String>,
    },
    /// A topic was created, with these partitions.
    Topic {
        id: TopicId,
        name: String,
        /// Replicas by partition, the preferred leader first.
        replicas: Vec<Vec<BrokerId>>,
        /// Only what the topic sets itself.
        configs: BTreeMap<String, String>,
    },
    /// A topic was deleted.
    TopicDeleted { id: TopicId },
    /// A partition's leader or in-sync replicas changed. The record counts only if it was decided on the state before it.
    PartitionChange {
        topic: TopicId,
        partition: i32,
        /// −1 for none.
        leader: BrokerId,
        leader_epoch: i32,
        isr: Vec<BrokerId>,
        /// The epoch before this change plus one.
        partition_epoch: i32,
    },
    /// All producer ids below this one are given out.
    ProducerIds { next: i64 },
    /// A node has opened its replica and may not create it empty again.
    ReplicaOpened { topic: TopicId, partition: i32, broker_id: BrokerId },
    /// A topic has more partitions.
    Partitions {
        topic: TopicId,
        /// The number of the first new partition.
        first: i32,
        /// Replicas of each new partition, the preferred leader first.
        replicas: Vec<Vec<BrokerId>>,
    },
    /// Configs were set or taken back.
    Configs {
        of: ConfigOf,
        /// New values by name. A config without a value is taken back.
        changes: BTreeMap<String, Option<String>>,
    },
}
