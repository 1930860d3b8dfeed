//! The heartbeats of one life of this node: twice a second, and soon after each new image and each new controller.
//!
//! A heartbeat says how far the node has applied the metadata log, how its disks do, and which replicas cannot serve. A
//! heartbeat behind an image lets the controller answer a config change as soon as the leaders know it.
//!
//! A node that wants to end says so in a heartbeat that goes at once; its last one, after everything has ended, is
//! [`farewell`].
//!
//! Each answer goes to the contact, with the moment at which its heartbeat was sent. The controller's own node asks the
//! voters instead, because its heartbeats never leave it.
//!
//! The task decides nothing. It ends when its handle is dropped.

use super::contact::ContactMsg;
use super::door::Door;
use super::ending::Ending;
use super::messages::SessionsMsg;
use crate::clock::Clock;
use crate::images::Images;
use crate::links::{Damaged, Unable};
use crate::ports::{Calls, Service, Shard, ShardStats};
use bytes::Bytes;
use callboard_core::metadata::SyncedPositions;
use callboard_core::sessions::{HEARTBEAT_MS, Heard, Heartbeat, SESSION_MS};
use callboard_core::{DirectoryId, Peer};
use ractor::ActorRef;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// Time between two heartbeats at least.
const GAP: Duration = Duration::from_millis(50);

/// Everything that a heartbeat speaks of.
pub struct Heartbeats {
    pub from: Peer,
    pub door: Arc<Door>,
    pub calls: Arc<dyn Calls>,
    pub images: Arc<Images>,
    pub shards: Vec<Arc<dyn Shard>>,
    pub unable: Arc<Unable>,
    pub damaged: Arc<Damaged>,
    pub directory: Option<DirectoryId>,
    /// Whether the node wants to end.
    pub ending: Arc<Ending>,
    pub contact: ActorRef<ContactMsg>,
    pub clock: Arc<dyn Clock>,
}

/// Up to where the journals of a data directory are on disk.
pub fn synced(directory: Option<DirectoryId>, shards: &[(u16, ShardStats)]) -> SyncedPositions {
    let at = |(shard, stats): &(u16, ShardStats)| (*shard, stats.synced_position);
    directory.map(|directory| (directory, shards.iter().map(at).collect())).into_iter().collect()
}

impl Heartbeats {
    /// Sends heartbeats for as long as the task lives.
    pub async fn run(self) {
        let mut every = interval(Duration::from_millis(HEARTBEAT_MS));
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut images, mut lead, mut ending) = (self.images.watch(), self.door.lead(), self.ending.watch());
        let mut number = 0;
        loop {
            number += 1;
            self.send(number);
            let next = Instant::now() + GAP;
            tokio::select! {
                _ = every.tick() => {}
                changed = images.changed() => if changed.is_err() {
                    return;
                },
                _ = lead.changed() => {}
                _ = ending.changed() => {}
            }
            sleep_until(next).await;
            images.mark_unchanged();
            lead.mark_unchanged();
        }
    }

    fn heartbeat(&self, number: u64) -> Heartbeat {
        let stats: Vec<_> = self.shards.iter().map(|shard| (shard.index(), shard.stats())).collect();
        let ages = stats.iter().map(|(_, stats)| stats.sync_age_ms);
        Heartbeat {
            from: self.from,
            number,
            applied: self.images.current().applied,
            recovered: true,
            ending: self.ending.is_on(),
            ended: false,
            sync_age_ms: ages.max().unwrap_or(0),
            full: self.shards.iter().any(|shard| shard.room().refuses()),
            synced: synced(self.directory, &stats),
            unable: self.unable.all(),
            damaged: self.damaged.all(),
        }
    }

    fn send(&self, number: u64) {
        let lead = *self.door.lead().borrow();
        let heartbeat = self.heartbeat(number);
        let _ = self.contact.cast(ContactMsg::Applied(heartbeat.applied));
        let Some(lead) = lead else { return };
        // The moment counts from which on the controller may have heard it, so the clock is read before it leaves.
        let sent = self.clock.now().mono;
        if lead.node == self.from.broker {
            if let Some(heard) = self.door.heard() {
                let _ = self.contact.cast(ContactMsg::Answered { sent, heard });
            }
            return self.door.tell(SessionsMsg::Heartbeat(heartbeat));
        }
        match serde_json::to_vec(&heartbeat) {
            Ok(words) => {
                let within = Duration::from_millis(SESSION_MS);
                let said = self.calls.call(lead.node, Service::Heartbeat, Bytes::from(words), within);
                let contact = self.contact.clone();
                tokio::spawn(async move {
                    match said.await {
                        // A node of an older version answers without words.
                        Ok(words) => {
                            let heard: Heard = serde_json::from_slice(&words).unwrap_or_default();
                            let _ = contact.cast(ContactMsg::Answered { sent, heard });
                        }
                        Err(error) => {
                            tracing::debug!(controller = lead.node, "a heartbeat did not arrive: {error}");
                        }
                    }
                });
            }
            Err(error) => tracing::error!("a heartbeat cannot be written: {error}"),
        }
    }
}

/// The last word of a node that has ended cleanly: up to here its journals are synced.
#[must_use]
pub fn farewell(from: Peer, applied: u64, synced: SyncedPositions) -> Heartbeat {
    Heartbeat {
        from,
        // No heartbeat that is still on its way is newer.
        number: u64::MAX,
        applied,
        recovered: true,
        ending: true,
        ended: true,
        sync_age_ms: 0,
        full: false,
        synced,
        unable: Default::default(),
        damaged: Default::default(),
    }
}
