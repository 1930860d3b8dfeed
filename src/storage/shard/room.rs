//! Room on the disk, for one shard: looked at, waited for, given back.
//!
//! ```text
//!   maker, twice a second ─ free? ─┐
//!   no space for a segment ────────┼─> RoomMachine ─> the level that produce looks at · a line in the log
//!   no space in redb's commit ─────┘              └─> shard-N/reserve removed, and made again when there is room
//! ```
//!
//! A full disk is a state. The journal overwrites what was written before, so only the making of a segment and redb's
//! growing meet it. `room_for` is asked before a group is written: where no segment can be had, the group waits in the
//! queue, and what frees space (settling, sweeping, retention, deletes) goes on, in small windows, on the reserve.
//! Where there is no descriptor for one it waits as well.
//! What is decided when is `callboard_core::storage::RoomMachine`. Files of other programs are not looked at.

use crate::storage::disk::fault::ShardFault;
use crate::storage::disk::port::Disk;
use crate::storage::disk::reserve::Reserve;
use crate::storage::journal::segment::Segment;
use crate::storage::journal::writer::SyncedTo;
use crate::storage::shard::engine::Engine;
use callboard_actors::ports::{ReadError, ReadRequest, Slices, Submission};
use callboard_core::machine::Machine;
use callboard_core::storage::{
    ENTRY_HEADER, Filled, GROUP_HEADER, Room, RoomEffect, RoomInput, RoomMachine, SEGMENT_HEADER, aligned,
    free_in_store, reserve_bytes,
};
use callboard_core::{Lsn, Millis, Now, UnixMillis};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A sync that takes longer gets a line in the log.
const LONG_SYNC_MS: u128 = 2000;
/// What the journal took in this time it may take again: so many segments are kept to be overwritten.
const LATELY: Duration = Duration::from_secs(10);
/// A segment leaves so much: `identity` and the metadata log are small, and nothing works without them.
const LEFT_FOR_OTHERS: u64 = 1 << 20;
/// A read that redb refused because it had found no space is done again so often.
const READS_AGAIN: u32 = 5;
/// Lines about a disk that is full, at most one in this time.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// All there are: the level's numbers.
const ROOMS: [Room; 5] = [Room::Ample, Room::Low, Room::Held, Room::Full, Room::Spent];

/// Whether an error says that there is no space left (or no quota).
#[must_use]
pub fn no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether an error says that the process, or the machine, has no descriptor left.
fn no_descriptor(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    matches!(errno, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}

/// What a database's file has met.
#[derive(Default)]
pub struct Health {
    /// Set when the file system had no space for it.
    pub ran_out: Arc<AtomicBool>,
    opened: AtomicU64,
}

impl Health {
    /// Whether there was no space since this was asked last.
    pub fn ran_out(&self) -> bool {
        self.ran_out.swap(false, Ordering::AcqRel)
    }

    /// The same, without forgetting it.
    pub fn ran_out_now(&self) -> bool {
        self.ran_out.load(Ordering::Acquire)
    }

    /// How often it was opened.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Acquire)
    }

    /// Once more.
    pub fn was_opened(&self) {
        self.opened.fetch_add(1, Ordering::AcqRel);
    }
}

/// What a shard knows of its room.
pub struct Space {
    machine: Mutex<RoomMachine>,
    /// The machine's room, for whoever asks with every batch: nobody waits for a lock.
    level: AtomicU8,
    /// Where produce is refused.
    mark: u64,
    reserve: Reserve,
    began: Instant,
    /// Where a settle may stop, so that a whole segment comes free: the starts of segments behind which all is synced.
    rolled: Mutex<VecDeque<SyncedTo>>,
    /// When the journal went on to its newest segments.
    lately: Mutex<VecDeque<Instant>>,
    /// What became of the last segment, and syncs since it was full.
    filled: Mutex<Option<Filled>>,
    syncs: AtomicU64,
    /// How often there was no space.
    failures: AtomicU64,
    /// Whether the log says that it is full, and when it said so last.
    said: Mutex<(bool, Option<Instant>)>,
    long_sync: AtomicBool,
    /// When the log said last that there was no descriptor.
    starved: Mutex<Option<Instant>>,
}

impl Space {
    /// For the shard in this directory, one of so many.
    pub fn new(disk: &Arc<dyn Disk>, dir: &Path, configured: u64, shards: usize) -> Space {
        let mark = reserve_bytes(configured, disk.volume_bytes(dir).unwrap_or(0));
        let share = mark / shards.max(1) as u64;
        Space {
            machine: Mutex::new(RoomMachine::new(mark, share)),
            level: AtomicU8::new(0),
            mark,
            reserve: Reserve::new(Arc::clone(disk), dir, share),
            began: Instant::now(),
            rolled: Mutex::default(),
            lately: Mutex::default(),
            filled: Mutex::default(),
            syncs: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            said: Mutex::default(),
            long_sync: AtomicBool::new(false),
            starved: Mutex::default(),
        }
    }

    /// How often there was no space, and the bytes of the reserve now.
    pub fn counted(&self) -> (u64, u64) {
        (self.failures.load(Ordering::Relaxed), self.reserve.bytes())
    }

    /// The journal goes on in the segment that starts here; everything before it is synced, `filled` bytes of one segment.
    pub fn rolled(&self, start: SyncedTo, filled: u64) {
        self.rolled.lock().push_back(start);
        *self.filled.lock() = Some(Filled { bytes: filled, syncs: self.syncs.swap(0, Ordering::Relaxed) });
        self.lately.lock().push_back(Instant::now());
    }

    /// The journal was synced.
    pub fn synced(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    /// What became of the last segment that is full.
    pub fn filled(&self) -> Option<Filled> {
        *self.filled.lock()
    }

    /// How many segments the journal has gone on to lately.
    pub fn rolled_lately(&self) -> usize {
        let mut lately = self.lately.lock();
        while lately.front().is_some_and(|at| at.elapsed() > LATELY) {
            lately.pop_front();
        }
        lately.len()
    }

    fn now(&self) -> Now {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { mono: Millis(since), wall: UnixMillis(0) }
    }
}

/// What came of making a segment ahead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::storage) enum Ahead {
    /// One was there.
    There,
    /// One was made.
    Made,
    /// None can be had now: there is no space for one, or no descriptor.
    Missing,
}

impl Engine {
    /// How much room there is.
    #[must_use]
    pub fn room(&self) -> Room {
        ROOMS.get(usize::from(self.space.level.load(Ordering::Acquire))).copied().unwrap_or_default()
    }

    /// How long a produce request waits because room gets low.
    pub(in crate::storage) fn slow_by(&self) -> Duration {
        if self.room() != Room::Low {
            return Duration::ZERO;
        }
        let all = self.space.machine.lock().slow_by();
        // Every shard is asked, one after the other.
        Duration::from_millis(all / self.options.shards.max(1) as u64)
    }

    /// Looks at the file system.
    pub fn look_at_space(&self) {
        if let Ok(usable) = self.disk.free_bytes(&self.dir) {
            let reserve = self.space.reserve.held();
            // While there is plenty nobody counts what is free inside files.
            let near = usable < self.space.mark.saturating_mul(4);
            let reusable = if near { self.reusable() } else { 0 };
            self.space_step(RoomInput::Seen { usable, reusable, reserve });
        }
    }

    /// Age of the journal sync that is running; zero, if none is.
    pub(in crate::storage) fn sync_age(&self) -> Duration {
        self.sync_since.lock().map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Says when a sync takes long. Touches no file: it is asked by a thread that a hung disk does not hold.
    pub fn look_at_sync(&self) {
        let age = self.sync_age().as_millis();
        let long = age >= LONG_SYNC_MS;
        if long != self.space.long_sync.swap(long, Ordering::AcqRel) {
            let shard = self.shard;
            if long {
                tracing::warn!(
                    "shard {shard}: a sync has been running for {age} ms: the disk is slow or hangs"
                );
            } else {
                tracing::info!("shard {shard}: the disk answers again");
            }
        }
    }

    /// Bytes that can be used again without asking the file system.
    fn reusable(&self) -> u64 {
        let dead = self.free_in_journal();
        // Records that stay in the journal take no room in redb.
        let resident = self.db.resident_bytes();
        let records = self.db.sizes().map(|sizes| sizes.values().sum::<u64>().saturating_sub(resident));
        dead.saturating_add(records.map_or(0, |records| free_in_store(self.db.on_disk(), records)))
    }

    fn space_step(&self, input: RoomInput) -> bool {
        let mut effects = Vec::new();
        {
            let mut machine = self.space.machine.lock();
            machine.step(self.space.now(), input, &mut effects);
            if cfg!(debug_assertions) {
                machine.check();
            }
            let level = ROOMS.iter().position(|room| *room == machine.room()).unwrap_or_default();
            self.space.level.store(level as u8, Ordering::Release);
        }
        let mut released = false;
        for effect in effects {
            match effect {
                RoomEffect::Say(room, free) => self.say(room, free),
                RoomEffect::ReleaseReserve => {
                    released = self.space.reserve.release();
                    if released {
                        tracing::warn!(
                            "shard {}: the reserve is given back, so that deletes go on",
                            self.shard
                        );
                    }
                }
                RoomEffect::MakeReserve => match self.space.reserve.make() {
                    Ok(()) => tracing::debug!("shard {}: the disk's reserve is held", self.shard),
                    Err(error) => tracing::debug!("shard {}: no reserve: {error}", self.shard),
                },
            }
        }
        released
    }

    fn say(&self, room: Room, free: u64) {
        let (shard, dir) = (self.shard, self.dir.display());
        let mut said = self.space.said.lock();
        match (room.refuses(), said.0) {
            (true, false) if said.1.is_none_or(|at| at.elapsed() >= SAY_EVERY) => {
                *said = (true, Some(Instant::now()));
                tracing::error!(
                    "shard {shard}: the disk is full ({free} bytes free for {dir}): produce is refused, all else \
                     goes on; delete records or topics, shorten retention, or enlarge the disk"
                );
            }
            (false, true) => {
                said.0 = false;
                tracing::info!(
                    "shard {shard}: there is room on the disk again, {free} bytes: produce is taken"
                );
            }
            (false, false) if room == Room::Low => {
                tracing::warn!(
                    "shard {shard}: the disk gets full ({free} bytes free for {dir}): producers are slowed down"
                );
            }
            _ => {}
        }
    }

    /// Makes the next segment, with room for so many bytes, if it is not there. `spare` is held by the caller.
    pub(in crate::storage) fn make_ahead(
        &self,
        spare: &mut Option<Segment>,
        needed: u64,
    ) -> Result<Ahead, ShardFault> {
        let first = self.index.lock().end();
        if spare.as_ref().is_some_and(|s| s.first == first && s.capacity >= needed) {
            return Ok(Ahead::There);
        }
        let capacity = self.options.segment_bytes.max(needed);
        loop {
            let old = self.take_recyclable().or_else(|| self.take_dead_if_short());
            // Seen to be too little, it is not tried: zeros up to the last free byte would take it from redb.
            let enough = capacity.saturating_add(LEFT_FOR_OTHERS);
            let fits = old.is_some() || self.disk.free_bytes(&self.dir).is_ok_and(|free| free >= enough);
            let made = match fits {
                true => self.segments.make(old, self.fresh(), first, capacity, None, &[]),
                false => Err(io::ErrorKind::StorageFull.into()),
            };
            match made {
                Ok(made) => {
                    *spare = Some(made);
                    self.space_step(RoomInput::SegmentMade);
                    return Ok(Ahead::Made);
                }
                Err(error) if no_space(&error) => {
                    self.space.failures.fetch_add(1, Ordering::Relaxed);
                    // The part that was written takes room from others.
                    self.segments.clear_aside()?;
                    if !self.space_step(RoomInput::NoSegment { can_settle: self.settling_frees() }) {
                        return Ok(Ahead::Missing);
                    }
                }
                Err(error) if no_descriptor(&error) => {
                    // Like space: clients that go give some back. What is half made is made anew.
                    self.segments.clear_aside()?;
                    self.say_starved(&error);
                    return Ok(Ahead::Missing);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn say_starved(&self, error: &io::Error) {
        let mut said = self.space.starved.lock();
        if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            *said = Some(Instant::now());
            tracing::warn!(
                "shard {}: no journal segment can be made, and produce may have to wait for one: {error}; raise the \
                 limit of open files (ulimit -n), or lower max_connections",
                self.shard
            );
        }
    }

    /// Whether a segment before the one in use will come free.
    fn settling_frees(&self) -> bool {
        let index = self.index.lock();
        let before = index.segments.len().saturating_sub(1);
        index.segments.keys().take(before).any(|first| !self.pinned.contains(first))
    }

    /// Whether the journal has room for these as one group; makes a segment if it has to. No: ask again, when settling
    /// has freed one or the file system has space.
    pub fn room_for(&self, batch: &[Submission]) -> Result<bool, ShardFault> {
        self.healthy()?;
        let payload: usize = batch.iter().map(|s| s.bytes.len()).sum();
        let room = aligned((GROUP_HEADER + batch.len() * ENTRY_HEADER + payload) as u64);
        {
            let writer = self.writer.lock();
            if writer.pos.0 + room <= writer.segment.end().0 {
                return Ok(true);
            }
        }
        let made = self.make_ahead(&mut self.spare.lock(), room + SEGMENT_HEADER as u64);
        made.map(|ahead| ahead != Ahead::Missing).inspect_err(|fault| self.fail(fault))
    }

    /// Up to where to settle: everything that is synced; where room is short one segment, which comes free with it.
    pub(in crate::storage) fn settle_target(&self, x: Lsn) -> SyncedTo {
        let mut rolled = self.space.rolled.lock();
        while rolled.front().is_some_and(|end| end.lsn <= x) {
            rolled.pop_front();
        }
        match rolled.front() {
            Some(end) if self.room().short() => *end,
            _ => *self.synced.lock(),
        }
    }

    /// Whether to settle now. `due`: for other reasons than room.
    #[must_use]
    pub fn settles_now(&self, due: bool) -> bool {
        let machine = self.space.machine.lock();
        (due || machine.room().short()) && machine.may_settle(self.space.now().mono)
    }

    /// Whether redb may be written to: not within a second after it found no space.
    #[must_use]
    pub fn may_sweep(&self) -> bool {
        self.space.machine.lock().may_settle(self.space.now().mono)
    }

    /// redb found space for what it had to do.
    pub(in crate::storage) fn settle_found_room(&self) {
        self.space_step(RoomInput::Settled);
    }

    /// Reads. Once redb has found no space it refuses reads as well, until the settler has opened it again: such a read
    /// waits for that, and is done again.
    pub fn read_on(&self, request: ReadRequest) -> Result<Slices, ReadError> {
        let mut opened = self.db.health.opened();
        let mut result = self.read(request);
        for _ in 0..READS_AGAIN {
            let refused = matches!(result, Err(ReadError::Gone(_) | ReadError::Corrupt(_)));
            let reopened =
                self.db.health.opened() != opened || self.db.health.ran_out_now() || !self.db.is_open();
            if !refused || !reopened || self.fault.get().is_some() {
                break;
            }
            drop(self.settler.lock());
            opened = self.db.health.opened();
            result = self.read(request);
        }
        result
    }

    /// redb failed, for want of space if `Ok`: it is opened again, so that reads go on. Anything else is final.
    pub(in crate::storage) fn settle_later(&self, fault: ShardFault) -> Result<(), ShardFault> {
        if !self.db.health.ran_out_now() && self.db.is_open() {
            self.fail(&fault);
            return Err(fault);
        }
        self.space.failures.fetch_add(1, Ordering::Relaxed);
        tracing::debug!("shard {}: settling waits for room: {fault}", self.shard);
        self.space_step(RoomInput::SettleRanOut);
        // What opening it finds is told apart from what it is opened for. Readers see one or the other: that it ran out, or
        // that it was opened since.
        let opened = self.reopen();
        let ran_out = self.db.health.ran_out();
        if opened.is_err() && !ran_out {
            return opened.inspect_err(|fault| self.fail(fault));
        }
        Ok(())
    }
}
