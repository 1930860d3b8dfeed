//! Metadata records: the content of the metadata log.
//!
//! A record states one fact that the controller decided. One proposal is one batch of records, and the log commits it
//! as a whole or not at all. The log stores records as JSON and never changes one, so a new field needs a default.
//!
//! This file gives records no meaning: `image.rs` says what each does to the image.

use crate::ids::{BrokerId, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The owner of a set of configs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ConfigOf {
    Topic(TopicId),
    Broker(BrokerId),
    /// All brokers together share these.
    Cluster,
    Group(String),
    /// A subscription to clients' metrics.
    ClientMetrics(String),
}

/// One committed fact. A build stops at a kind of record that it does not know, and never skips one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MetadataRecord {
    /// The cluster was founded.
    Cluster {
        /// Never changes: 22 characters, the URL-safe base64 of a UUID, as in Kafka.
        cluster_id: String,
    },
    /// A node's process has registered. The index of this record's batch becomes its broker epoch.
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
        /// Only the configs that the topic sets itself.
        configs: BTreeMap<String, String>,
    },
    /// The topic was deleted with all its partitions.
    TopicDeleted { id: TopicId },
    /// A partition's leader or in-sync replicas changed. The record counts only if the controller decided it on the
    /// latest state.
    PartitionChange {
        topic: TopicId,
        partition: i32,
        /// The leading node, or −1 if no node leads.
        leader: BrokerId,
        leader_epoch: i32,
        isr: Vec<BrokerId>,
        /// One more than the partition epoch before this change.
        partition_epoch: i32,
    },
    /// All producer ids below this one are given out.
    ProducerIds { next: i64 },
    /// A node has opened its replica and may not create it empty again.
    ReplicaOpened { topic: TopicId, partition: i32, broker_id: BrokerId },
    /// A topic has got more partitions.
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
