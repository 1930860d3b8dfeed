//! The ways from this node's replicas to other nodes: words of replication, wishes for another ISR, and the list of
//! replicas that cannot serve.
//!
//! A single node has none of them: [`Links::default`] sends nothing.

use crate::contact::ContactUntil;
use crate::ports::{NoPeers, Replication};
use crate::proposer::ProposerMsg;
use callboard_core::{LeaderEpoch, TopicPartition};
use parking_lot::Mutex;
use ractor::ActorRef;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The ways to other nodes.
#[derive(Clone)]
pub struct Links {
    pub replication: Arc<dyn Replication>,
    /// None on a single node, whose ISRs never change.
    pub proposer: Option<ActorRef<ProposerMsg>>,
    /// Replicas that cannot serve now.
    pub unable: Arc<Unable>,
    /// Replicas that cannot serve what they acknowledged, until another replica helps (R41).
    pub damaged: Arc<Damaged>,
    /// Until when the node has contact with the controller.
    pub contact: Arc<ContactUntil>,
}

impl Default for Links {
    fn default() -> Links {
        Links {
            replication: Arc::new(NoPeers),
            proposer: None,
            unable: Arc::default(),
            damaged: Arc::default(),
            contact: Arc::default(),
        }
    }
}

/// Replicas of this node that the heartbeat names, because they cannot serve (R38).
#[derive(Debug, Default)]
pub struct Unable(Mutex<BTreeMap<TopicPartition, u64>>);

impl Unable {
    /// Notes whether a replica cannot serve, as the actor of this number says it. An actor takes back its own word alone,
    /// because the end of a former one may come late.
    pub fn set(&self, id: TopicPartition, number: u64, unable: bool) {
        let mut all = self.0.lock();
        if unable {
            tracing::warn!(partition = %id, "it cannot serve now");
            all.insert(id, number);
        } else if all.get(&id) == Some(&number) {
            tracing::info!(partition = %id, "it can serve again");
            all.remove(&id);
        }
    }

    /// All that cannot serve now.
    #[must_use]
    pub fn all(&self) -> BTreeSet<TopicPartition> {
        self.0.lock().keys().copied().collect()
    }
}

/// Replicas of this node that the heartbeat names, because they cannot serve what they acknowledged; each with the last
/// leader epoch in which anybody may count on it (R41).
#[derive(Debug, Default)]
pub struct Damaged(Mutex<BTreeMap<TopicPartition, LeaderEpoch>>);

impl Damaged {
    /// Names a replica from the next heartbeat on.
    pub fn set(&self, id: TopicPartition, epoch: LeaderEpoch) {
        if self.0.lock().insert(id, epoch).is_none() {
            tracing::warn!(partition = %id, epoch, "it cannot serve what it acknowledged");
        }
    }

    /// Takes a replica off the list.
    pub fn clear(&self, id: TopicPartition) {
        self.0.lock().remove(&id);
    }

    /// The list of a heartbeat: each with the last leader epoch in which anybody may count on it.
    #[must_use]
    pub fn all(&self) -> BTreeSet<(TopicPartition, LeaderEpoch)> {
        self.0.lock().iter().map(|(id, epoch)| (*id, *epoch)).collect()
    }
}

/// The words for a damaged replica that begins anew. One that leads was elected by an operator who gave its bytes up.
#[must_use]
pub fn anew(leads: bool) -> &'static str {
    if leads {
        "elected uncleanly, it begins without a record, and its former log is kept for a day as a stray"
    } else {
        "it begins anew, and its leader fills it"
    }
}
