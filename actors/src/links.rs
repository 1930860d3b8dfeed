//! The ways from this node's replicas to other nodes: words of replication, wishes for another ISR, and the list of
//! replicas that cannot serve.
//!
//! A single node has none of them: [`Links::default`] sends nothing.

use crate::contact::ContactUntil;
use crate::ports::{NoPeers, Replication};
use crate::proposer::ProposerMsg;
use callboard_core::TopicPartition;
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
    pub damaged: Arc<Unable>,
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

/// Replicas of this node that the heartbeat names, because they cannot serve (R38, R41).
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

    /// Takes a replica off the list, whoever put it there.
    pub fn clear(&self, id: TopicPartition) {
        if self.0.lock().remove(&id).is_some() {
            tracing::info!(partition = %id, "it can serve again");
        }
    }

    /// All that cannot serve now.
    #[must_use]
    pub fn all(&self) -> BTreeSet<TopicPartition> {
        self.0.lock().keys().copied().collect()
    }
}
