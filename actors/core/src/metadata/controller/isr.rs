//! Decides what leaders want: other in-sync replicas (R8), and a higher leader epoch after a rebuild (R7).
//!
//! A leader decides on the image that it has seen, and the controller knows more. So each wish names the state that it
//! was decided on, and each member the life that earned its place. A wish of an older state is refused, and so is a
//! member whose node has registered anew (KAFKA-14139).
//!
//! One ask gathers the wishes of a whole node. Each is judged by itself, and the accepted ones become one batch.

use super::basis::Basis;
use super::messages::{Refusal, refuse};
use crate::error::ErrorCode;
use crate::ids::{BrokerId, LeaderEpoch, Peer, TopicPartition};
use crate::metadata::isr::{IsrOutcome, IsrWish};
use crate::metadata::partition::Partition;
use crate::metadata::record::{MetadataRecord, PartitionChange};
use crate::mutant::{Mutant, planted};
use std::collections::{BTreeMap, BTreeSet};

impl Basis<'_> {
    /// Refuses a question of a former life of a node.
    pub(super) fn known(&self, from: Peer) -> Result<(), Refusal> {
        match self.image.brokers.get(&from.broker) {
            Some(broker) if broker.epoch == from.epoch => Ok(()),
            Some(broker) => {
                let message = format!("{from} is not registered: the last registration is {}", broker.peer());
                refuse(ErrorCode::StaleBrokerEpoch, message)
            }
            None => refuse(ErrorCode::BrokerIdNotRegistered, format!("{from} is not registered")),
        }
    }

    pub(super) fn alter_isr(&self, from: Peer, wishes: &[IsrWish]) -> (Vec<IsrOutcome>, Vec<MetadataRecord>) {
        let mut changed: BTreeSet<TopicPartition> = BTreeSet::new();
        let (mut outcomes, mut records) = (Vec::new(), Vec::new());
        for wish in wishes {
            let outcome = match self.judge(from, wish) {
                // The first wish for a partition leaves a newer state behind, which the second one does not know.
                Ok(_) if !changed.insert(wish.id) => IsrOutcome::Outdated,
                Ok(change) => {
                    records.push(MetadataRecord::PartitionChange(change));
                    IsrOutcome::Committed
                }
                Err(refused) => refused,
            };
            outcomes.push(outcome);
        }
        (outcomes, records)
    }

    /// Judges one wish, in the order of R8.
    fn judge(&self, from: Peer, wish: &IsrWish) -> Result<PartitionChange, IsrOutcome> {
        let Some(p) = self.image.partition(wish.id) else {
            return Err(IsrOutcome::Ended(ErrorCode::UnknownTopicOrPartition));
        };
        if wish.leader_epoch > p.leader_epoch || wish.partition_epoch > p.partition_epoch {
            return Err(IsrOutcome::Behind);
        }
        if wish.leader_epoch < p.leader_epoch {
            return Err(IsrOutcome::Ended(ErrorCode::FencedLeaderEpoch));
        }
        if p.leader != from.broker {
            return Err(IsrOutcome::Ended(ErrorCode::InvalidRequest));
        }
        if wish.partition_epoch < p.partition_epoch {
            return Err(IsrOutcome::Outdated);
        }
        self.members(p, wish).map_err(IsrOutcome::Ineligible)?;
        let wanted = |id| wish.isr.iter().any(|member| member.broker == id);
        let isr: Vec<BrokerId> = p.replicas.iter().copied().filter(|id| wanted(*id)).collect();
        let recovering = (p.recovering != wish.recovering).then_some(false);
        // A leader that should give way may have got a better one into its ISR only now.
        let leader = self.leader(wish.id, p, &isr);
        let leader_epoch = p.leader_epoch.saturating_add(i32::from(leader != p.leader));
        let change = PartitionChange { leader, leader_epoch, isr, recovering, ..unchanged(wish.id, p) };
        let Some(topic) = self.image.topics.get(&wish.id.topic) else { return Ok(change) };
        Ok(self.with_eligible(topic, p, &BTreeSet::new(), change))
    }

    /// Checks the members of a wish; the error says what is wrong with them.
    fn members(&self, p: &Partition, wish: &IsrWish) -> Result<(), String> {
        let members: BTreeMap<_, _> = wish.isr.iter().map(|member| (member.broker, member.epoch)).collect();
        if members.len() != wish.isr.len() {
            return Err("a node is named twice".to_owned());
        }
        if let Some(stranger) = members.keys().find(|id| !p.replicas.contains(id)) {
            return Err(format!("broker {stranger} has no replica"));
        }
        if !members.contains_key(&p.leader) {
            return Err(format!("the leader {} is missing", p.leader));
        }
        if p.recovering && wish.recovering && members.len() > 1 {
            return Err("the leader was elected uncleanly and has not recovered".to_owned());
        }
        for member in &wish.isr {
            let Some(broker) = self.active(member.broker) else {
                return Err(format!("{member} is fenced, ends, or is not registered"));
            };
            if broker.epoch != member.epoch && !planted(Mutant::BrokerEpochUnchecked) {
                return Err(format!("{member} has registered again, as {}", broker.peer()));
            }
            if broker.unclean.contains(&wish.id) && p.replicas.len() > 1 {
                return Err(format!("{member} came back unclean and has not left yet"));
            }
            if !p.isr.contains(&member.broker) && !self.healthy(broker) {
                return Err(format!("{member} has a disk that is full or does not answer"));
            }
            if !p.isr.contains(&member.broker) && self.unable(broker, wish.id) {
                return Err(format!("{member} says that its replica cannot serve"));
            }
        }
        Ok(())
    }

    /// Gives rebuilt leaders a new leader epoch. Whoever does not lead in the epoch named gets none.
    pub(super) fn renew(
        &self,
        from: Peer,
        partitions: &[(TopicPartition, LeaderEpoch)],
    ) -> Vec<MetadataRecord> {
        let asked: BTreeMap<_, _> = partitions.iter().copied().collect();
        let leads = |(id, epoch): (TopicPartition, LeaderEpoch)| {
            let p = self.image.partition(id)?;
            (p.leader == from.broker && p.leader_epoch == epoch).then(|| {
                let leader_epoch = epoch.saturating_add(1);
                MetadataRecord::PartitionChange(PartitionChange { leader_epoch, ..unchanged(id, p) })
            })
        };
        asked.into_iter().filter_map(leads).collect()
    }
}

/// The next state of a partition, which differs by its partition epoch alone.
pub(super) fn unchanged(id: TopicPartition, p: &Partition) -> PartitionChange {
    PartitionChange {
        topic: id.topic,
        partition: id.partition,
        leader: p.leader,
        leader_epoch: p.leader_epoch,
        isr: p.isr.clone(),
        partition_epoch: p.partition_epoch.saturating_add(1),
        ..PartitionChange::default()
    }
}
