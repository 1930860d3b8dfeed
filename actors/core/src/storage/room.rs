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
//! *Free* is what the file system gives and what the store can use again without it (dead segments, free pages of
//! redb, whose file hardly shrinks). It looks at nothing itself: numbers and failures come in, words and the fate of the reserve go
//! out. A mark is left a quarter higher than it was met, so that nobody flutters at it.

use crate::machine::{Effects, Machine};
use crate::time::{Millis, Now};

/// After settling found no space, it is tried again this often.
const TRY_AGAIN_MS: u64 = 1000;
/// Just above the mark where produce is refused, a request waits so long.
const SLOWEST_MS: u64 = 200;
/// What settling has not freed after this it will not free: producers wait no longer, they are refused.
const HOLD_MS: u64 = 5000;

/// How much room there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Room {
    /// Enough.
    #[default]
    Ample,
    /// Producers are slowed down.
    Low,
    /// Producers wait: the journal needs a segment, and settling will free one.
    Held,
    /// Produce is refused.
    Full,
    /// The reserve is in use: whatever appends is refused, the broker's own records too.
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

/// What happens to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoomInput {
    /// How things are.
    Seen {
        /// Bytes that the file system gives.
        usable: u64,
        /// Bytes that the store can use again without asking it.
        reusable: u64,
        /// Whether the reserve file is there.
        reserve: bool,
    },
    /// No space for the next segment. Whether settling could free one.
    NoSegment {
        /// Something is synced and not settled, or settled and not recycled yet.
        can_settle: bool,
    },
    /// The next segment is made.
    SegmentMade,
    /// redb had no space.
    SettleRanOut,
    /// A settle or a sweep went through.
    Settled,
}

/// What it wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoomEffect {
    /// Things have changed to this, with so many bytes free.
    Say(Room, u64),
    /// The reserve file is to be removed.
    ReleaseReserve,
    /// It is to be made again.
    MakeReserve,
}

/// The machine of one shard.
#[derive(Clone, Debug, Default)]
pub struct RoomMachine {
    /// Bytes of the reserve of the whole data directory: its marks.
    mark: u64,
    /// This shard's part of it.
    share: u64,
    free: u64,
    reserve: bool,
    below_mark: bool,
    below_soft: bool,
    /// No segment is made ahead, for want of space, since this time.
    no_segment: Option<Millis>,
    /// Nothing that settles would free one.
    starved: bool,
    /// Settling found no space, at this time.
    ran_out: Option<Millis>,
    said: Room,
}

impl RoomMachine {
    /// For a shard whose part of a reserve of `mark` bytes is `share`. Before it has seen anything there is room.
    #[must_use]
    pub fn new(mark: u64, share: u64) -> RoomMachine {
        RoomMachine { mark, share, free: u64::MAX, ..RoomMachine::default() }
    }

    /// How much room there is.
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

    /// How long a produce request waits before it is read: the longer the less is left above the mark.
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

/// What of redb's file is free within it. Nobody counts its pages cheaply, so it is what the file has on the disk less
/// a quarter more than the records in it, since blocks are cut to fill their pages. A guess too high is met as any other
/// lack of space is.
#[must_use]
pub fn free_in_store(on_disk: u64, records: u64) -> u64 {
    on_disk.saturating_sub(records.saturating_add(records / 4))
}
