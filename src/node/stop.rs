//! The order of a clean end: each part ends before those that it needs.
//!
//! ```text
//!   leaderships move away ─> no new request ─> actors drained ─> metadata log ─> shards settled and closed ─> readers ─> clean marker ─>
//!   last word to the controller ─> connections ─> console
//! ```
//! The marker is written only if every shard closed without a fault, because the next start trusts it.

use super::Node;
use callboard_actors::cluster::synced;
use callboard_actors::ports::Admission as _;
use callboard_core::DirectoryId;
use std::time::Duration;

impl Node {
    /// Ends cleanly: requests that were taken are answered, their records synced and settled.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.http.console.ending();
        if let Some(leaving) = &self.others.leaving {
            tracing::info!("ending: leaderships move away");
            leaving.hand_over().await;
        }
        tracing::info!("ending: no new requests are taken");
        self.stop.send_replace(true);
        self.coordinators.close();
        let _ = self.listener.await;
        self.actor.drain_and_wait(Some(Duration::from_secs(10))).await.ok();
        // As a heartbeat would say it: closing writes more, and a next start that found less would count as an old copy.
        let stats: Vec<_> = self.shards.iter().map(|shard| (shard.index(), shard.stats())).collect();
        let synced = synced(DirectoryId::parse(&self.store.identity().directory_id), &stats);
        let (shards, readers, log) = (self.shards, self.readers, self.log);
        let closed = tokio::task::spawn_blocking(move || {
            // Without its controller this node must not go on leading the metadata log, however long its disks take.
            log.close();
            let closed: Vec<_> = shards.iter().map(|shard| shard.close()).collect();
            readers.stop();
            closed
        });
        let mut clean = true;
        for (n, closed) in closed.await?.into_iter().enumerate() {
            if let Err(fault) = closed {
                tracing::error!("shard {n} could not be closed cleanly: {fault}");
                clean = false;
            }
        }
        if clean && let Err(error) = self.store.mark_clean() {
            // Everything is on disk; the next start looks by itself.
            tracing::error!("the clean end could not be marked: {error}");
            clean = false;
        }
        if clean && let Some(leaving) = &self.others.leaving {
            leaving.farewell(synced).await;
        }
        if let Some((transport, replicator)) = self.others.links {
            replicator.close();
            transport.close().await;
        }
        // The console goes last, so that the end is seen.
        drop(self.http.tasks);
        tracing::info!("ended{}", if clean { " cleanly" } else { "" });
        Ok(())
    }
}
