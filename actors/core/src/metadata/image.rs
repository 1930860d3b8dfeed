//! The image: the sum of all committed metadata records.
//!
//! Every node adds the same batches in the same order, and so reaches the same image. Any task may read it; only the
//! owner of the log's stream writes it.
//!
//! [`Image::apply`] accepts every record: one that does not fit the image changes nothing, alike on every node, and is
//! named to whoever applied it. The image decides nothing; the controller does.

use super::broker::{Broker, Listener, Registration, raise};
use super::configs::{Entry, Layers, Statics, topic_entries, topic_entries_of};
use super::partition::{Opened, Partition};
use super::record::{ConfigOf, MetadataRecord, PartitionChange};
use crate::bootstrap::Seat;
use crate::ids::{BrokerId, TopicId, TopicPartition};
use crate::mutant::{Mutant, planted};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A topic with its partitions and its own configs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Topic {
    pub id: TopicId,
    pub name: String,
    /// In the order of their numbers.
    pub partitions: Vec<Partition>,
    /// Only the configs that the topic sets itself.
    pub configs: BTreeMap<String, String>,
    /// Whether the cluster chose the number of replicas. It is false where an older build did not keep the answer.
    #[serde(default)]
    pub default_factor: bool,
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
    /// Raised by each recovery from lost voters.
    #[serde(default)]
    pub cluster_epoch: u32,
    /// The nodes that founded the cluster. They are known before they have registered.
    #[serde(default)]
    pub seats: Vec<Seat>,
    /// The level at which the cluster runs; none in a directory of a build that kept no level.
    #[serde(default)]
    pub feature_level: Option<i16>,
    pub brokers: BTreeMap<BrokerId, Broker>,
    pub topics: BTreeMap<TopicId, Arc<Topic>>,
    pub by_name: BTreeMap<String, TopicId>,
    /// The topics deleted last, the newest at the end. A creation that is repeated late makes none of them anew, because
    /// an id is never reused (I14).
    #[serde(default)]
    pub deleted: VecDeque<TopicId>,
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

/// Deleted topics that the image remembers: more than are deleted while a request is repeated.
const DELETED_KEPT: usize = 1000;

/// A record that did not fit the image and changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// The change was decided on another state of this partition (R43).
    Partition(TopicPartition),
    /// The decision was about another life of this node.
    Broker(BrokerId),
    /// The topic is gone, or exists already.
    Topic(TopicId),
}

/// New partitions, as a record names them.
fn partitions<'a>(
    replicas: &'a [Vec<BrokerId>],
    isr: &'a [Vec<BrokerId>],
) -> impl Iterator<Item = Partition> + 'a {
    replicas
        .iter()
        .enumerate()
        .map(|(n, replicas)| Partition::new(replicas.clone(), isr.get(n).unwrap_or(replicas).clone()))
}

/// Whether a change was decided on the partition as it is (R43).
///
/// Two changes decided on one state have the same partition epoch, so only the first of them counts. A change of
/// leaders needs a higher leader epoch, which fences the old leader.
fn follows(p: &Partition, change: &PartitionChange) -> bool {
    if planted(Mutant::AppliedWithoutEpochCheck) {
        return true;
    }
    let epoch = change.leader_epoch;
    p.partition_epoch.checked_add(1) == Some(change.partition_epoch)
        && if change.leader == p.leader { epoch >= p.leader_epoch } else { epoch > p.leader_epoch }
}

fn take<T: Clone>(field: &mut T, new: Option<&T>) {
    if let Some(new) = new {
        field.clone_from(new);
    }
}

fn changed(p: &mut Partition, change: &PartitionChange) {
    p.leader = change.leader;
    p.leader_epoch = change.leader_epoch;
    p.isr.clone_from(&change.isr);
    p.partition_epoch = change.partition_epoch;
    take(&mut p.replicas, change.replicas.as_ref());
    take(&mut p.adding, change.adding.as_ref());
    take(&mut p.elr, change.elr.as_ref());
    take(&mut p.last_known_elr, change.last_known_elr.as_ref());
    take(&mut p.unclean, change.unclean.as_ref());
    take(&mut p.recovering, change.recovering.as_ref());
    p.unclean_epoch = p.unclean_epoch.max(change.unclean_epoch);
}

impl Image {
    /// A topic by its present name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(self.by_name.get(name)?)
    }

    /// A partition as committed.
    #[must_use]
    pub fn partition(&self, id: TopicPartition) -> Option<&Partition> {
        self.topics.get(&id.topic)?.partition(id.partition)
    }

    /// Adds a batch of records, which the log committed at this index. Returns the records that changed nothing.
    pub fn apply_batch(&mut self, index: u64, records: &[MetadataRecord]) -> Vec<Dropped> {
        let dropped = records.iter().filter_map(|record| self.apply(record, index)).collect();
        self.applied = index;
        dropped
    }

    /// Adds one record of the batch of this index. A record that does not fit changes nothing and is named.
    pub fn apply(&mut self, record: &MetadataRecord, index: u64) -> Option<Dropped> {
        match record {
            MetadataRecord::Cluster { cluster_id, cluster_epoch, seats } => {
                self.cluster_id = Some(cluster_id.clone());
                self.cluster_epoch = self.cluster_epoch.max(*cluster_epoch);
                take(&mut self.seats, (!seats.is_empty()).then_some(seats));
            }
            MetadataRecord::FeatureLevel { level } => {
                self.feature_level = self.feature_level.max(Some(*level));
            }
            MetadataRecord::Broker { broker_id, host, port, rack } => {
                let (id, rack) = (*broker_id, rack.clone());
                let listeners = vec![Listener::plaintext(host.clone(), *port)];
                self.brokers.insert(id, Broker { id, epoch: index, listeners, rack, ..Broker::default() });
            }
            MetadataRecord::Registered { node, fenced } => {
                let before = self.brokers.get(&node.broker);
                let broker = Broker::registered(Registration::clone(node), index, *fenced, before);
                self.brokers.insert(node.broker, broker);
            }
            MetadataRecord::BrokerChange { broker_id, epoch, fenced, shutting_down, synced } => {
                let Some(broker) = self.brokers.get_mut(broker_id).filter(|b| b.epoch == *epoch) else {
                    return Some(Dropped::Broker(*broker_id));
                };
                take(&mut broker.fenced, fenced.as_ref());
                take(&mut broker.shutting_down, shutting_down.as_ref());
                raise(&mut broker.synced, synced);
            }
            MetadataRecord::Topic { id, .. }
            | MetadataRecord::TopicDeleted { id }
            | MetadataRecord::Partitions { topic: id, .. } => {
                return (!self.shape(record)).then_some(Dropped::Topic(*id));
            }
            MetadataRecord::PartitionChange(change) => {
                let follows = self.partition(change.id()).is_some_and(|p| follows(p, change));
                match self.partition_mut(change.id()).filter(|_| follows) {
                    Some(p) => changed(p, change),
                    None => return Some(Dropped::Partition(change.id())),
                }
                self.settle_partition(change.id());
                self.left(change.id());
            }
            MetadataRecord::ProducerIds { next } => self.next_producer_id = self.next_producer_id.max(*next),
            MetadataRecord::ReplicaOpened { topic, partition, broker_id, directory, shard } => {
                let (broker, directory, shard) = (*broker_id, *directory, *shard);
                let id = TopicPartition { topic: *topic, partition: *partition };
                let Some(p) = self.partition_mut(id) else { return Some(Dropped::Partition(id)) };
                // A node has one replica of a partition, in the place that it opened last.
                p.opened.retain(|opened| opened.broker != broker);
                p.opened.insert(Opened { broker, directory, shard });
            }
            MetadataRecord::Configs { of, changes } => {
                if let ConfigOf::Topic(id) = of
                    && !self.topics.contains_key(id)
                {
                    return Some(Dropped::Topic(*id));
                }
                self.configure(of, changes);
                match of {
                    ConfigOf::Topic(id) => self.settle_topics(Some(*id)),
                    ConfigOf::Cluster => self.settle_topics(None),
                    ConfigOf::Broker(_) | ConfigOf::Group(_) | ConfigOf::ClientMetrics(_) => {}
                }
            }
        }
        None
    }

    /// Adds, grows or removes a topic, and says whether the record fits. A topic never replaces another one.
    fn shape(&mut self, record: &MetadataRecord) -> bool {
        match record {
            MetadataRecord::Topic { id, name, replicas, isr, default_factor, configs } => {
                let known = self.topics.contains_key(id) || self.deleted.contains(id);
                if known || self.by_name.contains_key(name) {
                    return false;
                }
                let partitions = partitions(replicas, isr).collect();
                let (id, name, default_factor) = (*id, name.clone(), *default_factor);
                let topic =
                    Topic { id, name: name.clone(), partitions, configs: configs.clone(), default_factor };
                self.by_name.insert(name, id);
                self.topics.insert(id, Arc::new(topic));
                true
            }
            MetadataRecord::TopicDeleted { id } => {
                let Some(topic) = self.topics.remove(id) else { return false };
                self.by_name.remove(&topic.name);
                self.deleted.push_back(*id);
                if self.deleted.len() > DELETED_KEPT {
                    self.deleted.pop_front();
                }
                true
            }
            MetadataRecord::Partitions { topic, first, replicas, isr } => {
                match self.topics.get_mut(topic).map(Arc::make_mut) {
                    Some(topic) if usize::try_from(*first) == Ok(topic.partitions.len()) => {
                        topic.partitions.extend(partitions(replicas, isr));
                        true
                    }
                    _ => false,
                }
            }
            _ => false,
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
        Layers {
            broker: self.broker_configs.get(&broker),
            cluster: &self.cluster_configs,
            statics,
            nodes: self.brokers.len(),
        }
    }

    /// The configs of a topic of this image, as they hold on one broker.
    #[must_use]
    pub fn topic_entries(
        &self,
        configs: &BTreeMap<String, String>,
        replicas: usize,
        layers: &Layers<'_>,
    ) -> Vec<Entry> {
        // A node of a cluster has an address for the others. A single node tells what is set.
        let cluster = self.brokers.values().any(|broker| broker.cluster_address.is_some());
        if cluster { topic_entries_of(configs, layers, replicas) } else { topic_entries(configs, layers) }
    }

    /// Forgets that replicas of a partition came back unclean, once they are listed no more.
    fn left(&mut self, id: TopicPartition) {
        if self.brokers.values().all(|broker| broker.unclean.is_empty()) {
            return;
        }
        let Some(p) = self.partition(id) else { return };
        let listed: Vec<BrokerId> = p.isr.iter().chain(&p.elr).copied().collect();
        for broker in self.brokers.values_mut().filter(|broker| !listed.contains(&broker.id)) {
            broker.unclean.remove(&id);
        }
    }

    pub(super) fn partition_mut(&mut self, id: TopicPartition) -> Option<&mut Partition> {
        let topic = Arc::make_mut(self.topics.get_mut(&id.topic)?);
        topic.partitions.get_mut(usize::try_from(id.partition).ok()?)
    }
}
