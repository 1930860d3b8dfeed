//! Keeps account of the replicas that may lead although they are not in the ISR (KIP-966, R9).
//!
//! Below `min.insync.replicas` the high watermark stands still (I8). A replica that leaves the ISR then holds all that is
//! committed, and goes on holding it for as long as it loses nothing: it is eligible. Once the ISR is large enough, more
//! may be committed, so nobody outside of it is eligible any more.
//!
//! This file says who is eligible. The election takes one of them only where the ISR is empty (R10).

use super::basis::Basis;
use crate::ids::{BrokerId, LeaderEpoch, TopicPartition};
use crate::metadata::image::Topic;
use crate::metadata::partition::Partition;
use crate::metadata::record::PartitionChange;
use crate::mutant::{Mutant, planted};
use std::collections::{BTreeMap, BTreeSet};

/// Replicas of one partition that do not count any more, by why.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// They may lack what they acknowledged.
    pub unclean: BTreeSet<BrokerId>,
    /// They cannot serve what they acknowledged, and leave if anybody else stays (R41). Acks up to this leader epoch count
    /// no more.
    pub damaged: BTreeMap<BrokerId, LeaderEpoch>,
}

/// Replicas that are lost, by partition.
pub(super) type AllLost = BTreeMap<TopicPartition, Lost>;

/// The eligible replicas beside a new ISR, and those that fell out of both lists since the ISR was large enough last.
pub(super) fn beside(
    p: &Partition,
    isr: &[BrokerId],
    min_isr: usize,
    gone: &BTreeSet<BrokerId>,
) -> (Vec<BrokerId>, Vec<BrokerId>) {
    if isr.len() >= min_isr && !planted(Mutant::ElrKeptAtMinIsr) {
        return (Vec::new(), Vec::new());
    }
    let stays = |id: &BrokerId| !gone.contains(id) || planted(Mutant::UncleanStaysInElr);
    let outside = |id: &&BrokerId| !isr.contains(id);
    let elr: Vec<BrokerId> =
        p.replicas.iter().filter(outside).filter(|id| p.is_eligible(**id) && stays(id)).copied().collect();
    let fell = |id: &BrokerId| p.is_eligible(*id) || p.last_known_elr.contains(id);
    let last = p.replicas.iter().filter(outside).filter(|id| fell(id) && !elr.contains(id)).copied();
    let last = last.collect();
    (elr, last)
}

impl Basis<'_> {
    /// All replicas that have said, or are known, to be lost. The only replica of a partition serves what it has (R19).
    pub(super) fn lost(&self) -> AllLost {
        let mut all = AllLost::new();
        for broker in self.image.brokers.values() {
            for id in &broker.unclean {
                all.entry(*id).or_default().unclean.insert(broker.id);
            }
            for (id, until) in self.standing.damaged.get(&broker.peer()).into_iter().flatten() {
                all.entry(*id).or_default().damaged.insert(broker.id, *until);
            }
        }
        all.retain(|id, _| self.image.partition(*id).is_some_and(|p| p.replicas.len() > 1));
        all
    }

    /// Completes a change with the lists that follow from its ISR.
    pub(super) fn with_eligible(
        &self,
        topic: &Topic,
        p: &Partition,
        gone: &BTreeSet<BrokerId>,
        change: PartitionChange,
    ) -> PartitionChange {
        let (elr, last_known) = beside(p, &change.isr, self.min_isr(topic, p), gone);
        PartitionChange {
            elr: (elr != p.elr).then_some(elr),
            last_known_elr: (last_known != p.last_known_elr).then_some(last_known),
            ..change
        }
    }
}
