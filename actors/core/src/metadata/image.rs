//! The image: all committed metadata records, added up. Read by everyone, written only by the applier.

use super::configs::{Layers, Statics};
use super::record::{ConfigOf, MetadataRecord};
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

impl Topic {
    /// A partition by its number, as a request gives it.
    #[must_use]
    pub fn partition(&self, number: i32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(number).ok()?)
    }
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
    /// What is set for all brokers at run time.
    #[serde(default)]
    pub cluster_configs: BTreeMap<String, String>,
    /// What is set for one broker at run time.
    #[serde(default)]
    pub broker_configs: BTreeMap<BrokerId, BTreeMap<String, String>>,
    /// Configs of groups, by their ids.
    #[serde(default)]
    pub group_configs: BTreeMap<String, BTreeMap<String, String>>,
    /// Subscriptions to clients' metrics, by their names.
    #[serde(default)]
    pub metrics_configs: BTreeMap<String, BTreeMap<String, String>>,
    /// The next free producer id.
    pub next_producer_id: i64,
    /// Index of the last record batch applied.
    pub applied: u64,
}

fn partition(replicas: &[BrokerId]) -> Partition {
    Partition {
        replicas: replicas.to_vec(),
        isr: replicas.to_vec(),
        leader: replicas.first().copied().unwrap_or(-1),
        leader_epoch: 0,
        partition_epoch: 0,
        opened: BTreeSet::new(),
    }
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
                let partitions = replicas.iter().map(|replicas| partition(replicas)).collect();
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
            MetadataRecord::Partitions { topic, first, replicas } => {
                if let Some(topic) = self.topics.get_mut(topic).map(Arc::make_mut)
                    && usize::try_from(*first) == Ok(topic.partitions.len())
                {
                    topic.partitions.extend(replicas.iter().map(|replicas| partition(replicas)));
                }
            }
            MetadataRecord::Configs { of, changes } => self.configure(of, changes),
        }
    }

    fn configure(&mut self, of: &ConfigOf, changes: &BTreeMap<String, Option<String>>) {
        let configs = match of {
            ConfigOf::Topic(id) => match self.topics.get_mut(id) {
                Some(topic) => &mut Arc::make_mut(topic).configs,
                None => return,
            },
            ConfigOf::Broker(id) => self.broker_configs.entry(*id).or_default(),
            ConfigOf::Cluster => &mut self.cluster_configs,
            ConfigOf::Group(name) => self.group_configs.entry(name.clone()).or_default(),
            ConfigOf::ClientMetrics(name) => self.metrics_configs.entry(name.clone()).or_default(),
        };
        for (name, value) in changes {
            match value {
                Some(value) => configs.insert(name.clone(), value.clone()),
                None => configs.remove(name),
            };
        }
        if !configs.is_empty() {
            return;
        }
        // A resource without configs is not listed.
        match of {
            ConfigOf::Topic(_) | ConfigOf::Cluster => {}
            ConfigOf::Broker(id) => drop(self.broker_configs.remove(id)),
            ConfigOf::Group(name) => drop(self.group_configs.remove(name)),
            ConfigOf::ClientMetrics(name) => drop(self.metrics_configs.remove(name)),
        }
    }

    /// What is set for somebody.
    #[must_use]
    pub fn configs(&self, of: &ConfigOf) -> Option<&BTreeMap<String, String>> {
        match of {
            ConfigOf::Topic(id) => self.topics.get(id).map(|topic| &topic.configs),
            ConfigOf::Broker(id) => self.broker_configs.get(id),
            ConfigOf::Cluster => Some(&self.cluster_configs),
            ConfigOf::Group(name) => self.group_configs.get(name),
            ConfigOf::ClientMetrics(name) => self.metrics_configs.get(name),
        }
    }

    /// What stands below the configs of the topics on one broker.
    #[must_use]
    pub fn layers<'a>(&'a self, broker: BrokerId, statics: &'a Statics) -> Layers<'a> {
        Layers { broker: self.broker_configs.get(&broker), cluster: &self.cluster_configs, statics }
    }

    fn partition_mut(&mut self, topic: TopicId, partition: i32) -> Option<&mut Partition> {
        let topic = Arc::make_mut(self.topics.get_mut(&topic)?);
        topic.partitions.get_mut(usize::try_from(partition).ok()?)
    }
}
