//! Metadata records: the content of the metadata log.
//!
//! A record states one fact that the controller decided. One proposal is one batch of records, and the log commits it
//! as a whole or not at all. The log stores records as JSON and never changes one, so a new field needs a default, which
//! says what a record without it means.
//!
//! This file gives records no other meaning: `image.rs` says what each does to the image.

use super::broker::{Registration, SyncedPositions};
use crate::bootstrap::Seat;
use crate::ids::{BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, TopicId, TopicPartition};
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

/// A change of a partition. It counts only if the controller decided it on the latest state (R43).
///
/// A list that is none stays as it is, as in each record of a build that did not know the list.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PartitionChange {
    pub topic: TopicId,
    pub partition: i32,
    /// The leading node, or −1 if no node leads.
    pub leader: BrokerId,
    pub leader_epoch: LeaderEpoch,
    pub isr: Vec<BrokerId>,
    /// One more than the partition epoch before this change.
    pub partition_epoch: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Vec<BrokerId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adding: Option<Vec<BrokerId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elr: Option<Vec<BrokerId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_known_elr: Option<Vec<BrokerId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unclean: Option<Vec<BrokerId>>,
    /// The leader epoch of an unclean election. It is never taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unclean_epoch: Option<LeaderEpoch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovering: Option<bool>,
}

impl PartitionChange {
    /// The partition that changes.
    #[must_use]
    pub fn id(&self) -> TopicPartition {
        TopicPartition { topic: self.topic, partition: self.partition }
    }
}

/// One committed fact. A build stops at a kind of record that it does not know, and never skips one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MetadataRecord {
    /// The cluster was founded.
    Cluster {
        /// Never changes: 22 characters, the URL-safe base64 of a UUID, as in Kafka.
        cluster_id: String,
        /// 0 as founded. A recovery from lost voters raises it, and a lower one is refused like a foreign cluster.
        #[serde(default)]
        cluster_epoch: u32,
        /// The nodes that founded it, each with its id, uuid and key. A single node's cluster names none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        seats: Vec<Seat>,
    },
    /// The cluster runs at this level from here on.
    FeatureLevel { level: i16 },
    /// A node's process has registered, in the words of a single node's first builds. It has one listener, runs
    /// unfenced, and says nothing else of itself.
    Broker {
        broker_id: BrokerId,
        /// Host and port that clients are told.
        host: String,
        port: u16,
        rack: Option<String>,
    },
    /// A node's process has registered. The index of this record's batch becomes its broker epoch.
    Registered {
        node: Box<Registration>,
        /// Whether the node starts fenced. Only a node that is alone does not (R20).
        fenced: bool,
    },
    /// The controller has decided about one life of a node. The record counts only in that life.
    BrokerChange {
        broker_id: BrokerId,
        epoch: BrokerEpoch,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fenced: Option<bool>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shutting_down: Option<bool>,
        /// The positions that the node was last heard to have synced.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        synced: SyncedPositions,
    },
    /// A topic was created, with these partitions.
    Topic {
        id: TopicId,
        name: String,
        /// Replicas by partition, the preferred leader first.
        replicas: Vec<Vec<BrokerId>>,
        /// The first ISR by partition. A partition without one has all its replicas in sync.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        isr: Vec<Vec<BrokerId>>,
        /// Whether the request left the number of replicas to the cluster. Builds that did not keep the answer count as
        /// "no", so no topic of theirs gets more replicas by itself.
        #[serde(default)]
        default_factor: bool,
        /// Only the configs that the topic sets itself.
        configs: BTreeMap<String, String>,
    },
    /// The topic was deleted with all its partitions.
    TopicDeleted { id: TopicId },
    /// A partition's leader or in-sync replicas changed.
    PartitionChange(PartitionChange),
    /// All producer ids below this one are given out.
    ProducerIds { next: i64 },
    /// A node has opened its replica and may not create it empty again.
    ReplicaOpened {
        topic: TopicId,
        partition: i32,
        broker_id: BrokerId,
        /// None where the build did not say it: every directory of the node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        directory: Option<DirectoryId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shard: Option<u16>,
    },
    /// A topic has got more partitions.
    Partitions {
        topic: TopicId,
        /// The number of the first new partition.
        first: i32,
        /// Replicas of each new partition, the preferred leader first.
        replicas: Vec<Vec<BrokerId>>,
        /// A partition without a first ISR has all its replicas in sync.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        isr: Vec<Vec<BrokerId>>,
    },
    /// Configs were set or taken back.
    Configs {
        of: ConfigOf,
        /// New values by name. A config without a value is taken back.
        changes: BTreeMap<String, Option<String>>,
    },
}
