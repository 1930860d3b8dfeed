//! One replica, entry by entry: the fold that settling, recovery and the rebuilding of an actor share.
//!
//! The journal is the one order; a replica's state is its entries folded in that order. Entries that the state already
//! holds (their number is not above its own) are skipped, so folding again from an older position is harmless. An
//! entry that does not follow is a gap: the state stays where it is and the caller decides what that means.
//!
//! Record bytes are not here: the caller stores what `Folded` says. After a truncation the producers have to be
//! rebuilt by the caller, from the newest snapshot left and the batch heads behind it.

use super::entry::{Durability, Entry};
use super::frame::EntryHeader;
use crate::ids::{LeaderEpoch, Offset, Seq, TopicPartition};
use crate::mutant::{Mutant, planted};
use crate::partition::{Forgotten, ProducerTable, trim_epochs};
use crate::records::BatchHead;
use crate::time::UnixMillis;

/// What a replica is after some entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaFold {
    /// Whose replica.
    pub id: TopicPartition,
    /// Number of the last entry folded.
    pub seq: Seq,
    /// Log start offset.
    pub log_start: Offset,
    /// Log end offset.
    pub next: Offset,
    /// Leader epochs and the offset each starts at, ascending.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// Producers at `next`.
    pub producers: ProducerTable,
    /// From this offset on everything was written for `fsync`; `Offset::MAX` while the topic is `os`.
    pub fsync_since: Offset,
    /// Marked stray at this time.
    pub stray: Option<UnixMillis>,
    /// Gone for good.
    pub dropped: bool,
}

/// What one entry did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folded {
    /// Held already.
    Known,
    /// A batch is stored from here up to the new `next`.
    Appended,
    /// Batches at and above are gone; the producers must be rebuilt.
    Truncated {
        /// The new end.
        to: Offset,
    },
    /// Batches wholly below are gone.
    Trimmed {
        /// The new log start.
        to: Offset,
    },
    /// The replica is gone.
    Dropped,
    /// Only marks changed.
    Marked,
    /// Entries are missing before this one; nothing was changed.
    Gap {
        /// The number that was expected.
        expected: Seq,
    },
    /// It cannot follow the state; nothing was changed.
    Refused(&'static str),
}

impl ReplicaFold {
    /// A replica right after its `Open`.
    #[must_use]
    pub fn opened(id: TopicPartition, seq: Seq) -> ReplicaFold {
        ReplicaFold {
            id,
            seq,
            log_start: 0,
            next: 0,
            epochs: Vec::new(),
            producers: ProducerTable::default(),
            fsync_since: 0,
            stray: None,
            dropped: false,
        }
    }

    /// What its last batch was written for.
    #[must_use]
    pub fn durability(&self) -> Durability {
        if self.fsync_since == Offset::MAX { Durability::Os } else { Durability::Fsync }
    }

    /// Folds one entry; `head` is that of its batch, for `Append`.
    pub fn fold(&mut self, entry: &EntryHeader, head: Option<&BatchHead>) -> Folded {
        if entry.seq <= self.seq {
            return Folded::Known;
        }
        if entry.seq != self.seq.next() {
            return Folded::Gap { expected: self.seq.next() };
        }
        if self.dropped {
            return Folded::Refused("the replica was dropped before");
        }
        let folded = match entry.entry {
            Entry::Open { .. } => return Folded::Refused("the replica was opened before"),
            Entry::Append { base, epoch } => match head {
                Some(head) if base >= self.next => self.append(epoch, entry.durability, head),
                Some(_) => return Folded::Refused("a batch below the replica's next offset"),
                None => return Folded::Refused("a batch without a head"),
            },
            Entry::Truncate { to } => self.truncate(to),
            Entry::LogStart { to } => self.trim(to),
            Entry::Stray { at } => {
                self.stray = Some(at);
                Folded::Marked
            }
            Entry::Drop => {
                self.dropped = true;
                Folded::Dropped
            }
            Entry::Fence => Folded::Marked,
        };
        self.seq = entry.seq;
        folded
    }

    /// Forgets the producers that the replica has forgotten, if it holds the entry as of which it had: who writes below
    /// that entry is not forgotten.
    pub fn forget(&mut self, forgotten: Forgotten) {
        if self.seq >= forgotten.seq || planted(Mutant::ForgottenTooSoon) {
            self.producers.forget_below(forgotten.below);
        }
    }

    fn append(&mut self, epoch: LeaderEpoch, durability: Durability, head: &BatchHead) -> Folded {
        if self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            self.epochs.push((epoch, head.base_offset));
        }
        self.fsync_since = match durability {
            Durability::Os => Offset::MAX,
            Durability::Fsync if self.fsync_since == Offset::MAX => head.base_offset,
            Durability::Fsync => self.fsync_since,
        };
        self.producers.apply(head);
        self.next = head.next_offset();
        Folded::Appended
    }

    fn truncate(&mut self, to: Offset) -> Folded {
        if to >= self.next {
            return Folded::Marked;
        }
        self.next = to;
        self.log_start = self.log_start.min(to);
        self.epochs.retain(|(_, start)| *start < to);
        if !planted(Mutant::ProducersNotTruncated) {
            self.producers = ProducerTable::default();
        }
        Folded::Truncated { to }
    }

    fn trim(&mut self, to: Offset) -> Folded {
        if to <= self.log_start {
            return Folded::Marked;
        }
        self.log_start = to;
        self.next = self.next.max(to);
        trim_epochs(&mut self.epochs, to);
        Folded::Trimmed { to }
    }
}
