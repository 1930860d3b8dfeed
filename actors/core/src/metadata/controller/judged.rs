//! Decides what follows from an event about nodes: a judgement, registrations, or both at once.
//!
//! ```text
//!   verdicts, registrations ──> records about nodes ──> the image with them ──> partitions that are due ──> one batch
//! ```
//! Nodes change first and partitions follow, in the same batch (R12). A verdict about a former life of a node, or about a
//! state that is there already, makes no record. So the judge may repeat itself until the image shows what it said.

use super::basis::{Basis, LogEpochs, Standing};
use super::election::Changes;
use super::isr::unchanged;
use crate::ids::{BrokerId, Peer};
use crate::metadata::broker::{Broker, SyncedPositions};
use crate::metadata::image::Image;
use crate::metadata::record::MetadataRecord;
use crate::metadata::verdict::{Judgement, Verdict};

/// A record about one life of a node that says nothing yet.
pub(super) fn about(peer: Peer) -> MetadataRecord {
    let Peer { broker, epoch } = peer;
    let synced = SyncedPositions::new();
    MetadataRecord::BrokerChange { broker_id: broker, epoch, fenced: None, shutting_down: None, synced }
}

/// A record that fences one life of a node, with the positions that it was last heard to have synced (R46).
pub(super) fn fence(peer: Peer, heard: SyncedPositions) -> MetadataRecord {
    let mut record = about(peer);
    if let MetadataRecord::BrokerChange { fenced, synced, .. } = &mut record {
        (*fenced, *synced) = (Some(true), heard);
    }
    record
}

impl Standing {
    /// Takes over what needs no record.
    pub(super) fn hear(&mut self, judgement: &Judgement) {
        self.silent.clone_from(&judgement.silent);
        for verdict in &judgement.verdicts {
            match verdict {
                Verdict::Stalled { peer, stalled: true } => drop(self.stalled.insert(*peer)),
                Verdict::Stalled { peer, stalled: false } => drop(self.stalled.remove(peer)),
                Verdict::Full { peer, full: true } => drop(self.full.insert(*peer)),
                Verdict::Full { peer, full: false } => drop(self.full.remove(peer)),
                Verdict::Unable { peer, replicas } if replicas.is_empty() => drop(self.unable.remove(peer)),
                Verdict::Unable { peer, replicas } => {
                    self.unable.insert(*peer, replicas.clone());
                }
                Verdict::Damaged { peer, replicas } if replicas.is_empty() => drop(self.damaged.remove(peer)),
                Verdict::Damaged { peer, replicas } => {
                    self.damaged.insert(*peer, replicas.iter().copied().collect());
                }
                Verdict::Fence { .. } | Verdict::Unfence(_) | Verdict::ShuttingDown(_) => {}
            }
        }
    }

    /// Forgets former lives of nodes.
    pub(super) fn prune(&mut self, image: &Image) {
        let lives = |peer: &Peer| image.brokers.get(&peer.broker).is_some_and(|b| b.epoch == peer.epoch);
        self.silent.retain(|peer, _| lives(peer));
        self.stalled.retain(lives);
        self.full.retain(lives);
        self.unable.retain(|peer, _| lives(peer));
        self.damaged.retain(|peer, _| lives(peer));
    }
}

impl Basis<'_> {
    /// The records about nodes that follow from a judgement.
    pub(super) fn judged(&self, judgement: &Judgement) -> Vec<MetadataRecord> {
        judgement.verdicts.iter().filter_map(|verdict| self.verdict(verdict)).collect()
    }

    fn verdict(&self, verdict: &Verdict) -> Option<MetadataRecord> {
        let lives = |peer: &Peer, is: fn(&Broker) -> bool| {
            let broker = self.image.brokers.get(&peer.broker);
            broker.is_some_and(|broker| broker.epoch == peer.epoch && is(broker))
        };
        match verdict {
            Verdict::Fence { peer, synced, .. } => {
                lives(peer, |broker| !broker.fenced).then(|| fence(*peer, synced.clone()))
            }
            Verdict::Unfence(peer) if lives(peer, |broker| broker.fenced) => {
                let mut record = about(*peer);
                if let MetadataRecord::BrokerChange { fenced, .. } = &mut record {
                    *fenced = Some(false);
                }
                Some(record)
            }
            Verdict::ShuttingDown(peer) if lives(peer, |broker| !broker.shutting_down) => {
                let mut record = about(*peer);
                if let MetadataRecord::BrokerChange { shutting_down, .. } = &mut record {
                    *shutting_down = Some(true);
                }
                Some(record)
            }
            Verdict::Unfence(_)
            | Verdict::ShuttingDown(_)
            | Verdict::Stalled { .. }
            | Verdict::Full { .. }
            | Verdict::Unable { .. }
            | Verdict::Damaged { .. } => None,
        }
    }

    /// The records about nodes, and behind them the changes of all partitions that are due with them. `logs` has the
    /// last leader epochs that registering nodes have found.
    pub(super) fn with_consequences(
        &self,
        mut records: Vec<MetadataRecord>,
        logs: &[(BrokerId, LogEpochs)],
    ) -> Vec<MetadataRecord> {
        let image = self.image_after(&records);
        let after = Basis { image: &image, defaults: self.defaults, standing: self.standing };
        let mut changes = after.due();
        for (broker, log_epochs) in logs {
            after.above_logs(*broker, log_epochs, &mut changes);
        }
        records.extend(changes.into_values().map(MetadataRecord::PartitionChange));
        records
    }

    /// Lifts the leader epoch of each partition that only this node has above the last epoch of its log. Metadata that
    /// were restored from a backup may be older than the log.
    fn above_logs(&self, broker: BrokerId, log_epochs: &LogEpochs, changes: &mut Changes) {
        for (id, last) in log_epochs {
            let Some(p) = self.image.partition(*id).filter(|p| p.replicas == [broker]) else { continue };
            let epoch = changes.get(id).map_or(p.leader_epoch, |change| change.leader_epoch);
            if epoch <= *last {
                let change = changes.entry(*id).or_insert_with(|| unchanged(*id, p));
                change.leader_epoch = last.saturating_add(1);
            }
        }
    }
}
