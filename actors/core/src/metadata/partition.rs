//! A partition as committed: its replicas, who of them leads, and who of them may.
//!
//! Two counters fence everything that others say about a partition. The leader epoch names one leadership, and the
//! partition epoch names one state of this record (R43).
//!
//! While the ISR is smaller than `min.insync.replicas`, nothing new is committed. So whoever left it meanwhile, and lost
//! nothing since, still holds all that is committed, and may lead: the ELR (KIP-966). This file keeps the lists and decides
//! nothing.

use crate::ids::{BrokerId, DirectoryId, LeaderEpoch};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The place in which a node has opened its replica.
///
/// A build that kept only the node stored a number. It counts as every directory of that node, so that a missing log is
/// still an error and no reason for an empty one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(from = "StoredOpened")]
pub struct Opened {
    pub broker: BrokerId,
    pub directory: Option<DirectoryId>,
    pub shard: Option<u16>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StoredOpened {
    Broker(BrokerId),
    At { broker: BrokerId, directory: Option<DirectoryId>, shard: Option<u16> },
}

impl From<StoredOpened> for Opened {
    fn from(stored: StoredOpened) -> Opened {
        match stored {
            StoredOpened::Broker(broker) => Opened { broker, directory: None, shard: None },
            StoredOpened::At { broker, directory, shard } => Opened { broker, directory, shard },
        }
    }
}

/// A partition's replicas and leadership, as committed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Partition {
    /// Replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Those of the replicas that a reassignment adds; they do not count for `min.insync.replicas`.
    #[serde(default)]
    pub adding: Vec<BrokerId>,
    pub isr: Vec<BrokerId>,
    /// Replicas outside the ISR that hold all that is committed (KIP-966).
    #[serde(default)]
    pub elr: Vec<BrokerId>,
    /// Replicas that left ISR or ELR unclean, since the ISR was large enough last. Only an operator elects one of them.
    #[serde(default)]
    pub last_known_elr: Vec<BrokerId>,
    /// Members of the ISR that came back unclean, as builds without ELRs kept them.
    #[serde(default)]
    pub unclean: Vec<BrokerId>,
    /// The last leader epoch whose leader was elected uncleanly (R10).
    #[serde(default)]
    pub unclean_epoch: Option<LeaderEpoch>,
    /// An unclean election has happened, and the ISR grows only when its leader has recovered (R8).
    #[serde(default)]
    pub recovering: bool,
    /// The leading node, or −1 if no node leads.
    pub leader: BrokerId,
    /// Grows with each new leadership, even of the same node.
    pub leader_epoch: LeaderEpoch,
    /// Grows by one with each change.
    pub partition_epoch: i32,
    /// Where nodes have opened their replicas. None of them may create it empty again.
    pub opened: BTreeSet<Opened>,
}

impl Default for Partition {
    fn default() -> Partition {
        Partition::new(Vec::new(), Vec::new())
    }
}

impl Partition {
    /// A new partition. The first replica that is in sync leads it.
    #[must_use]
    pub fn new(replicas: Vec<BrokerId>, isr: Vec<BrokerId>) -> Partition {
        Partition {
            leader: replicas.iter().find(|id| isr.contains(id)).copied().unwrap_or(-1),
            replicas,
            isr,
            adding: Vec::new(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            unclean: Vec::new(),
            unclean_epoch: None,
            recovering: false,
            leader_epoch: 0,
            partition_epoch: 0,
            opened: BTreeSet::new(),
        }
    }

    /// Whether a replica holds all that is committed: a member of the ISR or the ELR.
    #[must_use]
    pub fn is_eligible(&self, replica: BrokerId) -> bool {
        self.isr.contains(&replica) || self.elr.contains(&replica)
    }

    /// The number of replicas that no reassignment is still adding.
    #[must_use]
    pub fn settled(&self) -> usize {
        self.replicas.iter().filter(|broker| !self.adding.contains(broker)).count()
    }

    /// Whether a node has opened its replica, in whichever directory.
    #[must_use]
    pub fn opened_by(&self, broker: BrokerId) -> bool {
        self.opened.iter().any(|opened| opened.broker == broker)
    }

    /// Whether the image has a node's replica in this place, as far as it says so.
    #[must_use]
    pub fn opened_at(&self, at: Opened) -> bool {
        let same = |opened: &&Opened| {
            opened.broker == at.broker
                && (opened.directory.is_none() || opened.directory == at.directory)
                && (opened.shard.is_none() || opened.shard == at.shard)
        };
        self.opened.iter().any(|opened| same(&opened))
    }

    /// Whether a node has opened its replica in this directory (R21). A place without a directory counts as all.
    #[must_use]
    pub fn opened_in(&self, broker: BrokerId, directory: DirectoryId) -> bool {
        let here = |opened: &&Opened| opened.broker == broker;
        self.opened.iter().filter(here).any(|opened| opened.directory.is_none_or(|at| at == directory))
    }

    /// The number of replicas that count for `min.insync.replicas`: all that are not being added.
    #[must_use]
    pub fn counted_replicas(&self) -> usize {
        self.replicas.iter().filter(|id| !self.adding.contains(id)).count()
    }
}
