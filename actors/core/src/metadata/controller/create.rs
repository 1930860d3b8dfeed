//! Topics come and go.

use super::{ControllerMachine, NewTopic, PARTITIONS_MAX, Refusal, Reply, TopicOutcome, TopicRef, refuse};
use crate::error::ErrorCode;
use crate::ids::{BrokerId, TopicId};
use crate::metadata::configs::check_topic;
use crate::metadata::image::Image;
use crate::metadata::names::{check_name, collide};
use crate::metadata::record::MetadataRecord;
use std::collections::{BTreeMap, BTreeSet};

/// What Kafka keeps its metadata in.
const METADATA_TOPIC: &str = "__cluster_metadata";
pub(super) const TOO_MANY: &str = "Excessively large number of partitions per request.";

/// Replicas for partitions from `first` on, each next broker in turn; none if there are too few brokers.
pub(super) fn spread(
    brokers: &BTreeSet<BrokerId>,
    first: usize,
    partitions: usize,
    factor: usize,
) -> Option<Vec<Vec<BrokerId>>> {
    let order: Vec<BrokerId> = brokers.iter().copied().collect();
    if factor > order.len() {
        return None;
    }
    let at = |p: usize, r: usize| order[(p + r) % order.len()];
    Some((first..first + partitions).map(|p| (0..factor).map(|r| at(p, r)).collect()).collect())
}

/// Replicas that somebody chose: known brokers, each once, as many as the other partitions have.
pub(super) fn check_replicas(
    replicas: &[BrokerId],
    brokers: &BTreeSet<BrokerId>,
    factor: Option<usize>,
) -> Result<(), Refusal> {
    const CODE: ErrorCode = ErrorCode::InvalidReplicaAssignment;
    if replicas.is_empty() {
        return refuse(CODE, "The manual partition assignment includes an empty replica list.");
    }
    if let Some(unknown) = replicas.iter().find(|id| !brokers.contains(id)) {
        let message = format!(
            "The manual partition assignment includes broker {unknown}, but no such broker is registered."
        );
        return refuse(CODE, message);
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = replicas.iter().find(|id| !seen.insert(**id)) {
        let message = format!("The manual partition assignment includes the broker {twice} more than once.");
        return refuse(CODE, message);
    }
    match factor {
        Some(factor) if factor != replicas.len() => refuse(
            CODE,
            format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not \
                 consistent with previous partitions, which have {factor} replica(s).",
                replicas.len()
            ),
        ),
        _ => Ok(()),
    }
}

impl ControllerMachine {
    /// Brokers that can have replicas.
    pub(super) fn brokers(&self) -> BTreeSet<BrokerId> {
        self.image.brokers.keys().copied().collect()
    }

    pub(super) fn create(&self, topics: &[NewTopic]) -> (Vec<TopicOutcome>, Vec<MetadataRecord>) {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in topics {
            *names.entry(&topic.name).or_default() += 1;
        }
        let (mut outcomes, mut records) = (Vec::new(), Vec::new());
        for topic in topics {
            let record = if names[topic.name.as_str()] > 1 {
                refuse(ErrorCode::InvalidRequest, "the request names this topic more than once")
            } else {
                self.check(topic, &records)
            };
            outcomes.push(record.map(|record| {
                let mut image = Image::default();
                image.apply(&record);
                records.push(record);
                image.topics.into_values().next().unwrap_or_default()
            }));
        }
        (outcomes, records)
    }

    fn check(&self, topic: &NewTopic, with: &[MetadataRecord]) -> Result<MetadataRecord, Refusal> {
        if topic.name == METADATA_TOPIC {
            let message = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
            return refuse(ErrorCode::InvalidRequest, message);
        }
        if let Err(error) = check_name(&topic.name) {
            return refuse(ErrorCode::InvalidTopicException, error.to_string());
        }
        let on_the_way = self.pending.iter().flat_map(|p| &p.records).chain(with).filter_map(|r| match r {
            MetadataRecord::Topic { name, .. } => Some(name.as_str()),
            _ => None,
        });
        for other in self.image.by_name.keys().map(String::as_str).chain(on_the_way) {
            if other == topic.name {
                return refuse(ErrorCode::TopicAlreadyExists, format!("Topic '{other}' already exists."));
            }
            if collide(other, &topic.name) {
                let message = format!(
                    "topic {} collides with {other}: '.' and '_' are the same in metrics",
                    topic.name
                );
                return refuse(ErrorCode::InvalidTopicException, message);
            }
        }
        let configs = self.own_configs(topic)?;
        let replicas = self.place(topic)?;
        Ok(MetadataRecord::Topic { id: topic.id, name: topic.name.clone(), replicas, configs })
    }

    fn own_configs(&self, topic: &NewTopic) -> Result<BTreeMap<String, String>, Refusal> {
        let mut asked = BTreeMap::new();
        for (name, value) in &topic.configs {
            let Some(value) = value else {
                let message = format!("Null value not supported for topic configs: {name}");
                return refuse(ErrorCode::InvalidConfig, message);
            };
            asked.insert(name.clone(), value.clone());
        }
        check_topic(&topic.name, &asked, &self.defaults.statics)
            .or_else(|error| refuse(ErrorCode::InvalidConfig, error.to_string()))
    }

    fn place(&self, topic: &NewTopic) -> Result<Vec<Vec<BrokerId>>, Refusal> {
        let brokers = self.brokers();
        if !topic.assignments.is_empty() {
            return Self::assigned(topic, &brokers);
        }
        let partitions = if topic.partitions == -1 { self.defaults.partitions } else { topic.partitions };
        // The default factor follows the cluster: 1 on one node.
        let factor = if topic.replication_factor == -1 { 1 } else { topic.replication_factor };
        if factor < 1 {
            let message = "Replication factor must be larger than 0, or -1 to use the default value.";
            return refuse(ErrorCode::InvalidReplicationFactor, message);
        }
        if partitions < 1 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return refuse(ErrorCode::InvalidPartitions, message);
        }
        if partitions > PARTITIONS_MAX {
            return refuse(ErrorCode::PolicyViolation, TOO_MANY);
        }
        let Some(replicas) = spread(&brokers, 0, partitions as usize, factor as usize) else {
            let message = format!(
                "Unable to replicate the partition {factor} time(s): only {} broker(s) are registered.",
                brokers.len()
            );
            return refuse(ErrorCode::InvalidReplicationFactor, message);
        };
        Ok(replicas)
    }

    fn assigned(topic: &NewTopic, brokers: &BTreeSet<BrokerId>) -> Result<Vec<Vec<BrokerId>>, Refusal> {
        if topic.partitions != -1 || topic.replication_factor != -1 {
            return refuse(
                ErrorCode::InvalidRequest,
                "partitions and replication factor must be -1 beside assignments",
            );
        }
        let mut out: Vec<Vec<BrokerId>> = Vec::new();
        for (expected, (partition, replicas)) in (0i32..).zip(&topic.assignments) {
            if *partition != expected {
                return refuse(
                    ErrorCode::InvalidReplicaAssignment,
                    "partitions should be a consecutive 0-based integer sequence",
                );
            }
            check_replicas(replicas, brokers, out.first().map(Vec::len))?;
            out.push(replicas.clone());
        }
        Ok(out)
    }

    pub(super) fn delete(&self, topics: Vec<TopicRef>) -> (Reply, Vec<MetadataRecord>) {
        let (mut outcomes, mut records) = (Vec::new(), Vec::new());
        for topic in topics {
            let (found, name, id, code) = match topic {
                TopicRef::Name(name) => {
                    (self.image.topic(&name), Some(name), TopicId::ZERO, ErrorCode::UnknownTopicOrPartition)
                }
                TopicRef::Id(id) => (self.image.topics.get(&id), None, id, ErrorCode::UnknownTopicId),
            };
            match found {
                None => {
                    outcomes.push((name, id, refuse(code, "this server does not host the topic")));
                }
                Some(topic) => {
                    let record = MetadataRecord::TopicDeleted { id: topic.id };
                    if !records.contains(&record) {
                        records.push(record);
                    }
                    outcomes.push((Some(topic.name.clone()), topic.id, Ok(())));
                }
            }
        }
        (Reply::Deleted(outcomes, self.image.applied), records)
    }
}
