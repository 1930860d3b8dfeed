//! The image: the sum of all committed metadata records.
//!
//! Every node adds the same batches in the same order, and so reaches the same image. Any task may read it; only the
//! owner of the log's stream writes it.
//!
//! [`Image::apply`] accepts every record: one that does not fit the image changes nothing, alike on every node. The
//! image decides nothing; the controller does.

use super::configs::{Layers, Statics};
use super::record::{ConfigOf, MetadataRecord};
use crate::ids::{BrokerId, LeaderEpoch, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A registered node of the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Broker {
    pub id: BrokerId,
    /// Host and port that clients are told.
    pub host: String,
    pub port: u16,
    pub rack: Option<String>,
    /// Broker epoch: the index of the node's last registration. It is 0 in a snapshot of a build that did not keep
    /// it.
    #[serde(default)]
    pub epoch: u64,
}

/// A partition's replicas and leadership, as committed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Partition {
    /// Replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    pub isr: Vec<BrokerId>,
    /// The leading node, or −1 if no node leads.
    pub leader: BrokerId,
    /// Grows with each new leadership, even of the same node.
    pub leader_epoch: LeaderEpoch,
    /// Grows by one with each change.
    pub partition_epoch: i32,
    /// Nodes that have opened their replica. None of these nodes may create it empty again.
    pub opened: BTreeSet<BrokerId>,
}

/// A topic with its partitions and its own configs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Topic {
    pub id: TopicId,
    pub name: String,
    /// In the order of their numbers.
    pub partitions: Vec<Partition>,
    /// Only the configs that the topic sets itself.
    pub configs: BTreeMap<String, String>,
}

impl Topic {
    /// A partition by its number, as a request gives it.
    #[must_use]
    pub fn partition(&self, number: i32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(number).ok()?)
    }
}

/// The sum of all committed metadata records.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Image {
    /// None until the cluster is founded.
    pub cluster_id: Option<String>,
    pub brokers: BTreeMap<BrokerId, Broker>,
    pub topics: BTreeMap<TopicId, Arc<Topic>>,
    pub by_name: BTreeMap<String, TopicId>,
    /// Settings of all brokers, made at run time.
    #[serde(default)]
    pub cluster_configs: BTreeMap<String, String>,
    /// Settings of one broker, made at run time.
    #[serde(default)]
    pub broker_configs: BTreeMap<BrokerId, BTreeMap<String, String>>,
    #[serde(default)]
    pub group_configs: BTreeMap<String, BTreeMap<String, String>>,
    /// Settings of each subscription to clients' metrics.
    #[serde(default)]
    pub metrics_configs: BTreeMap<String, BTreeMap<String, String>>,
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

/// Whether a change was decided on the partition as it is (R43).
///
/// Two changes decided on one state have the same partition epoch, so only the first of them counts. A change of
/// leaders needs a higher leader epoch, which fences the old leader.
fn follows(p: &Partition, leader: BrokerId, leader_epoch: LeaderEpoch, partition_epoch: i32) -> bool {
    let moved = leader != p.leader;
    p.partition_epoch.checked_add(1) == Some(partition_epoch)
        && if moved { leader_epoch > p.leader_epoch } else { leader_epoch >= p.leader_epoch }
}

impl Image {
    /// A topic by its present name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(self.by_name.get(name)?)
    }

    /// Adds a batch of records, which the log committed at this index.
    pub fn apply_batch(&mut self, index: u64, records: &[MetadataRecord]) {
        records.iter().for_each(|record| self.apply(record, index));
        self.applied = index;
    }

    /// Adds one record of the batch of this index. A record about an unknown topic or partition changes nothing.
    pub fn apply(&mut self, record: &MetadataRecord, index: u64) {
        match record {
            MetadataRecord::Cluster { cluster_id } => self.cluster_id = Some(cluster_id.clone()),
            MetadataRecord::Broker { broker_id, host, port, rack } => {
                let (id, host, port, rack) = (*broker_id, host.clone(), *port, rack.clone());
                self.brokers.insert(id, Broker { id, host, port, rack, epoch: index });
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
                let follows = |p: &Partition| follows(p, *leader, *leader_epoch, *partition_epoch);
                if self.partition(*topic, *partition).is_some_and(follows)
                    && let Some(p) = self.partition_mut(*topic, *partition)
                {
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
        // A resource without configs goes, because Kafka lists no such resource.
        match of {
            ConfigOf::Topic(_) | ConfigOf::Cluster => {}
            ConfigOf::Broker(id) => drop(self.broker_configs.remove(id)),
            ConfigOf::Group(name) => drop(self.group_configs.remove(name)),
            ConfigOf::ClientMetrics(name) => drop(self.metrics_configs.remove(name)),
        }
    }

    /// The settings of a resource; none if the resource is unknown or sets nothing.
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

    /// The layers of settings below the topics' own configs, as they hold on one broker.
    #[must_use]
    pub fn layers<'a>(&'a self, broker: BrokerId, statics: &'a Statics) -> Layers<'a> {
        Layers { broker: self.broker_configs.get(&broker), cluster: &self.cluster_configs, statics }
    }

    fn partition(&self, topic: TopicId, partition: i32) -> Option<&Partition> {
        self.topics.get(&topic)?.partition(partition)
    }

    fn partition_mut(&mut self, topic: TopicId, partition: i32) -> Option<&mut Partition> {
        let topic = Arc::make_mut(self.topics.get_mut(&topic)?);
        topic.partitions.get_mut(usize::try_from(partition).ok()?)
    }
}
