//! Decides the growth of topics: new partitions follow those that exist.
//!
//! A topic never shrinks, and its new partitions have as many replicas as its first one. Replicas of existing
//! partitions stay where they are.

use super::basis::Basis;
use super::create::{ALL_FENCED, check_replicas};
use super::messages::{MorePartitions, PARTITIONS_MAX, Refusal, refuse};
use super::place::Unplaced;
use crate::error::ErrorCode;
use crate::ids::BrokerId;
use crate::metadata::image::Topic;
use crate::metadata::record::MetadataRecord;
use std::collections::BTreeMap;

/// Kafka's words for a batch of records that would be too long.
const TOO_MANY: &str = "Unable to perform excessively large batch operation.";

/// The outcome of each topic, and the records.
type Grown = (Vec<Result<(), Refusal>>, Vec<MetadataRecord>);

impl Basis<'_> {
    /// Judges each topic by itself, so a refused one holds back no other. Like Kafka, it refuses a request that adds more
    /// partitions than one batch of records may hold.
    pub(super) fn more_partitions(&self, topics: &[MorePartitions]) -> Result<Grown, Refusal> {
        let added = |more: &MorePartitions| {
            let has = self.image.topics.get(&more.id)?.partitions.len();
            Some(usize::try_from(more.count).ok()?.saturating_sub(has))
        };
        if topics.iter().filter_map(added).fold(0, usize::saturating_add) > PARTITIONS_MAX {
            return refuse(ErrorCode::PolicyViolation, TOO_MANY);
        }
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in topics {
            *names.entry(&topic.name).or_default() += 1;
        }
        let (mut outcomes, mut records) = (Vec::new(), Vec::new());
        for topic in topics {
            let record = if names[topic.name.as_str()] > 1 {
                refuse(ErrorCode::InvalidRequest, "Duplicate topic name.")
            } else {
                self.grown(topic)
            };
            outcomes.push(record.map(|record| records.push(record)));
        }
        Ok((outcomes, records))
    }

    fn grown(&self, more: &MorePartitions) -> Result<MetadataRecord, Refusal> {
        let Some(topic) = self.image.topics.get(&more.id) else {
            let message = "This server does not host this topic-partition.";
            return refuse(ErrorCode::UnknownTopicOrPartition, message);
        };
        let has = topic.partitions.len();
        let wanted = usize::try_from(more.count).unwrap_or(0);
        if wanted == has {
            return refuse(ErrorCode::InvalidPartitions, format!("Topic already has {has} partition(s)."));
        }
        if wanted < has {
            let message = format!(
                "The topic {} currently has {has} partition(s); {} would not be an increase.",
                more.name, more.count
            );
            return refuse(ErrorCode::InvalidPartitions, message);
        }
        if wanted > PARTITIONS_MAX {
            return refuse(ErrorCode::PolicyViolation, TOO_MANY);
        }
        let replicas = self.placed(more, topic, wanted - has)?;
        let isr = self.first_isrs(has, &replicas)?;
        Ok(MetadataRecord::Partitions { topic: topic.id, first: has as i32, replicas, isr })
    }

    fn placed(
        &self,
        more: &MorePartitions,
        topic: &Topic,
        additional: usize,
    ) -> Result<Vec<Vec<BrokerId>>, Refusal> {
        let brokers = self.brokers();
        let factor = topic.partitions.first().map_or(1, |p| p.replicas.len());
        let Some(assignments) = &more.assignments else {
            return self.spread(topic.id, &topic.partitions, additional, factor).or_else(|why| {
                let message = match why {
                    Unplaced::TooFewBrokers => format!(
                        "Unable to replicate the partition {factor} time(s): too few brokers are registered."
                    ),
                    Unplaced::AllFenced => ALL_FENCED.to_owned(),
                };
                refuse(ErrorCode::InvalidReplicationFactor, message)
            });
        };
        if assignments.len() != additional {
            let message = format!(
                "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            );
            return refuse(ErrorCode::InvalidReplicaAssignment, message);
        }
        for replicas in assignments {
            check_replicas(replicas, &brokers, Some(factor))?;
        }
        Ok(assignments.clone())
    }
}
