//! Decides the founding of a cluster and the registration of a node, and gives out producer ids.
//!
//! A registration begins a new life of a node, so its old life ends first, in the same batch (R12). A life that still
//! holds a session keeps its place: two processes of one node may not run at once (R17).
//!
//! A node that is alone founds the cluster and starts unfenced, because nobody else could tell it anything. Partitions
//! whose only replica it has get a new leader epoch. The node reports in which leader epochs its logs end, because
//! metadata restored from a backup may be older than a log.

use super::basis::{Basis, LogEpochs};
use super::isr::unchanged;
use super::judged::fence;
use super::messages::{PRODUCER_ID_BLOCK, Refusal, refuse};
use super::returned::unclean;
use crate::bootstrap::Seat;
use crate::error::ErrorCode;
use crate::ids::{BrokerEpoch, BrokerId, LeaderEpoch, NodeUuid, TopicPartition};
use crate::metadata::broker::{Broker, LEVELS, Registration, SyncedPositions, raise};
use crate::metadata::partition::Partition;
use crate::metadata::record::{ConfigOf, MetadataRecord, PartitionChange};
use crate::mutant::{Mutant, planted};

/// The highest leader epoch that a log may claim beyond the committed one. At one election a second, it is reached in 34
/// years.
const FOUND_EPOCH_MAX: LeaderEpoch = 1 << 30;

impl Basis<'_> {
    /// Founds a cluster that several nodes will join, unless one is founded. It waits for two in-sync replicas, because an
    /// acknowledged record then survives the loss of any one node.
    pub(super) fn found(&self, cluster_id: &str, seats: &[Seat]) -> Vec<MetadataRecord> {
        if self.image.cluster_id.is_some() {
            return Vec::new();
        }
        let changes = [("min.insync.replicas".to_owned(), Some("2".to_owned()))].into();
        let (cluster_id, seats) = (cluster_id.to_owned(), seats.to_vec());
        vec![
            MetadataRecord::Cluster { cluster_id, cluster_epoch: 0, seats },
            MetadataRecord::FeatureLevel { level: LEVELS.max },
            MetadataRecord::Configs { of: ConfigOf::Cluster, changes },
        ]
    }

    /// Registers a node that is alone.
    pub(super) fn register_alone(
        &self,
        node: &Registration,
        cluster_id: &str,
        log_epochs: &LogEpochs,
    ) -> Result<Vec<MetadataRecord>, Refusal> {
        self.runs_at_level(node)?;
        self.is_alone(node)?;
        self.believable(node.broker, log_epochs.iter().map(|(id, last)| (*id, *last)))?;
        let mut records = Vec::new();
        if self.image.cluster_id.is_none() {
            records.push(MetadataRecord::Cluster {
                cluster_id: cluster_id.to_owned(),
                cluster_epoch: 0,
                seats: Vec::new(),
            });
            // All brokers share one value of `min.insync.replicas` from the start, as in Kafka's new clusters
            // (KIP-966). It is 1 until the first feature level of a cluster raises it.
            let changes = [("min.insync.replicas".to_owned(), Some("1".to_owned()))].into();
            records.push(MetadataRecord::Configs { of: ConfigOf::Cluster, changes });
        }
        if self.image.feature_level.is_none() {
            records.push(MetadataRecord::FeatureLevel { level: LEVELS.max });
        }
        let node = Box::new(node.clone());
        let mine = [node.broker];
        records.push(MetadataRecord::Registered { node, fenced: false });
        for topic in self.image.topics.values() {
            for (partition, p) in (0i32..).zip(&topic.partitions) {
                if p.replicas == mine {
                    let id = TopicPartition { topic: topic.id, partition };
                    let last = log_epochs.get(&id).copied().unwrap_or(p.leader_epoch);
                    records.push(MetadataRecord::PartitionChange(PartitionChange {
                        leader: mine[0],
                        leader_epoch: p.leader_epoch.max(last).saturating_add(1),
                        isr: mine.to_vec(),
                        elr: (!p.elr.is_empty()).then(Vec::new),
                        last_known_elr: (!p.last_known_elr.is_empty()).then(Vec::new),
                        ..unchanged(id, p)
                    }));
                }
            }
        }
        Ok(records)
    }

    /// Registers a node of a cluster: its old life ends, and its new one starts fenced (R12, R20).
    ///
    /// These are the records about nodes; the caller adds what follows from them for partitions.
    pub(super) fn register(
        &self,
        node: &Registration,
        log_epochs: &[(TopicPartition, LeaderEpoch)],
    ) -> Result<Vec<MetadataRecord>, Refusal> {
        if self.image.cluster_id.is_none() {
            return refuse(ErrorCode::NotController, "no cluster is founded here yet: ask again");
        }
        self.runs_at_level(node)?;
        self.believable(node.broker, log_epochs.iter().copied())?;
        let mut records = Vec::new();
        let mut known = SyncedPositions::new();
        if let Some(old) = self.image.brokers.get(&node.broker) {
            self.gives_way(old, node)?;
            known.clone_from(&old.synced);
            if !old.fenced {
                // Only the controller knows the position that it was last heard to have synced (R46).
                let heard = self.standing.silent.get(&old.peer()).cloned().unwrap_or_default();
                raise(&mut known, &heard);
                records.push(fence(old.peer(), heard));
            }
        }
        let unclean = unclean(self.image, node, &known);
        let said = Registration { processes: Vec::new(), unclean, ..node.clone() };
        if planted(Mutant::UncleanKeepsEpoch) && !said.unclean.is_empty() {
            let node = Box::new(Registration { unclean: Vec::new(), ..said });
            return Ok(vec![MetadataRecord::Registered { node, fenced: false }]);
        }
        records.push(MetadataRecord::Registered { node: Box::new(said), fenced: true });
        Ok(records)
    }

    /// Refuses a node that starts alone on metadata of more than itself: it would lead without what the others hold.
    fn is_alone(&self, node: &Registration) -> Result<(), Refusal> {
        let me = node.broker;
        if let Some(other) = self.image.brokers.keys().find(|id| **id != me) {
            let message = format!("node {me} is not alone: these metadata know node {other} too");
            return refuse(ErrorCode::InvalidRequest, message);
        }
        if let (Some(held), Some(new)) = (self.image.brokers.get(&me).and_then(|old| old.uuid), node.uuid)
            && held != new
        {
            return refuse(ErrorCode::DuplicateBrokerRegistration, taken(me, held, new));
        }
        for topic in self.image.topics.values() {
            let shared = |p: &&Partition| p.replicas.contains(&me) && p.replicas.len() > 1;
            if let Some(p) = topic.partitions.iter().find(shared) {
                let (name, replicas) = (&topic.name, &p.replicas);
                let message = format!("node {me} is not alone: topic {name} has replicas on {replicas:?}");
                return refuse(ErrorCode::InvalidRequest, message);
            }
        }
        Ok(())
    }

    /// Refuses a node whose log claims a leader epoch so high that the next leaders would soon have none left.
    fn believable(
        &self,
        broker: BrokerId,
        mut log_epochs: impl Iterator<Item = (TopicPartition, LeaderEpoch)>,
    ) -> Result<(), Refusal> {
        let beyond = |(id, last): &(TopicPartition, LeaderEpoch)| {
            let p = self.image.partition(*id).filter(|p| p.replicas == [broker]);
            *last > FOUND_EPOCH_MAX && p.is_some_and(|p| *last > p.leader_epoch)
        };
        match log_epochs.find(beyond) {
            Some((id, last)) => refuse(
                ErrorCode::InvalidRequest,
                format!(
                    "the log of {id} on node {broker} ends in leader epoch {last}, which no leader can have had: the \
                     directory is damaged"
                ),
            ),
            None => Ok(()),
        }
    }

    /// Refuses a process whose place another one holds (R17).
    fn gives_way(&self, old: &Broker, node: &Registration) -> Result<(), Refusal> {
        const CODE: ErrorCode = ErrorCode::DuplicateBrokerRegistration;
        if let (Some(held), Some(new)) = (old.uuid, node.uuid)
            && held != new
        {
            return refuse(CODE, taken(node.broker, held, new));
        }
        if held_before(old, node) {
            let message = format!(
                "a later start of node {} is registered: this process is over (incarnation {}, registered {})",
                node.broker, node.incarnation, old.incarnation
            );
            return refuse(CODE, message);
        }
        if is_older(old, node) {
            let message = format!(
                "this directory of node {} is older than the cluster knows: it is a copy or a backup; empty it",
                node.broker
            );
            return refuse(ErrorCode::InvalidRequest, message);
        }
        let same = node.process.is_some() && node.process == old.process;
        if same || old.fenced || self.standing.silent.contains_key(&old.peer()) {
            return Ok(());
        }
        let message = format!(
            "another process runs as node {}: this one may take its place when nothing was heard of that one for a \
             session",
            node.broker
        );
        refuse(CODE, message)
    }

    /// The epoch that this very process was given before, if it is known. A retry gets it again (I13).
    pub(super) fn registered(&self, node: &Registration) -> Option<BrokerEpoch> {
        let broker = self.image.brokers.get(&node.broker)?;
        (node.process.is_some() && broker.process == node.process).then_some(broker.epoch)
    }

    /// Refuses a build that cannot run at the cluster's feature level.
    fn runs_at_level(&self, node: &Registration) -> Result<(), Refusal> {
        match self.image.feature_level {
            Some(level) if !node.levels.holds(level) => {
                let (id, min, max) = (node.broker, node.levels.min, node.levels.max);
                refuse(
                    ErrorCode::UnsupportedVersion,
                    format!(
                        "the cluster runs at feature level {level}, and the build of node {id} runs at {min} to {max}: \
                         start it with a build for level {level}"
                    ),
                )
            }
            _ => Ok(()),
        }
    }

    /// The first id of the next block of producer ids, and the record that gives the block out.
    pub(super) fn producer_ids(&self) -> (i64, MetadataRecord) {
        let first = self.image.next_producer_id;
        (first, MetadataRecord::ProducerIds { next: first.saturating_add(PRODUCER_ID_BLOCK) })
    }
}

fn taken(id: BrokerId, held: NodeUuid, new: NodeUuid) -> String {
    format!("node id {id} belongs to the node {held}, not to {new}")
}

/// Whether a directory does not continue the last registration of its node, because that process is none of its starts
/// (R46). A build that keeps no list says nothing.
fn is_older(old: &Broker, node: &Registration) -> bool {
    let known = old.process.is_none_or(|process| node.processes.contains(&process));
    !known && !node.processes.is_empty() && old.uuid == node.uuid && !planted(Mutant::RestoredCopyAccepted)
}

/// Whether a process started before the one that is registered for its node. Its question may have waited longer than it
/// lived (R47).
fn held_before(old: &Broker, node: &Registration) -> bool {
    let older = node.incarnation < old.incarnation && !planted(Mutant::RestoredCopyAccepted);
    old.uuid.is_some() && old.uuid == node.uuid && older
}
