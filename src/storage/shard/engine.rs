//! One shard's store, without threads: what was written, what is settled, and the way from one to the other.
//!
//! ```text
//!   write ──> journal ──> run index ──> read (read.rs)
//!                │ synced                  │
//!                └─────> settle ───────────┴──> redb
//! ```
//!
//! Every method works on the caller's thread: `handle.rs` gives the engine its threads, and the crash suite drives it step
//! by step. A fault is final: it is recorded, told to every replica, and refuses all later work with the same words. The
//! engine decides little itself; `callboard_core::storage` does.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::dead::Keeper;
use crate::storage::journal::index::may_cut;
use crate::storage::journal::stream::Journal;
use crate::storage::sample::ShardSample;
use crate::storage::settled::state::Settled;
use crate::storage::shard::room::Space;
use crate::storage::shard::scrub::{Scrubbed, Scrubber};
use callboard_actors::ports::{Hint, ReplicaSink, ShardError, ShardStats, Submission};
use callboard_core::partition::Forgotten;
use callboard_core::storage::{Entry, LARGE_RUN, Residence, Room, ZEROS_BELOW};
use callboard_core::{Lsn, ReplicaId};
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

/// Sizes of a shard.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Bytes of a journal segment.
    pub segment_bytes: u64,
    /// Journaled and not yet settled bytes at which producers have to wait.
    pub unsettled_bytes_max: u64,
    /// Bytes of redb's cache.
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

/// Bytes that the last recovery journaled again, and bytes of torn tail that it cut.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mended {
    pub rejournaled: u64,
    pub cut: u64,
    /// Where the journal ended that recovery found.
    pub found: Lsn,
    /// Where this life's own part of the journal begins.
    pub began: Lsn,
}

/// One shard: the owners of its state.
///
/// A thread takes the locks of a shard in this order, each row before the rows below it, and may leave rows out:
///
/// ```text
///   1  Scrubber: where it goes on · Settled: the settler     never both; each for one scrub, settle, sweep or move
///   2  Db: the open database (shared by reads and writes)    for one transaction
///   3  Journal: the writer                                   for one group and its sync
///   4  Journal: the spare                                    while a segment is made
///   5  Journal: the index                                    never across a disk operation
///   6  all others: Db's list of used segments, what is synced, Rolls, SyncWatch, Scrubber's rotten stretches, Space
///      no other lock is taken under one of these
/// ```
///
/// The locks of the threads (`inner.rs`) are taken alone or before all of these.
pub struct Engine {
    pub(super) shard: u16,
    pub(super) options: EngineOptions,
    pub(in crate::storage) journal: Journal,
    pub(in crate::storage) settled: Settled,
    pub(super) scrubber: Scrubber,
    pub(super) space: Space,
    fault: OnceLock<ShardFault>,
    mended: Mended,
}

impl Engine {
    /// A shard of these owners.
    #[must_use]
    pub fn new(
        options: EngineOptions,
        journal: Journal,
        settled: Settled,
        space: Space,
        mended: Mended,
    ) -> Engine {
        let shard = journal.shard;
        let scrubber = Scrubber::new(shard);
        Engine { shard, options, journal, settled, scrubber, space, fault: OnceLock::new(), mended }
    }

    /// This shard's number on its node.
    #[must_use]
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// The sizes of this shard.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The fault that stopped the shard, if one did.
    #[must_use]
    pub fn fault(&self) -> Option<&ShardFault> {
        self.fault.get()
    }

    pub(super) fn healthy(&self) -> Result<(), ShardFault> {
        self.fault.get().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    fn stopped(&self, fault: &ShardFault) -> ShardError {
        ShardError::Stopped { shard: self.shard, reason: fault.0.clone() }
    }

    /// Stops the shard for good and tells every replica.
    pub fn fail(&self, fault: &ShardFault) {
        if self.fault.set(fault.clone()).is_ok() {
            tracing::error!(
                shard = self.shard,
                "shard {} has stopped: {fault}; its partitions are offline until the node restarts",
                self.shard
            );
            self.journal.index.lock().fail_all(&self.stopped(fault));
        }
    }

    /// Mints a replica. The caller submits its `Open` (number 1).
    pub fn mint(&self, sink: Arc<dyn ReplicaSink>) -> Result<ReplicaId, ShardFault> {
        // Under the lock, because a shard that stops tells the replicas that are in the index by then.
        let mut index = self.journal.index.lock();
        self.healthy()?;
        Ok(index.mint(sink))
    }

    /// Directs a replica's notices to `sink`; if the shard has stopped, `sink` hears that at once.
    pub fn attach(&self, replica: ReplicaId, sink: Arc<dyn ReplicaSink>) {
        let mut index = self.journal.index.lock();
        let stopped = self.fault.get().map(|fault| self.stopped(fault));
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

    /// Notes which producers a replica has forgotten: its next snapshot leaves them out.
    pub fn forget(&self, replica: ReplicaId, forgotten: Forgotten) {
        if let Some(live) = self.journal.index.lock().replicas.get_mut(&replica) {
            live.forgotten = Some(forgotten);
        }
    }

    /// The place where a replica leaves its high watermark. For an unknown replica nothing looks there.
    #[must_use]
    pub fn hint(&self, replica: ReplicaId) -> Arc<Hint> {
        let index = self.journal.index.lock();
        index.replicas.get(&replica).map(|live| Arc::clone(&live.hint)).unwrap_or_default()
    }

    /// Hears of an entry before it is queued. A high watermark that is told after one that may cut the log is not settled
    /// with what lies before the cut.
    pub fn coming(&self, replica: ReplicaId, entry: &Entry) {
        if may_cut(entry)
            && let Some(live) = self.journal.index.lock().replicas.get_mut(&replica)
        {
            live.coming(entry);
        }
    }

    /// Writes entries as one group and makes durable what asks for it. Then notices go out.
    ///
    /// An entry that does not follow its replica's last one fails that replica only.
    pub fn write(&self, batch: Vec<Submission>) -> Result<(), ShardFault> {
        self.healthy()?;
        self.journal.write(batch, &self.settled).inspect_err(|fault| self.fail(fault))
    }

    /// Makes everything written durable.
    pub fn sync(&self) -> Result<(), ShardFault> {
        self.healthy()?;
        self.journal.sync().inspect_err(|fault| self.fail(fault))
    }

    /// Writes an empty group, which proves the last sync. `sync`: it is synced itself, for a clean end.
    pub fn prove(&self, sync: bool) -> Result<(), ShardFault> {
        self.healthy()?;
        self.journal.prove(sync, &self.settled).inspect_err(|fault| self.fail(fault))
    }

    /// Whether entries of some replica are written and not synced yet.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.journal.is_dirty()
    }

    /// Whether no later group proves the last sync yet.
    #[must_use]
    pub fn is_unproved(&self) -> bool {
        self.journal.is_unproved()
    }

    /// Whether no segment is made ahead, nor being made.
    #[must_use]
    pub fn wants_segment(&self) -> bool {
        self.journal.wants_segment()
    }

    /// Bytes journaled and not yet settled.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        self.journal.written().saturating_sub(self.settled())
    }

    /// Bytes synced and not yet settled: a settle would take them.
    #[must_use]
    pub fn settleable(&self) -> u64 {
        self.journal.synced_to().lsn.0.saturating_sub(self.settled())
    }

    /// Bytes settled since the journal began. Only the difference of two calls means something.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled.x().0
    }

    /// Runs in the index.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.journal.index.lock().runs()
    }

    /// How much room there is on the disk.
    #[must_use]
    pub fn room(&self) -> Room {
        self.space.room()
    }

    /// How long a produce request waits because room gets low.
    pub(super) fn slow_by(&self) -> Duration {
        self.space.slow_by()
    }

    /// Age of the journal sync that is running; zero if none is.
    pub(super) fn sync_age(&self) -> Duration {
        self.journal.sync.age()
    }

    /// Says in the log when a sync takes long. It touches no file, so a disk that hangs does not hold its caller.
    pub fn look_at_sync(&self) {
        self.journal.sync.look(self.shard);
    }

    /// Bytes to be scrubbed in a second, for a pass a week.
    #[must_use]
    pub fn scrub_pace(&self) -> u64 {
        Scrubber::pace(&self.settled.db)
    }

    /// Reads and proves about so many bytes of what stays in the journal.
    pub fn scrub(&self, budget: u64) -> Result<Scrubbed, ShardFault> {
        self.healthy()?;
        self.scrubber.scrub(&self.journal, &self.settled.db, budget)
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
        self.settled.referred().saturating_mul(self.options.segment_bytes).saturating_add(self.unsettled())
    }

    /// Counters for admission, metrics and health.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        let recyclable = self.journal.free_bytes(&self.settled);
        let usable = self.space.usable().unwrap_or(0);
        ShardStats {
            free_bytes: usable.saturating_add(recyclable),
            volume_bytes: self.space.volume(),
            usable_bytes: usable,
            unsettled_bytes: self.unsettled(),
            sync_age_ms: self.sync_age().as_millis() as u64,
            synced_position: self.synced_position().0,
            rejournaled_bytes: self.mended.rejournaled,
            cut_bytes: self.mended.cut,
        }
    }

    /// Up to where the next recovery finds the journal at least. The segment that this life began counts only once a group
    /// of its own is synced in it, because an old copy of the directory would get such a segment, too.
    fn synced_position(&self) -> Lsn {
        let synced = self.journal.synced_to().lsn;
        if synced > self.mended.began { synced } else { self.mended.found }
    }

    /// Tells a replica, once, that its stored bytes do not prove themselves.
    pub fn tell_rot(&self, replica: ReplicaId, why: &str) {
        let mut index = self.journal.index.lock();
        if let Some(live) = index.replicas.get_mut(&replica)
            && !std::mem::replace(&mut live.rotten, true)
            && let Some(sink) = &live.sink
        {
            sink.rotted(why.to_owned());
        }
    }

    /// Tells every replica of which the scrubber, or a move, has found rotten stretches.
    pub fn tell_all_rot(&self) {
        for (replica, why) in self.scrubber.newly_rotten() {
            self.tell_rot(replica, &why);
        }
    }

    /// The numbers for a scrape. `closed`: how long the shard's gate was closed.
    pub(super) fn sample(&self, closed: Duration) -> ShardSample {
        let stats = self.stats();
        let (journal, runs) = {
            let index = self.journal.index.lock();
            (index.bytes(), index.runs())
        };
        ShardSample {
            unsettled: stats.unsettled_bytes,
            max: self.options.unsettled_bytes_max,
            closed: closed.as_secs_f64(),
            sync_age: Duration::from_millis(stats.sync_age_ms).as_secs_f64(),
            journal,
            runs,
            resident: self.settled.db.resident_bytes(),
            journal_max: self.options.residence.journal_bytes_max,
            db: self.settled.db.sample(),
            free: stats.free_bytes,
            refuses: self.room().refuses(),
            no_space: self.space.failures(),
            reserve: self.space.reserved(),
        }
    }

    /// Settles everything and proves the last sync: the clean end. Rows still to be swept are found at the next start.
    pub fn close(&self) -> Result<(), ShardFault> {
        self.sync()?;
        self.settle()?;
        if !self.room_for(&[])? {
            return Err(ShardFault("the disk is full: its last sync could not be proved".into()));
        }
        self.prove(true)?;
        self.settled.db.close();
        Ok(())
    }
}
