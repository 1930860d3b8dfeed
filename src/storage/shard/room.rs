//! Room on the disk, for one shard: looked at, waited for, given back.
//!
//! ```text
//!   maker, twice a second ─ free? ─┐
//!   no space for a segment ────────┼─> RoomMachine ─> the level that produce looks at · a line in the log
//!   no space in redb's commit ─────┘              └─> shard-N/reserve removed, and made again when there is room
//! ```
//!
//! A full disk is a state, not a fault. The journal overwrites old bytes, so only the making of a segment and redb's growth
//! meet it. While no segment can be had, groups wait in the queue; settling, sweeping, retention and deletes go on in small
//! windows, on the reserve. `callboard_core::storage::RoomMachine` decides what happens when; this file performs it. It
//! does not look at files of other programs.

use crate::storage::disk::port::Disk;
use crate::storage::disk::reserve::Reserve;
use callboard_core::machine::Machine;
use callboard_core::storage::{Room, RoomEffect, RoomInput, RoomMachine, reserve_bytes};
use callboard_core::{Millis, Now, UnixMillis};
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The log says at most once in this time that the disk is full, or that there is no descriptor.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// All levels; an index into this is a level's number.
const ROOMS: [Room; 5] = [Room::Ample, Room::Low, Room::Held, Room::Full, Room::Spent];

/// A shard's room on its file system.
pub struct Space {
    shard: u16,
    /// Shards of the data directory.
    shards: usize,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    machine: Mutex<RoomMachine>,
    /// The machine's room, for requests that ask with every batch: they wait for no lock.
    level: AtomicU8,
    /// Free bytes below which produce is refused.
    mark: u64,
    reserve: Reserve,
    began: Instant,
    /// How often there was no space.
    failures: AtomicU64,
    /// Whether the log says that the disk is full, and when it said so last.
    said: Mutex<(bool, Option<Instant>)>,
    /// When the log said last that there was no descriptor.
    starved: Mutex<Option<Instant>>,
}

impl Space {
    /// The room of a shard in this directory, one of so many. `configured`: bytes of the reserve, 0 for the default.
    #[must_use]
    pub fn new(shard: u16, shards: usize, disk: Arc<dyn Disk>, dir: &Path, configured: u64) -> Space {
        let mark = reserve_bytes(configured, disk.volume_bytes(dir).unwrap_or(0));
        let share = mark / shards.max(1) as u64;
        Space {
            shard,
            shards,
            machine: Mutex::new(RoomMachine::new(mark, share)),
            level: AtomicU8::new(0),
            mark,
            reserve: Reserve::new(Arc::clone(&disk), dir, share),
            disk,
            dir: dir.to_owned(),
            began: Instant::now(),
            failures: AtomicU64::new(0),
            said: Mutex::default(),
            starved: Mutex::default(),
        }
    }

    /// How often there was no space.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Bytes of the reserve now.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        self.reserve.bytes()
    }

    /// Bytes free on the file system.
    pub fn usable(&self) -> io::Result<u64> {
        self.disk.free_bytes(&self.dir)
    }

    /// Bytes of the file system; 0 if that is not known.
    #[must_use]
    pub fn volume(&self) -> u64 {
        self.disk.volume_bytes(&self.dir).unwrap_or(0)
    }

    /// How much room there is.
    #[must_use]
    pub fn room(&self) -> Room {
        ROOMS.get(usize::from(self.level.load(Ordering::Acquire))).copied().unwrap_or_default()
    }

    /// How long a produce request waits because room gets low.
    #[must_use]
    pub fn slow_by(&self) -> Duration {
        if self.room() != Room::Low {
            return Duration::ZERO;
        }
        let all = self.machine.lock().slow_by();
        // A request waits for every shard, one after the other.
        Duration::from_millis(all / self.shards.max(1) as u64)
    }

    /// Whether to settle now. `due`: for other reasons than room.
    #[must_use]
    pub fn settles_now(&self, due: bool) -> bool {
        let machine = self.machine.lock();
        (due || machine.room().short()) && machine.may_settle(self.now().mono)
    }

    /// Whether redb may be written to: not within a second after it found no space.
    #[must_use]
    pub fn may_settle(&self) -> bool {
        self.machine.lock().may_settle(self.now().mono)
    }

    /// Looks at the file system. `reusable` counts the bytes that are free inside the shard's files.
    pub fn look(&self, reusable: impl FnOnce() -> u64) {
        let Ok(usable) = self.usable() else { return };
        let reserve = self.reserve.held();
        // While there is plenty, free bytes inside files do not matter and are not counted.
        let near = usable < self.mark.saturating_mul(4);
        let reusable = if near { reusable() } else { 0 };
        self.step(RoomInput::Seen { usable, reusable, reserve });
    }

    /// Notes that the next segment is made.
    pub fn segment_made(&self) {
        self.step(RoomInput::SegmentMade);
    }

    /// Notes that there was no space for the next segment. Returns whether the reserve was given back for it.
    pub fn no_segment(&self, can_settle: bool) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.step(RoomInput::NoSegment { can_settle })
    }

    /// Notes that redb found space for what it had to do.
    pub fn settled(&self) {
        self.step(RoomInput::Settled);
    }

    /// Notes that redb found no space.
    pub fn ran_out(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.step(RoomInput::SettleRanOut);
    }

    /// Says, now and then, that there is no descriptor for a segment.
    pub fn say_starved(&self, error: &io::Error) {
        let mut said = self.starved.lock();
        if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            *said = Some(Instant::now());
            tracing::warn!(
                "shard {}: no journal segment can be made, and produce may have to wait for one: {error}; raise the \
                 limit of open files (ulimit -n), or lower max_connections",
                self.shard
            );
        }
    }

    fn now(&self) -> Now {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { mono: Millis(since), wall: UnixMillis(0) }
    }

    /// Steps the machine and performs its effects. Returns whether the reserve was given back.
    fn step(&self, input: RoomInput) -> bool {
        let mut effects = Vec::new();
        {
            let mut machine = self.machine.lock();
            machine.step(self.now(), input, &mut effects);
            if cfg!(debug_assertions) {
                machine.check();
            }
            let level = ROOMS.iter().position(|room| *room == machine.room()).unwrap_or_default();
            self.level.store(level as u8, Ordering::Release);
        }
        let (shard, mut released) = (self.shard, false);
        for effect in effects {
            match effect {
                RoomEffect::Say(room, free) => self.say(room, free),
                RoomEffect::ReleaseReserve => {
                    released = self.reserve.release();
                    if released {
                        tracing::warn!("shard {shard}: the reserve is given back, so that deletes go on");
                    }
                }
                RoomEffect::MakeReserve => match self.reserve.make() {
                    Ok(()) => tracing::debug!("shard {shard}: the disk's reserve is held"),
                    Err(error) => tracing::debug!("shard {shard}: no reserve: {error}"),
                },
            }
        }
        released
    }

    fn say(&self, room: Room, free: u64) {
        let (shard, dir) = (self.shard, self.dir.display());
        let mut said = self.said.lock();
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
}
