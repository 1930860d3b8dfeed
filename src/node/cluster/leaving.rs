//! A planned stop towards the cluster (R30): leaderships move away first, and the controller hears when all is over.
//!
//! ```text
//!   wish in the heartbeat ─> committed: shutting down, with all moves ─> the others serve that ─> drain, close ─> last word
//! ```
//! Clients find the new leaders before this node stops to answer. The last word lets the controller fence this process at once, so
//! that its next start does not wait for a session.
//!
//! Each step has a bound. Without a controller, or when all nodes end at once, the node ends all the same. The controller's
//! own node says no last word, because nobody would hear it.

use bytes::Bytes;
use callboard_actors::cluster::{Door, Ending, farewell};
use callboard_actors::images::Images;
use callboard_actors::ports::{Calls, Service, Spread};
use callboard_core::metadata::SyncedPositions;
use callboard_core::{BrokerId, Peer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Time in which leaderships move away. Three nodes that are told to end at once wait for it, and have to end before a
/// container runtime kills them, ten seconds after it asked.
const HAND_OVER: Duration = Duration::from_millis(2_000);
/// Time for the last word.
const FAREWELL: Duration = Duration::from_millis(500);

/// The ways of a node that ends to its cluster.
pub(in super::super) struct Leaving {
    pub me: BrokerId,
    pub ending: Arc<Ending>,
    pub door: Arc<Door>,
    /// The granted broker epoch; 0 before there is one.
    pub epoch: Arc<AtomicU64>,
    pub images: Arc<Images>,
    pub spread: Arc<dyn Spread>,
    pub calls: Arc<dyn Calls>,
}

impl Leaving {
    /// Asks the controller to move the leaderships away, and waits until the other nodes know.
    pub async fn hand_over(&self) {
        let until = Instant::now() + HAND_OVER;
        self.ending.begin();
        let mut images = self.images.watch();
        let moved = async {
            loop {
                let image = self.images.current();
                if image.brokers.get(&self.me).is_none_or(|me| me.shutting_down || me.fenced) {
                    return Some(image.applied);
                }
                images.changed().await.ok()?;
            }
        };
        match timeout_at(until, moved).await {
            Ok(Some(index)) => {
                let left = until.saturating_duration_since(Instant::now());
                if !self.spread.served(index, left).await {
                    tracing::warn!("leaderships moved away, and not every node has said yet that it knows");
                }
            }
            Ok(None) => {}
            Err(_) => tracing::warn!(
                "no controller moved this node's leaderships away: clients find out by themselves"
            ),
        }
    }

    /// Tells the controller that this process has ended, and how far its journals are synced.
    pub async fn farewell(&self, synced: SyncedPositions) {
        let epoch = self.epoch.load(Ordering::Acquire);
        let Some(lead) = *self.door.lead().borrow() else { return };
        if epoch == 0 || lead.node == self.me {
            return;
        }
        let from = Peer { broker: self.me, epoch };
        let word = farewell(from, self.images.current().applied, synced);
        let Ok(words) = serde_json::to_vec(&word) else { return };
        let said = self.calls.call(lead.node, Service::Heartbeat, Bytes::from(words), FAREWELL);
        if !matches!(timeout(FAREWELL, said).await, Ok(Ok(_))) {
            tracing::info!(
                "the controller did not hear that this node has ended: its next start waits for a session"
            );
        }
    }
}
