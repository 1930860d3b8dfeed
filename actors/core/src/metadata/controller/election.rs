//! Decides who leads a partition and who is in its ISR, after something has changed about nodes.
//!
//! ```text
//!   ISR     its unfenced members; if all are fenced, they all stay, and nobody leads (R9)
//!   leader  the present one, unless it is fenced or should give way; else the first replica in the ISR that may lead (R10)
//! ```
//! The rule looks at nodes and partition as they are, and never at the event. So one pass over all partitions serves each
//! event, and also mends a partition whose change met another state (R43). All changes of a pass are one batch (R12).
//!
//! The last members stay in the ISR, because they alone hold what is committed. Members whose nodes end in one batch stay
//! together: otherwise one machine that stays dead would take two sound replicas offline. ELRs are empty until
//! restarts are judged; a leader is taken from one only where the ISR is empty.

use super::basis::Basis;
use super::isr::unchanged;
use crate::ids::{BrokerId, TopicPartition};
use crate::metadata::broker::Broker;
use crate::metadata::partition::Partition;
use crate::metadata::record::PartitionChange;
use std::collections::BTreeMap;

/// Changes by partition, in the order of ids.
pub(super) type Changes = BTreeMap<TopicPartition, PartitionChange>;

impl Basis<'_> {
    /// The change of each partition that is not as it should be.
    pub(super) fn due(&self) -> Changes {
        let mut changes = Changes::new();
        for topic in self.image.topics.values() {
            for (partition, p) in (0i32..).zip(&topic.partitions) {
                let id = TopicPartition { topic: topic.id, partition };
                changes.extend(self.due_to(id, p).map(|change| (id, change)));
            }
        }
        changes
    }

    fn due_to(&self, id: TopicPartition, p: &Partition) -> Option<PartitionChange> {
        let mut isr: Vec<BrokerId> =
            p.isr.iter().copied().filter(|id| self.unfenced(*id).is_some()).collect();
        if isr.is_empty() {
            isr.clone_from(&p.isr);
        }
        let mut leader = self.leader(id, p, &isr);
        if isr.is_empty() {
            leader = self.elect(id, p, &p.elr, |_| true).unwrap_or(-1);
            isr.extend((leader >= 0).then_some(leader));
        }
        if leader == p.leader && isr == p.isr {
            return None;
        }
        // Without a higher epoch the change would never fit (R43).
        let leader_epoch = p.leader_epoch.checked_add(i32::from(leader != p.leader))?;
        Some(PartitionChange { leader, leader_epoch, isr, ..unchanged(id, p) })
    }

    /// The leader out of this ISR, or −1.
    fn leader(&self, id: TopicPartition, p: &Partition, isr: &[BrokerId]) -> BrokerId {
        let healthy = |broker: &Broker| !self.standing.stalled.contains(&broker.peer());
        let present = isr.contains(&p.leader).then(|| self.unfenced(p.leader)).flatten();
        let Some(present) = present else {
            // A slow disk is better than no leader.
            let elected = self.elect(id, p, isr, healthy).or_else(|| self.elect(id, p, isr, |_| true));
            return elected.unwrap_or(-1);
        };
        if present.is_active() && healthy(present) && !self.unable(present, id) {
            return p.leader;
        }
        // It gives way only to a better one: without one it stays, because −1 would serve nobody.
        self.elect(id, p, isr, healthy).unwrap_or(p.leader)
    }

    /// The first replica of the group that may lead, in the order of preference.
    fn elect(
        &self,
        id: TopicPartition,
        p: &Partition,
        group: &[BrokerId],
        also: impl Fn(&Broker) -> bool,
    ) -> Option<BrokerId> {
        let only = p.replicas.len() == 1;
        let may = |replica: &&BrokerId| {
            let sound = only || !p.unclean.contains(replica);
            let serves = |broker: &Broker| !self.unable(broker, id) && also(broker);
            group.contains(replica) && sound && self.active(**replica).is_some_and(serves)
        };
        p.replicas.iter().find(may).copied()
    }
}
