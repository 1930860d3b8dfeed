//! Keeps each image free of eligible replicas beside an ISR that is large enough (R9, R11).
//!
//! The controller decides both lists on the image with all that it has proposed. A proposal before that one may never be
//! committed, and then the lists stem from another `min.insync.replicas` than the one in force. An ISR that is large
//! enough commits records, and a replica outside of it may lack them. So each image that a record leads to is settled:
//! the lists go where the ISR has the size.
//!
//! Only what is committed counts here, and no node's own file, because all nodes have to come to the same image. To lose
//! an eligible replica costs availability alone.

use super::configs::{Statics, min_insync_replicas};
use super::image::{Image, Topic};
use super::partition::Partition;
use crate::ids::{TopicId, TopicPartition};
use crate::mutant::{Mutant, planted};

impl Image {
    /// Empties the lists of a partition that a record has just changed, if its ISR is large enough.
    pub(super) fn settle_partition(&mut self, id: TopicPartition) {
        let topic = self.topics.get(&id.topic);
        let outgrown = |topic: &std::sync::Arc<Topic>| {
            topic.partition(id.partition).is_some_and(|p| self.has_outgrown(topic, p))
        };
        if topic.is_some_and(outgrown)
            && let Some(p) = self.partition_mut(id)
        {
            p.elr.clear();
            p.last_known_elr.clear();
        }
    }

    /// Empties the lists that new settings of a topic, or of all, make void. The record says nothing of the partitions, so
    /// their epochs move too: no decision on the former lists fits any more.
    pub(super) fn settle_topics(&mut self, of: Option<TopicId>) {
        let mut outgrown = Vec::new();
        for topic in self.topics.values().filter(|topic| of.is_none_or(|id| id == topic.id)) {
            let all = (0i32..).zip(&topic.partitions).filter(|(_, p)| self.has_outgrown(topic, p));
            outgrown.extend(all.map(|(partition, _)| TopicPartition { topic: topic.id, partition }));
        }
        for id in outgrown {
            if let Some(p) = self.partition_mut(id) {
                p.elr.clear();
                p.last_known_elr.clear();
                p.partition_epoch = p.partition_epoch.saturating_add(1);
            }
        }
    }

    /// Whether a partition has eligible replicas beside an ISR that is large enough.
    fn has_outgrown(&self, topic: &Topic, p: &Partition) -> bool {
        if (p.elr.is_empty() && p.last_known_elr.is_empty()) || planted(Mutant::ElrKeptAtMinIsr) {
            return false;
        }
        let statics = Statics::default();
        p.isr.len() >= min_insync_replicas(&topic.configs, &self.layers(-1, &statics), p.settled())
    }
}
