//! The image: all committed metadata records, added up. Read by everyone, written only by the applier.

use super::record::MetadataRecord;
use crate::ids::{BrokerId, LeaderEpoch, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A registered node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Broker {
    /// Its id.
    pub id: BrokerId,
    /// Host that clients are told.
    pub host: String,
    /// Port that clients are told.
    pub port: u16,
    /// Its rack.
    pub rack: Option<String>,
}

/// One partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Partition {
    /// Replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// In-sync replicas.
    pub isr: Vec<BrokerId>,
    /// The leader, −1 for none.
    pub leader: BrokerId,
    /// Grows with each leader.
    pub leader_epoch: LeaderEpoch,
    /// Grows with each change.
    pub partition_epoch: i32,
    /// Nodes whose replica was opened: it may no longer be created empty.
    pub opened: BTreeSet<BrokerId>,
}

/// One topic.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Topic {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// Its partitions; index = number.
    pub partitions: Vec<Partition>,
    /// Overridden configs.
    pub configs: BTreeMap<String, String>,
}

/// All committed metadata.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Image {
    /// The cluster's id, once it exists.
    pub cluster_id: Option<String>,
    /// Registered nodes.
    pub brokers: BTreeMap<BrokerId, Broker>,
    /// Topics by id.
    pub topics: BTreeMap<TopicId, Arc<Topic>>,
    /// Topic ids by name.
    pub by_name: BTreeMap<String, TopicId>,
    /// The next free producer id.
    pub next_producer_id: i64,
    /// Index of the last record batch applied.
    pub applied: u64,
}

impl Image {
    /// A topic by name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(self.by_name.get(name)?)
    }

    /// Adds one record. Total: a record about something unknown changes nothing.
    pub fn apply(&mut self, record: &MetadataRecord) {
        match record {
            MetadataRecord::Cluster { cluster_id } => self.cluster_id = Some(cluster_id.clone()),
            MetadataRecord::Broker { broker_id, host, port, rack } => {
                let broker = Broker { id: *broker_id, host: host.clone(), port: *port, rack: rack.clone() };
                self.brokers.insert(*broker_id, broker);
            }
            MetadataRecord::Topic { id, name, replicas, configs } => {
                let partitions = replicas
                    .iter()
                    .map(|replicas| Partition {
                        replicas: replicas.clone(),
                        isr: replicas.clone(),
                        leader: replicas.first().copied().unwrap_or(-1),
                        leader_epoch: 0,
                        partition_epoch: 0,
                        opened: BTreeSet::new(),
                    })
                    .collect();
                let topic = Topic { id: *id, name: name.clone(), partitions, configs: configs.clone() };
                self.by_name.insert(name.clone(), *id);
                self.topics.insert(*id, Arc::new(topic));
            }
            MetadataRecord::TopicDeleted { id } => {
                if let Some(topic) = self.topics.remove(id)
                    && self.by_name.get(&topic.name) == Some(id)
                {
                    self.by_name.remove(&topic.name);
                }
            }
            MetadataRecord::PartitionChange {
                topic,
                partition,
                leader,
                leader_epoch,
                isr,
                partition_epoch,
            } => {
                if let Some(p) = self.partition_mut(*topic, *partition) {
                    p.leader = *leader;
                    p.leader_epoch = *leader_epoch;
                    p.isr.clone_from(isr);
                    p.partition_epoch = *partition_epoch;
                }
            }
            MetadataRecord::ProducerIds { next } => self.next_producer_id = self.next_producer_id.max(*next),
            MetadataRecord::ReplicaOpened { topic, partition, broker_id } => {
                if let Some(p) = self.partition_mut(*topic, *partition) {
                    p.opened.insert(*broker_id);
                }
            }
        }
    }

    fn partition_mut(&mut self, topic: TopicId, partition: i32) -> Option<&mut Partition> {
        let topic = Arc::make_mut(self.topics.get_mut(&topic)?);
        topic.partitions.get_mut(usize::try_from(partition).ok()?)
    }
}
