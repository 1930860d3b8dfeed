//! The words of a process about itself when it registers: who it is, what its recovery found, how far its journals reach.
//!
//! The controller judges them (R46). This file decides nothing.

use crate::controller::Ask;
use crate::ports::{ReplicaState, Verdict};
use callboard_core::metadata::{Registration, SyncedPositions};
use callboard_core::{LeaderEpoch, TopicPartition};
use std::collections::HashMap;

/// The registration of a process that has recovered these replicas. A node that is alone is the only replica of all it has,
/// so nobody judges them.
pub(crate) fn words<'a>(
    mut node: Registration,
    alone: Option<String>,
    recovered: impl Iterator<Item = &'a ReplicaState> + Clone,
    synced: SyncedPositions,
) -> Ask {
    if alone.is_none() {
        let unclean = |log: &&ReplicaState| log.stray.is_none() && log.verdict != Verdict::Clean;
        node.unclean = recovered.clone().filter(unclean).map(|log| log.id).collect();
        node.synced = synced;
    }
    let mut last: HashMap<TopicPartition, LeaderEpoch> = HashMap::new();
    for (id, (epoch, _)) in recovered.filter_map(|log| Some((log.id, log.epochs.last()?))) {
        // A partition may have a stray replica beside its own.
        last.entry(id).and_modify(|last| *last = (*last).max(*epoch)).or_insert(*epoch);
    }
    Ask::Register { node: Box::new(node), alone, log_epochs: last.into_iter().collect() }
}
