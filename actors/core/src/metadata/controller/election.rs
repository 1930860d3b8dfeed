//! Decides who leads a partition and who is in its ISR, after something has changed about nodes.
//!
//! ```text
//!   ISR     its members that are unfenced and sound, less those with a slow or full disk that it can spare
//!   ELR     who left the ISR while it was too small, and lost nothing since (eligible.rs)
//!   leader  the present one, unless it is fenced or should give way; else the first replica in the ISR that may lead;
//!           if the ISR is empty, the first eligible one, which is the ISR then (R10)
//! ```
//! The rule looks at nodes and partition as they are, and never at the event. So one pass over all partitions serves each
//! event, and also mends a partition whose change met another state (R43). All changes of a pass are one batch (R12).
//!
//! A replica that may lack committed records leads only where the topic, or an operator, says so. It is then the whole
//! ISR, and its leader epoch stands in the partition: who follows it cuts what it does not have.

use super::basis::{Basis, UNCLEAN_ELECTIONS};
use super::eligible::Lost;
use super::isr::unchanged;
use crate::ids::{BrokerId, LeaderEpoch, TopicPartition};
use crate::metadata::broker::Broker;
use crate::metadata::image::Topic;
use crate::metadata::partition::Partition;
use crate::metadata::record::{MetadataRecord, PartitionChange};
use crate::mutant::{Mutant, planted};
use std::collections::{BTreeMap, BTreeSet};

/// Changes by partition, in the order of ids.
pub(super) type Changes = BTreeMap<TopicPartition, PartitionChange>;

impl Basis<'_> {
    /// The change of each partition that is not as it should be.
    pub(super) fn due(&self) -> Changes {
        let lost = self.lost();
        let mut changes = Changes::new();
        for topic in self.image.topics.values() {
            for (partition, p) in (0i32..).zip(&topic.partitions) {
                let id = TopicPartition { topic: topic.id, partition };
                let change = self.due_to(id, topic, p, lost.get(&id), || self.elects_unclean(topic));
                changes.extend(change.map(|change| (id, change)));
            }
        }
        changes
    }

    /// The change of one partition, if it is not as it should be. `unclean` allows a leader that may lack records.
    pub(super) fn due_to(
        &self,
        id: TopicPartition,
        topic: &Topic,
        p: &Partition,
        lost: Option<&Lost>,
        unclean: impl FnOnce() -> bool,
    ) -> Option<PartitionChange> {
        let (gone, acknowledged) = leaving(p, lost);
        let mut isr: Vec<BrokerId> =
            p.isr.iter().copied().filter(|id| self.unfenced(*id).is_some() && !gone.contains(id)).collect();
        let mut leader = self.leader(id, p, &isr);
        self.let_slow_go(topic, p, leader, &mut isr);
        if isr.is_empty() {
            let eligible: Vec<BrokerId> =
                p.replicas.iter().copied().filter(|id| p.is_eligible(*id) && !gone.contains(id)).collect();
            leader = self.best(id, p, &eligible).unwrap_or(-1);
            isr.extend((leader >= 0).then_some(leader));
        }
        if isr.is_empty()
            && unclean()
            && let Some(change) = self.uncleanly(id, p, &gone)
        {
            return Some(change);
        }
        if leader == p.leader && isr == p.isr && gone.is_empty() && !acknowledged {
            return None;
        }
        // Acks that a damaged replica gave in this epoch count no more (R41).
        let raised = leader != p.leader || acknowledged;
        // Without a higher epoch the change would never fit (R43).
        let leader_epoch = p.leader_epoch.checked_add(i32::from(raised))?;
        let marks = (!p.unclean.is_empty()).then(Vec::new);
        let change = PartitionChange { leader, leader_epoch, isr, unclean: marks, ..unchanged(id, p) };
        Some(self.with_eligible(topic, p, &gone, change))
    }

    /// Adds the elections that new settings allow: a partition that waits without a leader has none of them to wait for.
    pub(super) fn with_allowed(&self, mut records: Vec<MetadataRecord>) -> Vec<MetadataRecord> {
        let sets = |record: &MetadataRecord| match record {
            MetadataRecord::Configs { changes, .. } => changes.contains_key(UNCLEAN_ELECTIONS),
            _ => false,
        };
        if !records.iter().any(sets) {
            return records;
        }
        let image = self.image_after(&records);
        let after = Basis { image: &image, defaults: self.defaults, standing: self.standing };
        let lost = after.lost();
        for topic in after.image.topics.values().filter(|topic| after.elects_unclean(topic)) {
            for (partition, p) in (0i32..).zip(&topic.partitions).filter(|(_, p)| p.leader < 0) {
                let id = TopicPartition { topic: topic.id, partition };
                let change = after.due_to(id, topic, p, lost.get(&id), || true);
                records.extend(change.map(MetadataRecord::PartitionChange));
            }
        }
        records
    }

    /// Elects a replica that may lack committed records (R10). Former members of the lists lack least, so they come first.
    pub(super) fn uncleanly(
        &self,
        id: TopicPartition,
        p: &Partition,
        gone: &BTreeSet<BrokerId>,
    ) -> Option<PartitionChange> {
        let former: Vec<BrokerId> = p.last_known_elr.iter().chain(gone).copied().collect();
        let leader = self.best(id, p, &former).or_else(|| self.best(id, p, &p.replicas))?;
        self.gives_up(id, p, leader)
    }

    /// Elects a replica that cannot serve what it had: nobody else is left. It begins anew, without a record.
    pub(super) fn emptied(&self, id: TopicPartition, p: &Partition) -> Option<PartitionChange> {
        let damaged = |replica: BrokerId| self.active(replica).is_some_and(|broker| self.damaged(broker, id));
        let leader = p.replicas.iter().copied().find(|replica| damaged(*replica))?;
        self.gives_up(id, p, leader)
    }

    /// The state in which committed is what this leader has, from now on. No other replica is known to have that.
    fn gives_up(&self, id: TopicPartition, p: &Partition, leader: BrokerId) -> Option<PartitionChange> {
        let leader_epoch = p.leader_epoch.checked_add(1)?;
        Some(PartitionChange {
            leader,
            leader_epoch,
            isr: vec![leader],
            elr: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            unclean: (!p.unclean.is_empty()).then(Vec::new),
            unclean_epoch: Some(leader_epoch),
            recovering: Some(true),
            ..unchanged(id, p)
        })
    }

    /// The leader out of this ISR, or −1.
    pub(super) fn leader(&self, id: TopicPartition, p: &Partition, isr: &[BrokerId]) -> BrokerId {
        let present = isr.contains(&p.leader).then(|| self.unfenced(p.leader)).flatten();
        let Some(present) = present else { return self.best(id, p, isr).unwrap_or(-1) };
        if present.is_active() && self.healthy(present) && !self.unable(present, id) {
            return p.leader;
        }
        // It gives way only to a better one: without one it stays, because −1 would serve nobody.
        self.elect(id, p, isr, |broker| self.healthy(broker)).unwrap_or(p.leader)
    }

    /// Takes members that end (R30), or whose disk is full or does not answer, out of an ISR that commits without them. They
    /// would hold up each acknowledgement until they lag or are fenced.
    fn let_slow_go(&self, topic: &Topic, p: &Partition, leader: BrokerId, isr: &mut Vec<BrokerId>) {
        let slow = |id: &BrokerId| {
            let goes = |broker: &Broker| broker.shutting_down || !self.healthy(broker);
            *id != leader && self.image.brokers.get(id).is_some_and(goes)
        };
        if !isr.iter().any(slow) {
            return;
        }
        let mut spare = isr.len().saturating_sub(self.min_isr(topic, p));
        isr.retain(|id| {
            let goes = spare > 0 && slow(id);
            spare -= usize::from(goes);
            !goes
        });
    }

    /// Whether the disks of a node answer and have room.
    pub(super) fn healthy(&self, broker: &Broker) -> bool {
        !self.standing.stalled.contains(&broker.peer()) && !self.standing.full.contains(&broker.peer())
    }

    /// The replica of the group that leads best. A slow or full disk is better than no leader.
    fn best(&self, id: TopicPartition, p: &Partition, group: &[BrokerId]) -> Option<BrokerId> {
        let healthy = self.elect(id, p, group, |broker| self.healthy(broker));
        healthy.or_else(|| self.elect(id, p, group, |_| true))
    }

    /// The first replica of the group that may lead, in the order of preference.
    fn elect(
        &self,
        id: TopicPartition,
        p: &Partition,
        group: &[BrokerId],
        also: impl Fn(&Broker) -> bool,
    ) -> Option<BrokerId> {
        let may = |replica: &&BrokerId| {
            let fenced = planted(Mutant::FencedElected).then(|| self.image.brokers.get(replica)).flatten();
            let serves = |broker: &Broker| !self.unable(broker, id) && also(broker);
            group.contains(replica) && self.active(**replica).or(fenced).is_some_and(serves)
        };
        p.replicas.iter().find(may).copied()
    }

    /// Whether a replica may lead now.
    pub(super) fn may_lead(&self, id: TopicPartition, replica: BrokerId) -> bool {
        self.active(replica).is_some_and(|broker| !self.unable(broker, id) && self.healthy(broker))
    }
}

/// The listed replicas that leave ISR and ELR, and whether the acks of this leader epoch have to end, because a damaged
/// replica that goes on in the same process may have given some.
///
/// One outside of both lists counts too: a proposal that brings it back may be on its way, and rests on such acks.
fn leaving(p: &Partition, lost: Option<&Lost>) -> (BTreeSet<BrokerId>, bool) {
    let listed = |id: &BrokerId| p.is_eligible(*id);
    let marked = p.unclean.iter().filter(|_| p.replicas.len() > 1);
    let mut gone: BTreeSet<BrokerId> = marked.copied().filter(listed).collect();
    let Some(lost) = lost else { return (gone, false) };
    gone.extend(lost.unclean.iter().copied().filter(listed));
    let stays = |id: &BrokerId| listed(id) && !gone.contains(id) && !lost.damaged.contains_key(id);
    if lost.damaged.is_empty() || !p.replicas.iter().any(stays) {
        // The last one keeps its bytes, and the partition is offline (R41).
        return (gone, false);
    }
    let counts = |(id, until): (&BrokerId, &LeaderEpoch)| {
        p.replicas.contains(id) && p.leader >= 0 && *until >= p.leader_epoch
    };
    let leaves = lost.damaged.keys().any(listed);
    gone.extend(lost.damaged.keys().copied().filter(listed));
    (gone, leaves || lost.damaged.iter().any(counts))
}
