//! One shard's store, without threads: journal, run index, redb, in one place.
//!
//! ```text
//!   write ──> journal (writer.rs) ──> index ──> read (read.rs)
//!                    │ synced                     │
//!                    └─────> settle (settle.rs) ──┴──> redb (db.rs)
//! ```
//!
//! Every method does its work on the caller's thread: `shard.rs` gives it a journal thread, a settling thread and
//! readers; the crash suite drives it step by step. A fault is final: it is recorded, told to every replica, and all
//! later work is refused with the same words.

use super::db::Db;
use super::disk::Disk;
use super::error::ShardFault;
use super::index::{Index, Live};
use super::metrics::ShardSample;
use super::segment::{Segment, Segments};
use super::space::{Ahead, Space};
use super::writer::{SyncedTo, Writer};
use callboard_actors::ports::{ReplicaSink, ShardError, ShardStats};
use callboard_core::partition::LeaderConfig;
use callboard_core::storage::may_recycle;
use callboard_core::{Lsn, Offset, ReplicaId, Seq};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Sizes of a shard.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Bytes of a journal segment.
    pub segment_bytes: u64,
    /// Journaled and not yet settled bytes at which producers have to wait.
    pub unsettled_bytes_max: u64,
    /// redb's cache.
    pub cache_bytes: usize,
    /// A producer that is silent for so long is forgotten when its replica is settled (Kafka:
    /// `producer.id.expiration.ms`).
    pub producer_expiration_ms: i64,
    /// Bytes of the file system that are held back for what frees space; 0: as `reserve_bytes` says.
    pub disk_reserve_bytes: u64,
    /// Shards of the data directory.
    pub shards: usize,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        let budgets = callboard_core::limits::Budgets::default();
        EngineOptions {
            segment_bytes: 64 << 20,
            unsettled_bytes_max: budgets.unsettled as u64,
            cache_bytes: budgets.redb_cache,
            producer_expiration_ms: LeaderConfig::default().producer_expiration_ms,
            disk_reserve_bytes: 0,
            shards: 1,
        }
    }
}

/// What the settler alone touches.
pub struct Settler {
    /// Everything below is durably in redb.
    pub x: Lsn,
    /// Rows that nobody can see any more and that are still to be removed.
    pub sweep: BTreeMap<ReplicaId, Sweep>,
}

/// What to remove of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Blocks wholly below this offset.
    Below(Offset),
    /// Everything.
    All,
}

/// One shard.
pub struct Engine {
    pub(super) shard: u16,
    pub(super) uuid: [u8; 16],
    pub(super) options: EngineOptions,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) segments: Segments,
    pub(super) db: Db,
    pub(super) index: Mutex<Index>,
    pub(super) writer: Mutex<Writer>,
    pub(super) settler: Mutex<Settler>,
    /// A segment made ahead. Held while one is made; taken before `index`, never after it.
    pub(super) spare: Mutex<Option<Segment>>,
    pub(super) synced: Mutex<SyncedTo>,
    pub(super) written: AtomicU64,
    pub(super) durable_x: AtomicU64,
    /// Segments that hold what a corrupt replica has left: never recycled.
    pub(super) pinned: BTreeSet<Lsn>,
    pub(super) fault: OnceLock<ShardFault>,
    pub(super) sync_since: Mutex<Option<Instant>>,
    pub(super) space: Space,
    pub(super) rejournaled: u64,
    pub(super) cut: u64,
}

impl Engine {
    /// This shard's number.
    #[must_use]
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// Why it has stopped, if it has.
    #[must_use]
    pub fn fault(&self) -> Option<&ShardFault> {
        self.fault.get()
    }

    pub(super) fn healthy(&self) -> Result<(), ShardFault> {
        self.fault.get().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// Stops the shard for good and tells every replica.
    pub fn fail(&self, fault: &ShardFault) {
        if self.fault.set(fault.clone()).is_ok() {
            tracing::error!(
                shard = self.shard,
                "shard {} has stopped: {fault}; its partitions are offline until the node restarts",
                self.shard
            );
            let error = ShardError::Stopped { shard: self.shard, reason: fault.0.clone() };
            self.index.lock().fail_all(&error);
        }
    }

    /// Mints a replica. Its `Open` (number 1) is for the caller to submit.
    pub fn mint(&self, sink: Arc<dyn ReplicaSink>) -> Result<ReplicaId, ShardFault> {
        self.healthy()?;
        let mut index = self.index.lock();
        let replica = ReplicaId(index.next_replica);
        index.next_replica += 1;
        let mut live = Live::new(Seq(0), 0, 0);
        live.sink = Some(sink);
        index.replicas.insert(replica, live);
        Ok(replica)
    }

    /// Directs a replica's notices to `sink`; if the shard has stopped, it is told at once.
    pub fn attach(&self, replica: ReplicaId, sink: Arc<dyn ReplicaSink>) {
        let mut index = self.index.lock();
        let stopped =
            self.fault.get().map(|f| ShardError::Stopped { shard: self.shard, reason: f.0.clone() });
        let Some(live) = index.replicas.get_mut(&replica) else {
            return sink.failed(ShardError::UnknownReplica { shard: self.shard, replica: replica.0 });
        };
        match (stopped, &live.failed) {
            (Some(error), _) => sink.failed(error),
            (None, Some(why)) => sink.failed(ShardError::Refused(why.clone())),
            (None, None) => sink.persisted(live.announced),
        }
        live.sink = Some(sink);
    }

    /// Journaled and not yet settled.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        self.written.load(Ordering::Acquire).saturating_sub(self.durable_x.load(Ordering::Acquire))
    }

    /// Settled since the journal began: only a difference of two says something.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.durable_x.load(Ordering::Acquire)
    }

    /// Synced and not yet settled: what a settle would take.
    #[must_use]
    pub fn settleable(&self) -> u64 {
        self.synced.lock().lsn.0.saturating_sub(self.durable_x.load(Ordering::Acquire))
    }

    /// Runs in the index.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.index.lock().runs()
    }

    /// Its sizes.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        let recyclable: u64 = {
            let x = Lsn(self.durable_x.load(Ordering::Acquire));
            let index = self.index.lock();
            index.segments.values().filter(|s| s.end() <= x).map(|s| s.capacity).sum()
        };
        let usable = self.disk.free_bytes(&self.dir).unwrap_or(0);
        ShardStats {
            free_bytes: usable.saturating_add(recyclable),
            volume_bytes: self.disk.volume_bytes(&self.dir).unwrap_or(0),
            usable_bytes: usable,
            unsettled_bytes: self.unsettled(),
            sync_age_ms: self.sync_since.lock().map_or(0, |since| since.elapsed().as_millis() as u64),
            rejournaled_bytes: self.rejournaled,
            cut_bytes: self.cut,
        }
    }

    /// What a scrape sees of it. `closed`: how long its gate was.
    pub(super) fn sample(&self, closed: Duration) -> ShardSample {
        let stats = self.stats();
        let (journal, runs) = {
            let index = self.index.lock();
            (index.segments.values().map(|s| s.capacity).sum(), index.runs())
        };
        ShardSample {
            unsettled: stats.unsettled_bytes,
            max: self.options.unsettled_bytes_max,
            closed: closed.as_secs_f64(),
            sync_age: Duration::from_millis(stats.sync_age_ms).as_secs_f64(),
            journal,
            runs,
            db: self.db.sample(),
            free: stats.free_bytes,
            refuses: self.room().refuses(),
            space: self.space.counted(),
        }
    }

    pub(super) fn sync_began(&self) -> Instant {
        let now = Instant::now();
        *self.sync_since.lock() = Some(now);
        now
    }

    pub(super) fn sync_ended(&self, began: Instant) {
        *self.sync_since.lock() = None;
        super::metrics::sync(self.shard, began.elapsed());
    }

    /// Whether no segment is made ahead, nor being made.
    #[must_use]
    pub fn wants_segment(&self) -> bool {
        self.spare.try_lock().is_some_and(|spare| spare.is_none())
    }

    /// Makes the next segment ahead of need. Whether it did anything: no space is no fault.
    ///
    /// Whoever makes a segment, this or the writer's roll, holds `spare` meanwhile: there is one file aside, and one
    /// place behind the last segment of the index.
    pub fn prepare(&self) -> Result<bool, ShardFault> {
        self.healthy()?;
        let made = self.make_ahead(&mut self.spare.lock(), 0);
        made.map(|ahead| ahead == Ahead::Made).inspect_err(|fault| self.fail(fault))
    }

    /// Takes the oldest segment that is not needed any more out of the index.
    pub(super) fn take_recyclable(&self) -> Option<Segment> {
        let x = Lsn(self.durable_x.load(Ordering::Acquire));
        let synced = self.synced.lock().lsn;
        let mut index = self.index.lock();
        let first = *index
            .segments
            .iter()
            .find(|(first, s)| {
                may_recycle(s.end(), x, synced) && !self.pinned.contains(first) && Arc::strong_count(s) == 1
            })?
            .0;
        Arc::into_inner(index.segments.remove(&first)?)
    }

    /// Unlinks segments that are not needed any more, beyond the one to be recycled next.
    pub fn remove_surplus(&self) -> Result<(), ShardFault> {
        let usual = (self.options.unsettled_bytes_max / self.options.segment_bytes) as usize;
        let keep = 1 + if self.room().short() { 0 } else { usual };
        while self.index.lock().segments.len() > keep + 1 {
            match self.take_recyclable() {
                Some(segment) => self.segments.remove(&segment)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Flushes everything to redb and proves the last sync: the clean end.
    pub fn close(&self) -> Result<(), ShardFault> {
        self.sync()?;
        self.settle()?;
        // What is still to be swept is found again at the next start.
        if !self.room_for(&[])? {
            return Err(ShardFault("the disk is full: its last sync could not be proved".into()));
        }
        self.prove(true)?;
        self.db.close();
        Ok(())
    }
}
