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
use crate::ids::TopicId;
use crate::mutant::{Mutant, planted};
use std::sync::Arc;

impl Image {
    /// Empties the lists of the partitions of one topic, or of all, whose ISR is large enough. A record that says nothing of
    /// the partitions `moves` their epochs, so that no decision on the former lists fits any more.
    pub(super) fn settle_eligible(&mut self, of: Option<TopicId>, moves: bool) {
        if planted(Mutant::ElrKeptAtMinIsr) {
            return;
        }
        let due = |topic: &Topic| self.first_settled(topic).is_some();
        let due: Vec<TopicId> = match of {
            Some(id) => {
                self.topics.get(&id).filter(|topic| due(topic)).map(|topic| topic.id).into_iter().collect()
            }
            None => self.topics.values().filter(|topic| due(topic)).map(|topic| topic.id).collect(),
        };
        for id in due {
            while let Some(at) = self.topics.get(&id).and_then(|topic| self.first_settled(topic)) {
                let topic = self.topics.get_mut(&id).map(Arc::make_mut);
                let Some(p) = topic.and_then(|topic| topic.partitions.get_mut(at)) else { break };
                p.elr.clear();
                p.last_known_elr.clear();
                p.partition_epoch = p.partition_epoch.saturating_add(i32::from(moves));
            }
        }
    }

    /// The first partition of a topic that has eligible replicas beside an ISR that is large enough.
    fn first_settled(&self, topic: &Topic) -> Option<usize> {
        let degraded = |p: &&super::partition::Partition| !p.elr.is_empty() || !p.last_known_elr.is_empty();
        topic.partitions.iter().find(degraded)?;
        let statics = Statics::default();
        let layers = self.layers(-1, &statics);
        topic.partitions.iter().position(|p| {
            degraded(&p) && p.isr.len() >= min_insync_replicas(&topic.configs, &layers, p.settled())
        })
    }
}
