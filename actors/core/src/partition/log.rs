//! A replica's own log, as numbers: where it starts and ends, how far it is durable, who wrote to it.
//!
//! The bytes lie in the store. This is what a role needs to know of them, whichever role the replica has: a leader
//! appends here, a follower will, and both learn from the same notices how far the disk has come.
//!
//! ```text
//!   log start ── high watermark ── synced end ── written end ── end          next entry: seq + 1
//! ```
//!
//! Each entry that leaves for the journal gets the replica's next number and is remembered with the end it makes. A
//! notice names entry numbers; the log turns them into ends. An offset in a notice would be wrong after a truncation,
//! because the same offset may then stand for other bytes.
//!
//! The log does not decide what counts as committed: the role moves the high watermark. It does not truncate yet,
//! because only a follower does.

use super::epochs::trim_epochs;
use super::producers::{Judgement, ProducerTable};
use crate::ids::{LeaderEpoch, Offset, Seq};
use crate::records::BatchHead;
use crate::storage::Durability;
use crate::time::{Millis, Now};
use std::collections::VecDeque;
use std::sync::Arc;

/// What recovery, a rebuild or an opening hands to a replica.
#[derive(Clone, Debug, Default)]
pub struct LogStart {
    /// Number of the replica's last entry; all up to it are durable.
    pub seq: Seq,
    pub log_start: Offset,
    /// Log end offset; everything below it is durable.
    pub next: Offset,
    /// The high watermark that was stored last, a hint.
    pub high_watermark: Offset,
    /// Leader epochs and the offset each starts at, ascending.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// Producers at `next`.
    pub producers: ProducerTable,
}

/// An entry on its way to the disk, and the log's end after it.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    seq: Seq,
    end: Offset,
}

/// An entry whose durability an answer waits for; number 0 is durable from the beginning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Journaled {
    pub seq: Seq,
    pub durability: Durability,
}

/// Where a batch went.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    pub entry: Journaled,
    pub base: Offset,
    pub last_offset: Offset,
    /// The broker's time, under `LogAppendTime`.
    pub log_append_time: Option<i64>,
}

/// One replica's log.
#[derive(Debug)]
pub struct LocalLog {
    epochs: Arc<Vec<(LeaderEpoch, Offset)>>,
    producers: ProducerTable,
    seq: Seq,
    log_start: Offset,
    end: Offset,
    written_end: Offset,
    synced_end: Offset,
    high_watermark: Offset,
    durability: Durability,
    /// While `synced_end` is below this, an `fsync` topic that was `os` still counts what is written.
    fsync_from: Offset,
    in_flight: VecDeque<InFlight>,
    /// Last entry in the page cache, last entry on disk.
    persisted: (Seq, Seq),
    /// The entry that moved the log start last.
    log_start_entry: Journaled,
}

impl LocalLog {
    /// A log that lies in the store, every byte of it durable.
    #[must_use]
    pub fn recovered(start: LogStart, durability: Durability) -> LocalLog {
        LocalLog {
            epochs: Arc::new(start.epochs),
            producers: start.producers,
            seq: start.seq,
            log_start: start.log_start,
            end: start.next,
            written_end: start.next,
            synced_end: start.next,
            high_watermark: start.high_watermark.min(start.next).max(start.log_start),
            durability,
            fsync_from: start.log_start,
            in_flight: VecDeque::new(),
            persisted: (start.seq, start.seq),
            log_start_entry: Journaled::default(),
        }
    }

    /// An empty log whose `Open`, its first entry, is on its way to the disk.
    #[must_use]
    pub fn opening(durability: Durability) -> LocalLog {
        let mut log = LocalLog::recovered(LogStart { seq: Seq(1), ..LogStart::default() }, durability);
        log.persisted = (Seq(0), Seq(0));
        log
    }

    /// Whether the replica's `Open` is on disk: from then on it may not be created again.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.persisted.1 >= Seq(1)
    }

    /// Leader epochs and the offset each starts at, ascending.
    #[must_use]
    pub fn epochs(&self) -> &Arc<Vec<(LeaderEpoch, Offset)>> {
        &self.epochs
    }

    /// The idempotent producers of the log, at its end.
    #[must_use]
    pub fn producers(&self) -> &ProducerTable {
        &self.producers
    }

    /// Number of the last entry that left for the journal.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Log start offset: the first that can be read.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// Log end offset: the next batch goes here.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Consumers read below this; it never falls.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Judges a batch against its producer's last ones.
    #[must_use]
    pub fn judge(&self, head: &BatchHead) -> Judgement {
        self.producers.judge(head)
    }

    /// Whether a batch of so many offsets still fits below the largest offset.
    #[must_use]
    pub fn has_offsets_for(&self, head: &BatchHead) -> bool {
        self.end.checked_add(i64::from(head.last_offset_delta) + 1).is_some()
    }

    /// A leader's append: the batch gets the next offsets, this epoch and the next entry number.
    pub fn append(&mut self, now: Now, epoch: LeaderEpoch, head: BatchHead, broker_dates: bool) -> Placed {
        let base = self.end;
        let log_append_time = broker_dates.then_some(now.wall.0);
        let head = log_append_time.map_or(head, |time| head.at_log_append_time(time));
        let placed = BatchHead { base_offset: base, leader_epoch: epoch, ..head };
        if self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            Arc::make_mut(&mut self.epochs).push((epoch, base));
        }
        self.producers.apply_at(&placed, now.mono);
        self.end = placed.next_offset();
        let entry = self.numbered();
        self.in_flight.push_back(InFlight { seq: entry.seq, end: self.end });
        Placed { entry, base, last_offset: self.end - 1, log_append_time }
    }

    /// Numbers an entry that leaves for the journal and moves no end.
    pub fn numbered(&mut self) -> Journaled {
        self.seq = self.seq.next();
        Journaled { seq: self.seq, durability: self.durability }
    }

    /// Moves the log start up, never down; the entry that does it, if there is something to do.
    pub fn move_log_start(&mut self, to: Offset) -> Option<Journaled> {
        if to <= self.log_start {
            return None;
        }
        self.log_start = to;
        trim_epochs(Arc::make_mut(&mut self.epochs), to);
        let entry = self.numbered();
        self.in_flight.push_back(InFlight { seq: entry.seq, end: self.end });
        self.log_start_entry = entry;
        Some(entry)
    }

    /// The entry that moved the log start last: it may still be on its way.
    #[must_use]
    pub fn log_start_entry(&self) -> Journaled {
        self.log_start_entry
    }

    /// Entries have come so far. Neither number goes back.
    pub fn persisted(&mut self, written: Seq, synced: Seq) {
        self.persisted.0 = self.persisted.0.max(written);
        self.persisted.1 = self.persisted.1.max(synced);
        let (written, synced) = self.persisted;
        self.written_end = self.written_end.max(self.end_of(written));
        self.synced_end = self.synced_end.max(self.end_of(synced));
        while self.in_flight.front().is_some_and(|e| e.seq <= written && e.seq <= synced) {
            self.in_flight.pop_front();
        }
    }

    /// The log's end after the last entry in flight up to this number; 0 if it is none of those.
    fn end_of(&self, seq: Seq) -> Offset {
        let at = self.in_flight.partition_point(|entry| entry.seq <= seq);
        at.checked_sub(1).and_then(|at| self.in_flight.get(at)).map_or(0, |entry| entry.end)
    }

    /// Whether an entry counts as durable: synced for `fsync`, written for `os`, as it was when the entry left.
    #[must_use]
    pub fn is_durable(&self, entry: Journaled) -> bool {
        match entry.durability {
            Durability::Os => entry.seq <= self.persisted.0,
            Durability::Fsync => entry.seq <= self.persisted.1,
        }
    }

    /// The durable end of this replica: what an acknowledgement may rest on.
    #[must_use]
    pub fn durable_end(&self) -> Offset {
        match self.durability {
            Durability::Os => self.written_end,
            Durability::Fsync if self.synced_end < self.fsync_from => self.written_end.min(self.fsync_from),
            Durability::Fsync => self.synced_end,
        }
    }

    /// Raises the high watermark; whether it moved.
    pub fn commit(&mut self, to: Offset) -> bool {
        let moved = to > self.high_watermark;
        self.high_watermark = self.high_watermark.max(to);
        moved
    }

    /// The topic's durability. Behind a change to `fsync`, what was shown as committed by then counts on as it did.
    pub fn set_durability(&mut self, durability: Durability) {
        if (self.durability, durability) == (Durability::Os, Durability::Fsync) {
            self.fsync_from = self.high_watermark;
        }
        self.durability = durability;
    }

    /// A new life or a new role: the time of every producer begins now (R48).
    pub fn begin(&mut self, now: Millis) {
        self.producers.begin(now);
    }

    /// Forgets producers that have been idle for so long; the offset behind the last batch of theirs, if any were.
    pub fn expire_producers(&mut self, now: Millis, after_ms: i64) -> Option<Offset> {
        self.producers.expire(now, after_ms)
    }

    /// Its invariants.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn check(&self) {
        assert!(self.log_start <= self.high_watermark, "log start {} above hw", self.log_start);
        assert!(self.high_watermark <= self.end, "high watermark above the end");
        assert!(self.synced_end <= self.end && self.written_end <= self.end);
        self.producers.check();
        assert!(self.epochs.is_sorted_by(|a, b| a.0 < b.0), "leader epochs strictly grow");
    }
}
