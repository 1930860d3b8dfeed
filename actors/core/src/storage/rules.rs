//! The rules of a replica's log: which entry may come after which.
//!
//! A replica's log is a row of numbered entries. The writer asks these rules before it journals an entry, and the run
//! index and the fold ask them before they take one on. So all three have the same opinion of every log.
//!
//! ```text
//!   outline + next entry ──> judge ─┬─ Follows(change) ──> Outline::apply ──> the outline behind that entry
//!                                   ├─ Covered           its number is not above the last one: a replay
//!                                   └─ Refused(why)      a gap, a batch below the end, a lower leader epoch, …
//! ```
//!
//! The rules compare numbers, offsets and leader epochs, in constant time. They look at no record, no checksum and no
//! producer: `check_payload` and the fold do that.

use super::entry::Entry;
use crate::ids::{LeaderEpoch, Offset, Seq};
use crate::mutant::{Mutant, planted};
use crate::partition::trim_epochs;

/// The part of a replica's state that decides which entry may come next.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outline {
    /// Number of the last entry; zero before the `Open`.
    pub seq: Seq,
    pub log_start: Offset,
    /// The offset behind the last batch.
    pub next: Offset,
    /// Leader epochs and the offset each starts at, ascending in both.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    pub dropped: bool,
}

/// What the rules say of one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ruling {
    Follows(Change),
    /// The outline holds it already: its number is not above the last one.
    Covered,
    Refused(Refusal),
}

/// What an entry that follows does to the outline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    Opened,
    Appended {
        base: Offset,
        epoch: LeaderEpoch,
        /// The offset behind the batch.
        next: Offset,
    },
    /// Everything at and above `to` is gone.
    Truncated {
        to: Offset,
    },
    /// Everything below `to` is gone; `to` is not above the end.
    Trimmed {
        to: Offset,
    },
    /// Everything is gone, leader epochs and producers included. The log goes on at `at`.
    Emptied {
        at: Offset,
    },
    Dropped,
    /// Nothing but the number changes: a mark, or a cut that cuts nothing.
    Marked,
}

/// Why an entry can not come next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("entry {} was expected", expected.0)]
    Gap { expected: Seq },
    #[error("the replica is not open yet")]
    NotOpen,
    #[error("the replica was opened before")]
    OpenTwice,
    #[error("the replica was dropped before")]
    Dropped,
    #[error("its batch has no readable head")]
    NoBatch,
    #[error("its batch begins at offset {base}, below the next offset {next}")]
    Below { base: Offset, next: Offset },
    #[error("its leader epoch {epoch} is below {last}, that of the batch before")]
    Epoch { epoch: LeaderEpoch, last: LeaderEpoch },
}

/// Says whether entry number `seq` may come next. `end` is the offset behind its batch, if it has a readable one.
#[must_use]
pub fn judge(outline: &Outline, seq: Seq, entry: &Entry, end: Option<Offset>) -> Ruling {
    if seq <= outline.seq {
        return Ruling::Covered;
    }
    let expected = outline.seq.next();
    if seq != expected {
        return Ruling::Refused(Refusal::Gap { expected });
    }
    if outline.dropped {
        return Ruling::Refused(Refusal::Dropped);
    }
    let unopened = outline.seq == Seq(0);
    let change = match *entry {
        Entry::Open { .. } if unopened => Change::Opened,
        Entry::Open { .. } => return Ruling::Refused(Refusal::OpenTwice),
        _ if unopened => return Ruling::Refused(Refusal::NotOpen),
        Entry::Append { base, epoch } => match append(outline, base, epoch, end) {
            Ok(change) => change,
            Err(why) => return Ruling::Refused(why),
        },
        Entry::Truncate { to } if to < outline.next => Change::Truncated { to },
        Entry::LogStart { to } if to > outline.next => Change::Emptied { at: to },
        Entry::LogStart { to } if to > outline.log_start => Change::Trimmed { to },
        Entry::Reset { at } => Change::Emptied { at },
        Entry::Drop => Change::Dropped,
        Entry::Truncate { .. } | Entry::LogStart { .. } | Entry::Stray { .. } | Entry::Fence => {
            Change::Marked
        }
    };
    Ruling::Follows(change)
}

fn append(
    outline: &Outline,
    base: Offset,
    epoch: LeaderEpoch,
    end: Option<Offset>,
) -> Result<Change, Refusal> {
    let next = end.ok_or(Refusal::NoBatch)?;
    if base < outline.next {
        return Err(Refusal::Below { base, next: outline.next });
    }
    match outline.epoch() {
        Some(last) if epoch < last => Err(Refusal::Epoch { epoch, last }),
        _ => Ok(Change::Appended { base, epoch, next }),
    }
}

impl Outline {
    /// The outline of a replica right after its `Open`, which has this number.
    #[must_use]
    pub fn opened(seq: Seq) -> Outline {
        Outline { seq, ..Outline::default() }
    }

    /// The leader epoch of the last batch that is left.
    #[must_use]
    pub fn epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.last().map(|(epoch, _)| *epoch)
    }

    /// Judges an entry and, if it follows, takes it on.
    pub fn follow(&mut self, seq: Seq, entry: &Entry, end: Option<Offset>) -> Ruling {
        let ruling = judge(self, seq, entry, end);
        if let Ruling::Follows(change) = ruling {
            self.apply(seq, change);
        }
        ruling
    }

    /// The same for an entry that a journal holds already, where a lower leader epoch is taken. Older builds wrote one
    /// after their metadata were restored from a backup, and its records are sound.
    pub fn replay(&mut self, seq: Seq, entry: &Entry, end: Option<Offset>) -> Ruling {
        let ruling = match (judge(self, seq, entry, end), *entry, end) {
            (Ruling::Refused(Refusal::Epoch { .. }), Entry::Append { base, epoch }, Some(next)) => {
                Ruling::Follows(Change::Appended { base, epoch, next })
            }
            (ruling, _, _) => ruling,
        };
        if let Ruling::Follows(change) = ruling {
            self.apply(seq, change);
        }
        ruling
    }

    /// Takes on an entry that was judged to follow.
    pub fn apply(&mut self, seq: Seq, change: Change) {
        self.seq = seq;
        match change {
            Change::Appended { base, epoch, next } => {
                if self.epoch().is_none_or(|last| last < epoch) {
                    self.epochs.push((epoch, base));
                }
                self.next = next;
            }
            Change::Truncated { to } => {
                self.next = to;
                self.log_start = self.log_start.min(to);
                self.epochs.retain(|(_, start)| *start < to);
            }
            Change::Trimmed { to } => {
                self.log_start = to;
                trim_epochs(&mut self.epochs, to);
            }
            Change::Emptied { at } => {
                (self.log_start, self.next) = (at, at);
                if !planted(Mutant::ResetKeepsEpochs) {
                    self.epochs.clear();
                }
            }
            Change::Dropped => self.dropped = true,
            Change::Opened | Change::Marked => {}
        }
    }
}
