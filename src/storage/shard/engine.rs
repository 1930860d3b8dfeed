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

use crate::storage::disk::fault::ShardFault;
use crate::storage::disk::port::Disk;
use crate::storage::journal::index::{Index, Live};
use crate::storage::journal::segment::{Segment, Segments};
use crate::storage::journal::writer::{SyncedTo, Writer};
use crate::storage::metrics::ShardSample;
use crate::storage::settled::db::Db;
use crate::storage::shard::room::{Ahead, Space};
use callboard_actors::ports::{ReplicaSink, ShardError, ShardStats};
use callboard_core::mutant::{Mutant, planted};
use callboard_core::partition::Forgotten;
use callboard_core::storage::{Fresh, LARGE_RUN, Residence, ZEROS_BELOW, fresh, may_recycle, spares};
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
    /// Which runs stay in the journal, and how large it may become.
    pub residence: Residence,
    /// A new segment is written with zeros where the journal is synced more often than once in so many bytes.
    pub zeros_below: u64,
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
            residence: Residence { large_run: LARGE_RUN, journal_bytes_max: 4 << 30 },
            zeros_below: ZEROS_BELOW,
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
    /// Segments that can not be emptied: what they hold has rotted.
    pub stuck: BTreeSet<Lsn>,
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
    pub(in crate::storage) shard: u16,
    pub(in crate::storage) uuid: [u8; 16],
    pub(in crate::storage) options: EngineOptions,
    pub(in crate::storage) disk: Arc<dyn Disk>,
    pub(in crate::storage) dir: PathBuf,
    pub(in crate::storage) segments: Segments,
    pub(in crate::storage) db: Db,
    pub(in crate::storage) index: Mutex<Index>,
    pub(in crate::storage) writer: Mutex<Writer>,
    pub(in crate::storage) settler: Mutex<Settler>,
    /// A segment made ahead. Held while one is made; taken before `index`, never after it.
    pub(in crate::storage) spare: Mutex<Option<Segment>>,
    pub(in crate::storage) synced: Mutex<SyncedTo>,
    pub(in crate::storage) written: AtomicU64,
    pub(in crate::storage) durable_x: AtomicU64,
    /// Segments that hold what a corrupt replica has left: never recycled.
    pub(in crate::storage) pinned: BTreeSet<Lsn>,
    /// Stretches in the journal that do not prove themselves.
    pub(in crate::storage) rotten: Mutex<BTreeSet<(ReplicaId, Offset)>>,
    /// Where the scrubber goes on.
    pub(in crate::storage) scrubbed_to: Mutex<(ReplicaId, Offset)>,
    pub(in crate::storage) fault: OnceLock<ShardFault>,
    pub(in crate::storage) sync_since: Mutex<Option<Instant>>,
    pub(in crate::storage) space: Space,
    pub(in crate::storage) rejournaled: u64,
    pub(in crate::storage) cut: u64,
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

    pub(in crate::storage) fn healthy(&self) -> Result<(), ShardFault> {
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

    /// Which producers a replica has forgotten: its next snapshot is without them.
    pub fn forget(&self, replica: ReplicaId, forgotten: Forgotten) {
        if let Some(live) = self.index.lock().replicas.get_mut(&replica) {
            live.forgotten = Some(forgotten);
        }
    }

    /// Journaled and not yet settled.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        self.written.load(Ordering::Acquire).saturating_sub(self.durable_x.load(Ordering::Acquire))
    }

    /// Whether producers have to wait: too much is not settled, or the journal outgrows its budget faster than it is emptied.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let max = self.options.unsettled_bytes_max;
        let over = || self.needed_bytes() >= self.options.residence.journal_bytes_max.saturating_add(2 * max);
        self.unsettled() >= max || over()
    }

    /// Bytes of the segments that rows refer to or that are not settled.
    fn needed_bytes(&self) -> u64 {
        self.db.used_segments().saturating_mul(self.options.segment_bytes).saturating_add(self.unsettled())
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

    /// Bytes of segments that are settled and that no row refers to.
    pub(in crate::storage) fn free_in_journal(&self) -> u64 {
        let x = Lsn(self.durable_x.load(Ordering::Acquire));
        let (used, index) = (self.db.all_used(), self.index.lock());
        let free = |s: &&Arc<Segment>| s.end() <= x && !used.contains_key(&s.first);
        index.segments.values().filter(free).map(|s| s.capacity).sum()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        let recyclable = self.free_in_journal();
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
    pub(in crate::storage) fn sample(&self, closed: Duration) -> ShardSample {
        let stats = self.stats();
        let (journal, runs) = {
            let index = self.index.lock();
            (index.bytes(), index.runs())
        };
        ShardSample {
            unsettled: stats.unsettled_bytes,
            max: self.options.unsettled_bytes_max,
            closed: closed.as_secs_f64(),
            sync_age: Duration::from_millis(stats.sync_age_ms).as_secs_f64(),
            journal,
            runs,
            resident: self.db.resident_bytes(),
            journal_max: self.options.residence.journal_bytes_max,
            db: self.db.sample(),
            free: stats.free_bytes,
            refuses: self.room().refuses(),
            space: self.space.counted(),
        }
    }

    pub(in crate::storage) fn sync_began(&self) -> Instant {
        let now = Instant::now();
        *self.sync_since.lock() = Some(now);
        now
    }

    pub(in crate::storage) fn sync_ended(&self, began: Instant) {
        *self.sync_since.lock() = None;
        self.space.synced();
        crate::storage::metrics::sync(self.shard, began.elapsed());
    }

    /// Whether no segment is made ahead, nor being made.
    #[must_use]
    pub fn wants_segment(&self) -> bool {
        self.spare.try_lock().is_some_and(|spare| spare.is_none())
    }

    /// How the next segment is made where there is none to overwrite.
    pub(in crate::storage) fn fresh(&self) -> Fresh {
        fresh(self.space.filled(), self.options.zeros_below)
    }

    /// Makes the next segment ahead of need. Whether it did anything: no space is no fault, nor is no descriptor.
    ///
    /// Whoever makes a segment, this or the writer's roll, holds `spare` meanwhile: there is one file aside, and one
    /// place behind the last segment of the index.
    pub fn prepare(&self) -> Result<bool, ShardFault> {
        self.healthy()?;
        let made = self.make_ahead(&mut self.spare.lock(), 0);
        made.map(|ahead| ahead == Ahead::Made).inspect_err(|fault| self.fail(fault))
    }

    /// Segments that nobody needs any more: settled, no row refers to them, no reader holds them.
    fn dead(&self, index: &Index) -> Vec<Lsn> {
        let x = Lsn(self.durable_x.load(Ordering::Acquire));
        let synced = self.synced.lock().lsn;
        let used = self.db.all_used();
        let referred = |first| used.contains_key(first) && !planted(Mutant::RecycleWhileReferred);
        let dead = index.segments.iter().filter(|(first, s)| {
            may_recycle(s.end(), x, synced)
                && !referred(first)
                && !self.pinned.contains(first)
                && Arc::strong_count(s) == 1
        });
        dead.map(|(first, _)| *first).collect()
    }

    /// Takes the oldest segment that may be overwritten out of the index.
    pub(in crate::storage) fn take_recyclable(&self) -> Option<Segment> {
        let mut index = self.index.lock();
        let fits = |first: &&Lsn| index.segments.get(first).is_some_and(|s| s.may_be_overwritten());
        let first = *self.dead(&index).iter().find(fits)?;
        Arc::into_inner(index.segments.remove(&first)?)
    }

    /// Where room is short: one that may not be overwritten, to be unlinked before another is made.
    pub(in crate::storage) fn take_dead_if_short(&self) -> Option<Segment> {
        if self.room().short() { self.take_surplus(usize::MAX - 1) } else { None }
    }

    /// Unlinks segments that are not needed any more: those that may not be overwritten, and what is left beyond a few that
    /// may.
    pub fn remove_surplus(&self) -> Result<(), ShardFault> {
        let usual = (self.options.unsettled_bytes_max / self.options.segment_bytes) as usize;
        let wanted = spares(self.space.rolled_lately(), self.options.segment_bytes, &self.options.residence);
        let keep = 1 + if self.room().short() { 0 } else { usual + wanted };
        while let Some(segment) = self.take_surplus(keep) {
            self.segments.remove(&segment)?;
        }
        Ok(())
    }

    fn take_surplus(&self, keep: usize) -> Option<Segment> {
        let mut index = self.index.lock();
        let dead = self.dead(&index);
        let sent = |first: &&Lsn| index.segments.get(first).is_some_and(|s| !s.may_be_overwritten());
        let many = index.segments.len().saturating_sub(self.db.all_used().len()) > keep + 1;
        let first = *dead.iter().find(sent).or(dead.first().filter(|_| many))?;
        Arc::into_inner(index.segments.remove(&first)?)
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
