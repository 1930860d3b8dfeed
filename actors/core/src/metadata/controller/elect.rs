//! Decides what an operator asks of leaderships: the preferred leader, or a leader at any price (ElectLeaders, KIP-460).
//!
//! An unclean election loses whatever only the missing replicas hold. So it takes the ordinary rule first, and gives up
//! records only where that rule finds nobody.
//!
//! The texts of refusals are Kafka's, because `kafka-leader-election` prints them.

use super::basis::Basis;
use super::isr::unchanged;
use super::messages::{Elected, Election, Refusal, refuse};
use crate::error::ErrorCode;
use crate::ids::TopicPartition;
use crate::metadata::image::Topic;
use crate::metadata::partition::Partition;
use crate::metadata::record::{MetadataRecord, PartitionChange};
use std::collections::BTreeSet;

const NEEDLESS: &str = "Leader election not needed for topic partition.";

impl Basis<'_> {
    /// Elects leaders of these partitions, or of all; of all it tells those alone whose leader changes, or cannot.
    pub(super) fn elect_leaders(
        &self,
        election: Election,
        partitions: Option<&[TopicPartition]>,
    ) -> (Vec<Elected>, Vec<MetadataRecord>) {
        let all = || {
            let topics = self.image.topics.values();
            let of = |topic: &std::sync::Arc<Topic>| {
                let (topic, count) = (topic.id, topic.partitions.len());
                (0i32..).take(count).map(move |partition| TopicPartition { topic, partition })
            };
            topics.flat_map(of).collect::<Vec<_>>()
        };
        let asked = partitions.map_or_else(all, <[TopicPartition]>::to_vec);
        let (mut outcomes, mut records, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for id in asked.into_iter().filter(|id| seen.insert(*id)) {
            let outcome = self.elect_one(election, id).map(|change| {
                records.push(MetadataRecord::PartitionChange(change));
            });
            let needless = |refusal: &Refusal| refusal.code == ErrorCode::ElectionNotNeeded;
            if partitions.is_some() || !outcome.as_ref().is_err_and(needless) {
                outcomes.push((id, outcome));
            }
        }
        (outcomes, records)
    }

    fn elect_one(&self, election: Election, id: TopicPartition) -> Result<PartitionChange, Refusal> {
        let Some(topic) = self.image.topics.get(&id.topic) else {
            return refuse(ErrorCode::UnknownTopicOrPartition, format!("No such topic id as {}", id.topic));
        };
        let Some(p) = topic.partition(id.partition) else {
            let message = format!("No such partition as {}-{}", topic.name, id.partition);
            return refuse(ErrorCode::UnknownTopicOrPartition, message);
        };
        match election {
            Election::Preferred => self.prefer(id, p),
            Election::Unclean => self.at_any_price(id, topic, p),
        }
    }

    fn prefer(&self, id: TopicPartition, p: &Partition) -> Result<PartitionChange, Refusal> {
        let preferred = p.replicas.first().copied().unwrap_or(-1);
        if p.leader == preferred {
            return refuse(ErrorCode::ElectionNotNeeded, NEEDLESS);
        }
        if !p.isr.contains(&preferred) || !self.may_lead(id, preferred) {
            let message = "The preferred leader was not available.";
            return refuse(ErrorCode::PreferredLeaderNotAvailable, message);
        }
        let leader_epoch = p.leader_epoch.saturating_add(1);
        Ok(PartitionChange { leader: preferred, leader_epoch, ..unchanged(id, p) })
    }

    fn at_any_price(
        &self,
        id: TopicPartition,
        topic: &Topic,
        p: &Partition,
    ) -> Result<PartitionChange, Refusal> {
        if p.leader >= 0 {
            return refuse(ErrorCode::ElectionNotNeeded, NEEDLESS);
        }
        let lost = self.lost();
        let change = self.due_to(id, topic, p, lost.get(&id), || true).filter(|change| change.leader >= 0);
        // An ISR of unfenced members that cannot lead keeps everybody else out; an operator may give them up.
        let change = change.or_else(|| self.uncleanly(id, p, &BTreeSet::new()));
        let change = change.or_else(|| self.emptied(id, p));
        change.map_or_else(
            || {
                refuse(
                    ErrorCode::EligibleLeadersNotAvailable,
                    "Eligible topic partition leaders are not available.",
                )
            },
            Ok,
        )
    }
}
