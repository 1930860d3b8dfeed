//! One replica, entry by entry: the fold that settling, recovery and the rebuilding of an actor share.
//!
//! The journal is the one order of a shard, so a replica's state is its entries folded in that order. `rules` judges
//! each entry. One that the state covers is skipped, so folding again from an older position is harmless. One that does
//! not follow leaves the state as it is, and the caller decides what that means.
//!
//! The fold keeps no records: the caller stores what `Folded` says. After a truncation the caller also finds the
//! producers again, from the newest snapshot that is left and the batch heads behind it.

use super::entry::{Durability, Entry};
use super::frame::EntryHeader;
use super::rules::{Change, Outline, Refusal, Ruling};
use crate::ids::{Offset, Seq, TopicPartition};
use crate::mutant::{Mutant, planted};
use crate::partition::{Forgotten, ProducerTable};
use crate::records::BatchHead;
use crate::time::UnixMillis;

/// What a replica is after some entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaFold {
    pub id: TopicPartition,
    /// As of the last entry folded.
    pub outline: Outline,
    /// The producers at the log's end.
    pub producers: ProducerTable,
    /// From this offset on everything was written for `fsync`; `Offset::MAX` while the topic is `os`.
    pub fsync_since: Offset,
    /// The high watermark that the replica told last before a settle. It names committed offsets of this log (R42).
    pub high_watermark: Offset,
    /// When the replica was marked stray. Any later entry but a `Drop` takes the mark off: the replica is in use.
    pub stray: Option<UnixMillis>,
}

/// What one entry did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folded {
    /// The state held it already.
    Known,
    /// A batch is stored behind all others.
    Appended,
    /// Batches at and above `to` are gone; the producers must be found again.
    Truncated {
        to: Offset,
    },
    /// Batches wholly below `to` are gone.
    Trimmed {
        to: Offset,
    },
    /// All batches are gone; the log goes on at `at`, without producers.
    Emptied {
        at: Offset,
    },
    Dropped,
    /// Nothing but the number and marks changed.
    Marked,
    /// Entries are missing before this one; nothing was changed.
    Gap {
        expected: Seq,
    },
    /// The entry cannot follow the state; nothing was changed.
    Refused(Refusal),
}

impl ReplicaFold {
    /// A replica right after its `Open`, which has this number.
    #[must_use]
    pub fn opened(id: TopicPartition, seq: Seq) -> ReplicaFold {
        ReplicaFold {
            id,
            outline: Outline::opened(seq),
            producers: ProducerTable::default(),
            fsync_since: 0,
            high_watermark: 0,
            stray: None,
        }
    }

    /// The replica that begins with this entry: none, if it is no `Open`.
    #[must_use]
    pub fn begun_by(entry: &EntryHeader) -> Option<ReplicaFold> {
        match entry.entry {
            Entry::Open { id } => Some(ReplicaFold::opened(id, entry.seq)),
            _ => None,
        }
    }

    /// The durability that the last batch was written with.
    #[must_use]
    pub fn durability(&self) -> Durability {
        if self.fsync_since == Offset::MAX { Durability::Os } else { Durability::Fsync }
    }

    /// Folds one entry; `head` is that of its batch, for `Append`.
    pub fn fold(&mut self, entry: &EntryHeader, head: Option<&BatchHead>) -> Folded {
        let change = match self.outline.replay(entry.seq, &entry.entry, head.map(BatchHead::next_offset)) {
            Ruling::Follows(change) => change,
            Ruling::Covered => return Folded::Known,
            Ruling::Refused(Refusal::Gap { expected }) => return Folded::Gap { expected },
            Ruling::Refused(why) => return Folded::Refused(why),
        };
        self.stray = match entry.entry {
            Entry::Stray { at } => Some(at),
            Entry::Drop => self.stray,
            _ => None,
        };
        match change {
            Change::Appended { base, .. } => {
                self.appended(base, entry.durability);
                head.into_iter().for_each(|head| self.producers.apply(head));
                Folded::Appended
            }
            Change::Truncated { to } => {
                if !planted(Mutant::ProducersNotTruncated) {
                    self.producers = ProducerTable::default();
                }
                self.high_watermark = self.high_watermark.min(to);
                Folded::Truncated { to }
            }
            Change::Trimmed { to } => Folded::Trimmed { to },
            Change::Emptied { at } => {
                if !planted(Mutant::ResetKeepsEpochs) {
                    self.producers = ProducerTable::default();
                }
                self.high_watermark = self.high_watermark.min(at);
                Folded::Emptied { at }
            }
            Change::Dropped => Folded::Dropped,
            Change::Opened | Change::Marked => Folded::Marked,
        }
    }

    /// Notes the high watermark that the replica told. The caller made sure that it speaks of this log. Offsets that the
    /// state does not hold yet are not noted.
    pub fn commit(&mut self, told: Offset) {
        self.high_watermark = self.high_watermark.max(told.min(self.outline.next));
    }

    /// The high watermark that a replica of this state begins with (R32).
    #[must_use]
    pub fn committed(&self) -> Offset {
        self.high_watermark.min(self.outline.next).max(self.outline.log_start)
    }

    /// Forgets the producers that the replica has forgotten, if the state holds the entry as of which it had. A producer
    /// that wrote below that entry is not forgotten.
    pub fn forget(&mut self, forgotten: Forgotten) {
        if self.outline.seq >= forgotten.seq || planted(Mutant::ForgottenTooSoon) {
            self.producers.forget_below(forgotten.below);
        }
    }

    fn appended(&mut self, base: Offset, durability: Durability) {
        self.fsync_since = match durability {
            Durability::Os => Offset::MAX,
            Durability::Fsync if self.fsync_since == Offset::MAX => base,
            Durability::Fsync => self.fsync_since,
        };
    }
}
