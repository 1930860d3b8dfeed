//! Decides which topics are created and deleted.
//!
//! Each topic is judged by itself, and a refused one holds back no other. A topic that a request names twice is
//! refused, because the two may not mean the same. A topic of this name and id was made for the same request, which the
//! asker repeats because it lost the answer. `place.rs` places replicas, and `partitions.rs` decides the growth of topics.

use super::basis::Basis;
use super::messages::{
    CreatedTopic, DeleteOutcome, NewTopic, PARTITIONS_MAX, Refusal, TopicOutcome, TopicRef, refuse,
};
use super::place::Unplaced;
use crate::error::ErrorCode;
use crate::ids::{BrokerId, TopicId};
use crate::metadata::configs::check_topic;
use crate::metadata::image::{Image, Topic};
use crate::metadata::names::{check_name, collide, is_internal};
use crate::metadata::record::MetadataRecord;
use std::collections::{BTreeMap, BTreeSet};

/// The topic in which Kafka keeps its metadata. Clients may not create it.
const METADATA_TOPIC: &str = "__cluster_metadata";
const FACTOR: &str = "default.replication.factor";
pub(super) const ALL_FENCED: &str = "All brokers are currently fenced or shutting down.";
const TOO_MANY: &str = "Excessively large number of partitions per request.";

/// The outcome of each topic, the records, and whether some topics exist already.
type Created = (Vec<TopicOutcome>, Vec<MetadataRecord>, bool);

/// Checks replicas that a client chose: known brokers, each once, as many as the other partitions have.
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

impl Basis<'_> {
    /// Creates topics. Also says whether some of them exist already, by an earlier attempt of the same request.
    pub(super) fn create(&self, topics: &[NewTopic]) -> Result<Created, Refusal> {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in topics {
            *names.entry(&topic.name).or_default() += 1;
        }
        self.not_too_many(topics.iter().filter(|topic| names[topic.name.as_str()] == 1))?;
        let (mut outcomes, mut records, mut retried) = (Vec::new(), Vec::new(), false);
        for topic in topics {
            if names[topic.name.as_str()] > 1 {
                outcomes.push(refuse(ErrorCode::InvalidRequest, "Duplicate topic name."));
                continue;
            }
            // The asker draws the id, so this very topic was made for it (R44).
            if let Some(made) = self.image.topic(&topic.name).filter(|made| made.id == topic.id) {
                outcomes.push(Ok(CreatedTopic::from(&**made)));
                retried = true;
                continue;
            }
            outcomes.push(self.check(topic, &records).map(|record| {
                let mut image = Image::default();
                image.apply(&record, 0);
                records.push(record);
                CreatedTopic::from(&*image.topics.into_values().next().unwrap_or_default())
            }));
        }
        Ok((outcomes, records, retried))
    }

    /// Refuses a request that asks for more partitions than one batch of records may hold. Like Kafka, it counts a default
    /// and assigned partitions, and no topic that it refuses for its name.
    fn not_too_many<'a>(&self, topics: impl Iterator<Item = &'a NewTopic>) -> Result<(), Refusal> {
        let asked = |topic: &NewTopic| match (topic.assignments.len(), topic.partitions) {
            (0, -1) => usize::try_from(self.defaults.partitions).unwrap_or(0),
            (0, partitions) => usize::try_from(partitions).unwrap_or(0),
            (assigned, _) => assigned,
        };
        let counted = topics.filter(|topic| topic.name != METADATA_TOPIC);
        match counted.fold(0usize, |sum, topic| sum.saturating_add(asked(topic))) {
            0..=PARTITIONS_MAX => Ok(()),
            _ => refuse(ErrorCode::PolicyViolation, TOO_MANY),
        }
    }

    fn check(&self, topic: &NewTopic, with: &[MetadataRecord]) -> Result<MetadataRecord, Refusal> {
        if topic.name == METADATA_TOPIC {
            let message = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
            return refuse(ErrorCode::InvalidRequest, message);
        }
        if let Err(error) = check_name(&topic.name) {
            return refuse(ErrorCode::InvalidTopicException, error.to_string());
        }
        let before_it = with.iter().filter_map(|r| match r {
            MetadataRecord::Topic { name, .. } => Some(name.as_str()),
            _ => None,
        });
        for other in self.image.by_name.keys().map(String::as_str).chain(before_it) {
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
        if self.image.topics.contains_key(&topic.id) {
            return refuse(ErrorCode::InvalidRequest, "The topic id belongs to another topic.");
        }
        if self.image.deleted.contains(&topic.id) {
            let message = format!("Topic '{}' was created, and it was deleted since.", topic.name);
            return refuse(ErrorCode::UnknownTopicOrPartition, message);
        }
        let configs = self.own_configs(topic)?;
        let replicas = self.place(topic)?;
        let isr = self.first_isrs(0, &replicas)?;
        let (id, name) = (topic.id, topic.name.clone());
        let unset = is_internal(&topic.name) || self.defaults.statics.get(FACTOR).is_none();
        let default_factor = topic.assignments.is_empty() && topic.replication_factor == -1 && unset;
        Ok(MetadataRecord::Topic { id, name, replicas, isr, default_factor, configs })
    }

    /// The first ISR of each partition from this number on; none at all where every replica is in sync. A partition without
    /// a single member is refused (R43).
    pub(super) fn first_isrs(
        &self,
        first: usize,
        replicas: &[Vec<BrokerId>],
    ) -> Result<Vec<Vec<BrokerId>>, Refusal> {
        let isr: Vec<_> = replicas.iter().map(|replicas| self.first_isr(replicas)).collect();
        if let Some(n) = isr.iter().position(Vec::is_empty) {
            let n = first.saturating_add(n);
            let message = format!("All brokers that partition {n} would have are fenced or shutting down.");
            return refuse(ErrorCode::InvalidReplicaAssignment, message);
        }
        Ok(if isr == replicas { Vec::new() } else { isr })
    }

    /// Replicas of a topic that states no number. Internal topics follow no setting: one that this cluster cannot meet would
    /// keep all groups from working.
    fn default_factor(&self, name: &str) -> usize {
        let layers = self.image.layers(-1, &self.defaults.statics);
        if is_internal(name) { layers.chosen_factor() } else { layers.default_factor() }
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
        check_topic(&topic.name, &asked).or_else(|error| refuse(ErrorCode::InvalidConfig, error.to_string()))
    }

    fn place(&self, topic: &NewTopic) -> Result<Vec<Vec<BrokerId>>, Refusal> {
        let brokers = self.brokers();
        if !topic.assignments.is_empty() {
            return Self::assigned(topic, &brokers);
        }
        let partitions = if topic.partitions == -1 { self.defaults.partitions } else { topic.partitions };
        let factor = match topic.replication_factor {
            -1 => self.default_factor(&topic.name),
            factor => usize::try_from(factor).unwrap_or(0),
        };
        if factor < 1 {
            let message = "Replication factor must be larger than 0, or -1 to use the default value.";
            return refuse(ErrorCode::InvalidReplicationFactor, message);
        }
        if partitions < 1 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return refuse(ErrorCode::InvalidPartitions, message);
        }
        self.spread(topic.id, &[], partitions as usize, factor).or_else(|why| {
            let message = match why {
                Unplaced::TooFewBrokers => format!(
                    "Unable to replicate the partition {factor} time(s): only {} broker(s) are registered.",
                    brokers.len()
                ),
                Unplaced::AllFenced => ALL_FENCED.to_owned(),
            };
            refuse(ErrorCode::InvalidReplicationFactor, message)
        })
    }

    fn assigned(topic: &NewTopic, brokers: &BTreeSet<BrokerId>) -> Result<Vec<Vec<BrokerId>>, Refusal> {
        let beside = |what: &str| {
            let message =
                format!("A manual partition assignment was specified, but {what} was not set to -1.");
            refuse(ErrorCode::InvalidRequest, message)
        };
        if topic.replication_factor != -1 {
            return beside("replication factor");
        }
        if topic.partitions != -1 {
            return beside("numPartitions");
        }
        let mut assignments = BTreeMap::new();
        for (partition, replicas) in &topic.assignments {
            if assignments.insert(partition, replicas).is_some() {
                let message =
                    format!("Found multiple manual partition assignments for partition {partition}");
                return refuse(ErrorCode::InvalidReplicaAssignment, message);
            }
        }
        let mut out: Vec<Vec<BrokerId>> = Vec::new();
        for (expected, (partition, replicas)) in (0i32..).zip(assignments) {
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

    pub(super) fn delete(&self, topics: &[TopicRef]) -> (Vec<DeleteOutcome>, Vec<MetadataRecord>) {
        let mut times: BTreeMap<&TopicRef, usize> = BTreeMap::new();
        for topic in topics {
            *times.entry(topic).or_default() += 1;
        }
        let (mut told, mut outcomes, mut records) = (BTreeSet::new(), Vec::new(), Vec::new());
        for topic in topics {
            if !told.insert(topic) {
                continue;
            }
            let also = |other: TopicRef| times.contains_key(&other);
            let (name, id) = match topic {
                TopicRef::Named(name, id) if also(TopicRef::Id(*id)) => (Some(name.clone()), *id),
                TopicRef::Name(name) | TopicRef::Named(name, _) => (Some(name.clone()), TopicId::ZERO),
                // The request names this topic too, and the answer to the name tells its outcome.
                TopicRef::Id(id)
                    if self
                        .image
                        .topics
                        .get(id)
                        .is_some_and(|t| also(TopicRef::Named(t.name.clone(), *id))) =>
                {
                    continue;
                }
                TopicRef::Id(id) => (None, *id),
                TopicRef::Both(name, id) => (Some(name.clone()), *id),
            };
            match self.deletable(topic, &times) {
                Err(refusal) => outcomes.push((name, id, Err(refusal))),
                Ok(topic) => {
                    records.push(MetadataRecord::TopicDeleted { id: topic.id });
                    outcomes.push((Some(topic.name.clone()), topic.id, Ok(())));
                }
            }
        }
        (outcomes, records)
    }

    /// The topic, if the request names it once and in one way. Otherwise nothing is deleted, because the request may
    /// have meant another topic.
    fn deletable(&self, topic: &TopicRef, times: &BTreeMap<&TopicRef, usize>) -> Result<&Topic, Refusal> {
        const UNKNOWN: &str = "This server does not host this topic-partition.";
        const UNKNOWN_ID: &str = "This server does not host this topic ID.";
        let twice = times.get(topic).is_some_and(|times| *times > 1);
        let also = |other: TopicRef| times.contains_key(&other);
        let refused = |message: &str| refuse(ErrorCode::InvalidRequest, message);
        match topic {
            TopicRef::Both(..) => refused("You may not specify both topic name and topic id."),
            TopicRef::Id(TopicId::ZERO) => refused("Neither topic name nor id were specified."),
            TopicRef::Name(_) | TopicRef::Named(..) if twice => refused("Duplicate topic name."),
            TopicRef::Id(_) if twice => refused("Duplicate topic id."),
            TopicRef::Named(_, id) if also(TopicRef::Id(*id)) => {
                refused("The provided topic name maps to an ID that was already supplied.")
            }
            TopicRef::Name(_) => refuse(ErrorCode::UnknownTopicOrPartition, UNKNOWN),
            TopicRef::Named(_, id) => match self.image.topics.get(id) {
                None => refuse(ErrorCode::UnknownTopicOrPartition, UNKNOWN),
                Some(found) => Ok(found),
            },
            TopicRef::Id(id) => match self.image.topics.get(id) {
                None => refuse(ErrorCode::UnknownTopicId, UNKNOWN_ID),
                Some(found) => Ok(found),
            },
        }
    }
}
