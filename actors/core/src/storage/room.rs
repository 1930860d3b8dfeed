//! Room on the disk: when producers are slowed down, held or refused, and when the reserve goes and comes back.
//!
//! ```text
//!   free    ── 2 × reserve ──────── reserve ──────────────────── 0
//!   Ample           │      Low: slower  │     Full: produce refused; fetch, deletes, retention, metadata go on
//!                                                       └ no space for redb or the journal: the reserve file goes, so
//!                                                         that what deletes can go on   (Spent: until it is there again)
//!   Held: no segment is made ahead and settling will free one: producers wait
//! ```
//!
//! *Free* counts what the file system gives and what the store can use again without it. The latter are dead segments and
//! free pages of redb, whose file hardly shrinks. A mark is left a quarter higher than it was met, so that the level does
//! not flutter. The machine looks at nothing itself: numbers and failures come in, words and the reserve's fate go out.

use crate::machine::{Effects, Machine};
use crate::time::{Millis, Now};

/// Settling that found no space is tried again after so many milliseconds.
const TRY_AGAIN_MS: u64 = 1000;
/// A request waits so many milliseconds just above the mark where produce is refused.
const SLOWEST_MS: u64 = 200;
/// Producers that wait for settling are refused after so many milliseconds, because it will not free anything any more.
const HOLD_MS: u64 = 5000;

/// The level of room on a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Room {
    #[default]
    Ample,
    /// Producers are slowed down.
    Low,
    /// Producers wait: the journal needs a segment, and settling will free one.
    Held,
    /// Clients' produce is refused.
    Full,
    /// The reserve is in use: every append is refused, the broker's own records too.
    Spent,
}

impl Room {
    /// Whether clients' batches are refused.
    #[must_use]
    pub fn refuses(self) -> bool {
        matches!(self, Room::Full | Room::Spent)
    }

    /// Whether to free space before anything else.
    #[must_use]
    pub fn short(self) -> bool {
        matches!(self, Room::Held | Room::Full | Room::Spent)
    }
}

/// What the machine hears of the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoomInput {
    /// A look at the file system.
    Seen {
        /// Bytes that the file system gives.
        usable: u64,
        /// Bytes that the store can use again without asking the file system.
        reusable: u64,
        /// Whether the reserve file is there.
        reserve: bool,
    },
    /// There was no space for the next segment.
    NoSegment {
        /// Whether settling can free a segment.
        can_settle: bool,
    },
    /// The next segment is made.
    SegmentMade,
    /// redb had no space.
    SettleRanOut,
    /// A settle or a sweep went through.
    Settled,
}

/// What the machine wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoomEffect {
    /// The level has changed to this, with so many bytes free.
    Say(Room, u64),
    /// The reserve file is to be removed.
    ReleaseReserve,
    /// The reserve file is to be made again.
    MakeReserve,
}

/// The room of one shard, as a machine.
#[derive(Clone, Debug, Default)]
pub struct RoomMachine {
    /// Bytes of the reserve of the whole data directory; the marks are multiples of it.
    mark: u64,
    /// This shard's part of `mark`.
    share: u64,
    free: u64,
    reserve: bool,
    below_mark: bool,
    below_soft: bool,
    /// Since when no segment is made ahead for want of space.
    no_segment: Option<Millis>,
    /// Settling would not free a segment.
    starved: bool,
    /// When settling found no space.
    ran_out: Option<Millis>,
    said: Room,
}

impl RoomMachine {
    /// The machine of a shard whose part of a reserve of `mark` bytes is `share`. At first there is room.
    #[must_use]
    pub fn new(mark: u64, share: u64) -> RoomMachine {
        RoomMachine { mark, share, free: u64::MAX, ..RoomMachine::default() }
    }

    /// The level as of the last input.
    #[must_use]
    pub fn room(&self) -> Room {
        let stuck = self.starved || self.ran_out.is_some();
        if stuck && !self.reserve {
            Room::Spent
        } else if stuck || self.below_mark {
            Room::Full
        } else if self.no_segment.is_some() {
            Room::Held
        } else if self.below_soft {
            Room::Low
        } else {
            Room::Ample
        }
    }

    /// Bytes free as last seen.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.free
    }

    /// Milliseconds that a produce request waits before it is read: the more, the less is left above the mark.
    #[must_use]
    pub fn slow_by(&self) -> u64 {
        let above = self.free.saturating_sub(self.mark).min(self.mark);
        match self.room() {
            Room::Low if self.mark > 0 => (self.mark - above).saturating_mul(SLOWEST_MS) / self.mark,
            _ => 0,
        }
    }

    /// Whether a settle may be tried: after one that found no space, not before a second has passed.
    #[must_use]
    pub fn may_settle(&self, now: Millis) -> bool {
        self.ran_out.is_none_or(|at| now >= at.plus(TRY_AGAIN_MS))
    }

    fn seen(&mut self, usable: u64, reusable: u64, reserve: bool, out: &mut Effects<RoomEffect>) {
        self.reserve = reserve;
        self.free = usable.saturating_add(reusable);
        let below = |mark: u64, was: bool| self.free < if was { mark.saturating_add(mark / 4) } else { mark };
        (self.below_mark, self.below_soft) =
            (below(self.mark, self.below_mark), below(self.mark.saturating_mul(2), self.below_soft));
        let enough = self.share.saturating_add(self.mark).saturating_add(self.mark / 4);
        if !reserve && self.share > 0 && usable >= enough {
            out.push(RoomEffect::MakeReserve);
        }
    }

    fn release(&mut self, out: &mut Effects<RoomEffect>) {
        if self.reserve {
            self.reserve = false;
            out.push(RoomEffect::ReleaseReserve);
        }
    }
}

impl Machine for RoomMachine {
    type Input = RoomInput;
    type Effect = RoomEffect;

    fn step(&mut self, now: Now, input: RoomInput, out: &mut Effects<RoomEffect>) {
        match input {
            RoomInput::Seen { usable, reusable, reserve } => self.seen(usable, reusable, reserve, out),
            RoomInput::NoSegment { can_settle } => {
                let since = *self.no_segment.get_or_insert(now.mono);
                let waited = now.mono >= since.plus(HOLD_MS);
                self.starved = !can_settle || waited || self.ran_out.is_some();
                if self.starved {
                    self.release(out);
                }
            }
            RoomInput::SegmentMade => (self.no_segment, self.starved) = (None, false),
            RoomInput::SettleRanOut => {
                self.ran_out = Some(now.mono);
                self.release(out);
            }
            RoomInput::Settled => self.ran_out = None,
        }
        let room = self.room();
        if room != self.said {
            self.said = room;
            out.push(RoomEffect::Say(room, self.free));
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        None
    }

    fn check(&self) {
        assert!(!self.starved || self.no_segment.is_some(), "starved of a segment that is there");
        assert!(self.said == self.room(), "the last word is not how things are");
    }
}

/// The reserve of a data directory: as configured, or the smaller of 1 GiB and a twentieth of the file system.
#[must_use]
pub fn reserve_bytes(configured: u64, volume: u64) -> u64 {
    if configured > 0 { configured } else { (volume / 20).min(1 << 30) }
}

/// Bytes that are free inside redb's file. Counting its pages would be dear, so this guesses: the file on the disk less
/// five quarters of the records in it. A guess that is too high is met like any other lack of space.
#[must_use]
pub fn free_in_store(on_disk: u64, records: u64) -> u64 {
    on_disk.saturating_sub(records.saturating_add(records / 4))
}
