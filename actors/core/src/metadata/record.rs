//! Metadata records: what the metadata log holds. One proposal is one batch of them, all or nothing.

use crate::ids::{BrokerId, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whose configs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ConfigOf {
    /// A topic's.
    Topic(TopicId),
    /// One broker's.
    Broker(BrokerId),
    /// All brokers'.
    Cluster,
    /// A group's.
    Group(String),
    /// A subscription's to clients' metrics.
    ClientMetrics(String),
}

/// One committed fact. A kind that a build does not know stops its applier; it is never skipped.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MetadataRecord {
    /// The cluster exists.
    Cluster {
        /// Its id, for ever (22 characters, URL-safe base64 of a UUID, as Kafka's).
        cluster_id: String,
    },
    /// A node's process registered.
    Broker {
        /// Its id.
        broker_id: BrokerId,
        /// Host that clients are told.
        host: String,
        /// Port that clients are told.
        port: u16,
        /// Its rack.
        rack: Option<String>,
    },
    /// A topic was created, with these partitions.
    Topic {
        /// Its id.
        id: TopicId,
        /// Its name.
        name: String,
        /// Replicas of each partition, the preferred leader first; index = partition.
        replicas: Vec<Vec<BrokerId>>,
        /// Overridden configs.
        configs: BTreeMap<String, String>,
    },
    /// A topic was deleted.
    TopicDeleted {
        /// Its id.
        id: TopicId,
    },
    /// A partition's leader or ISR changed.
    PartitionChange {
        /// Its topic.
        topic: TopicId,
        /// Its number.
        partition: i32,
        /// Its leader, −1 for none.
        leader: BrokerId,
        /// Its leader epoch.
        leader_epoch: i32,
        /// Its in-sync replicas.
        isr: Vec<BrokerId>,
        /// Its partition epoch.
        partition_epoch: i32,
    },
    /// Producer ids up to (not including) this one are given out.
    ProducerIds {
        /// The next free one.
        next: i64,
    },
    /// A replica on a node was opened: it may no longer be created empty.
    ReplicaOpened {
        /// Its topic.
        topic: TopicId,
        /// Its partition.
        partition: i32,
        /// Where.
        broker_id: BrokerId,
    },
    /// A topic has more partitions.
    Partitions {
        /// Its id.
        topic: TopicId,
        /// The number of the first new one.
        first: i32,
        /// Replicas of each, the preferred leader first.
        replicas: Vec<Vec<BrokerId>>,
    },
    /// Configs were set, or taken back.
    Configs {
        /// Whose.
        of: ConfigOf,
        /// The new values by name; none: taken back.
        changes: BTreeMap<String, Option<String>>,
    },
}
