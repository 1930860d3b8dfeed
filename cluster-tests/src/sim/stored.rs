//! The files beside a node's journal: its identity, the clean marker, and what the last recovery found.
//!
//! ```text
//!   start:  marker read and deleted ─> log inspected ─> verdicts stored ─> log made durable ─> boot id ─> process id
//!           ─> registered ─> broker epoch stored ─> serves           end: log flushed ─> marker, with that epoch
//! ```
//! Each arrow is a durable step, and a start may end between any two. `src/storage/store` and `src/node` do the same with
//! files. The list of process ids is the real one (`core/bootstrap/identity.rs`).
//!
//! A directory keeps the metadata log too. `voter.rs` has what a voter holds of that.

use std::collections::BTreeMap;

use callboard_core::bootstrap::Identity;
use callboard_core::mutant::{Mutant, planted};
use callboard_core::storage::{Restart, Trust, Verdict, trust};
use callboard_core::{BrokerEpoch, DirectoryId, NodeUuid, ProcessId, ReplicaId};

use crate::sim::disk::{Disk, Recovered};
use crate::sim::faults::NodeIx;

/// A directory, apart from its journal.
#[derive(Clone, Debug)]
pub struct Stored {
    pub directory: DirectoryId,
    /// The shard that works. A lost one is never made anew, so replicas go to the next.
    pub shard: u16,
    pub identity: Identity,
    /// The broker epoch that was granted last.
    pub epoch: Option<BrokerEpoch>,
    /// The boot of the machine at the last start.
    pub boot: u64,
    /// The clean marker, with the broker epoch in it.
    pub clean: Option<Option<BrokerEpoch>>,
    /// A sync had failed in the last life.
    pub sync_failed: bool,
    /// Replicas that were unclean at some start, and are not back in their ISR.
    pub verdicts: BTreeMap<ReplicaId, String>,
}

/// The process id of this number.
#[must_use]
pub fn process_id(number: u64) -> ProcessId {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&number.to_be_bytes());
    ProcessId(name)
}

impl Stored {
    /// An empty directory of a node; the number is new for each.
    #[must_use]
    pub fn empty(node: NodeIx, number: u64, boot: u64) -> Stored {
        let mut directory = [node as u8 + 1; 16];
        directory[8..].copy_from_slice(&number.to_be_bytes());
        Stored {
            directory: DirectoryId(directory),
            shard: 0,
            identity: Identity::new(NodeUuid([node as u8 + 1; 16])),
            epoch: None,
            boot,
            clean: None,
            sync_failed: false,
            verdicts: BTreeMap::new(),
        }
    }

    /// Takes the clean marker away, and says what is known of the last end on a machine of this boot.
    pub fn begin(&mut self, boot: u64) -> Restart {
        let clean_marker = match self.clean {
            // With an epoch in it, a marker that stays would be harmless. The mutant takes both fences away.
            Some(_) if planted(Mutant::CleanMarkerKept) => true,
            Some(epoch) => epoch == self.epoch,
            None => false,
        };
        if !planted(Mutant::CleanMarkerKept) {
            self.clean = None;
        }
        Restart { clean_marker, same_boot: self.boot == boot, sync_failed: self.sync_failed }
    }

    /// Stores the verdicts of a recovery. One of an earlier start stays until it is forgiven.
    pub fn judge(&mut self, restart: Restart, found: &[Recovered]) {
        let mut verdicts = BTreeMap::new();
        for Recovered { replica, fold, synced_end } in found {
            let kept = self.verdicts.get(replica).filter(|_| !planted(Mutant::VerdictForgotten)).cloned();
            let why = kept.or_else(|| match trust(restart, fold.fsync_since, *synced_end) {
                Trust::Clean => None,
                Trust::Unclean(why) => Some(why.to_owned()),
            });
            verdicts.extend(why.map(|why| (*replica, why)));
        }
        self.verdicts = verdicts;
    }

    /// The verdict on a replica.
    #[must_use]
    pub fn verdict(&self, replica: ReplicaId) -> Verdict {
        self.verdicts.get(&replica).map_or(Verdict::Clean, |why| Verdict::Unclean(why.clone()))
    }
}

/// A copy of a whole directory.
#[derive(Clone, Debug)]
pub struct Copy {
    pub disk: Disk,
    pub stored: Stored,
}
