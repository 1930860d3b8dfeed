//! A replica's own log, as numbers: its start, its end, how far it is durable, and which producers wrote to it.
//!
//! The bytes lie in the store, and a role needs only these numbers. A leader appends here, and a follower will. Both
//! learn from the same notices how far the disk has come.
//!
//! ```text
//!   log start ── high watermark ── synced end ── written end ── end          next entry: seq + 1
//! ```
//!
//! Each entry that leaves for the journal gets the replica's next number and is remembered with the end that it
//! makes. A notice names entry numbers, and the log turns them into ends. An offset in a notice would be wrong after
//! a truncation, because the same offset may then stand for other bytes.
//!
//! The log does not decide which records are committed: the role moves the high watermark. It does not truncate yet,
//! because only a follower does.

use super::epochs::trim_epochs;
use super::producers::{Judgement, ProducerTable};
use crate::ids::{LeaderEpoch, Offset, Seq};
use crate::records::BatchHead;
use crate::storage::Durability;
use crate::time::{Millis, Now};
use std::collections::VecDeque;
use std::sync::Arc;

/// A log as recovery or a rebuild found it in the store.
#[derive(Clone, Debug, Default)]
pub struct LogStart {
    /// Number of the replica's last entry; all entries up to it are durable.
    pub seq: Seq,
    pub log_start: Offset,
    /// Log end offset; everything below it is durable.
    pub next: Offset,
    /// The high watermark that was stored last. It is a hint and may be too low.
    pub high_watermark: Offset,
    /// Leader epochs and the offset each starts at, ascending.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// The producers that the log knows at `next`.
    pub producers: ProducerTable,
}

/// An entry on its way to the disk, and the log's end after it.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    seq: Seq,
    end: Offset,
}

/// A numbered entry, whose durability an answer may wait for. Number 0 is durable from the beginning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Journaled {
    pub seq: Seq,
    pub durability: Durability,
}

/// The place that the log gave to a batch.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    pub entry: Journaled,
    pub base: Offset,
    pub last_offset: Offset,
    /// Unix milliseconds of the broker, under `LogAppendTime`.
    pub log_append_time: Option<i64>,
}

/// One replica's log: its ends, its epochs and its producers.
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
    /// While `synced_end` is below this, written records count as durable, because the `fsync` topic was an `os`
    /// topic before.
    fsync_from: Offset,
    in_flight: VecDeque<InFlight>,
    /// The last entry in the page cache, and the last entry on disk.
    persisted: (Seq, Seq),
    /// The entry that moved the log start last; number 0 if none did.
    log_start_entry: Journaled,
}

impl LocalLog {
    /// A log that lies in the store, with every byte durable.
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

    /// An empty log whose first entry, `Open`, is on its way to the disk.
    #[must_use]
    pub fn opening(durability: Durability) -> LocalLog {
        let mut log = LocalLog::recovered(LogStart { seq: Seq(1), ..LogStart::default() }, durability);
        log.persisted = (Seq(0), Seq(0));
        log
    }

    /// Whether the replica's `Open` is on disk. From then on the replica may not be created again.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.persisted.1 >= Seq(1)
    }

    /// Leader epochs and the offset each starts at, ascending.
    #[must_use]
    pub fn epochs(&self) -> &Arc<Vec<(LeaderEpoch, Offset)>> {
        &self.epochs
    }

    /// The idempotent producers that the log knows at its end.
    #[must_use]
    pub fn producers(&self) -> &ProducerTable {
        &self.producers
    }

    /// Number of the last entry that left for the journal.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Log start offset: the first offset that can be read.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// Log end offset: the next batch gets it.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.end
    }

    /// The offset below which consumers read; it never falls.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Judges a batch against the last batches of its producer.
    #[must_use]
    pub fn judge(&self, head: &BatchHead) -> Judgement {
        self.producers.judge(head)
    }

    /// Whether the batch's records still fit below the largest offset.
    #[must_use]
    pub fn has_offsets_for(&self, head: &BatchHead) -> bool {
        self.end.checked_add(i64::from(head.last_offset_delta) + 1).is_some()
    }

    /// Appends a batch as the leader: it gets the next offsets, the leader's epoch and the next entry number.
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

    /// Gives the next number to an entry that leaves for the journal and moves no end.
    pub fn numbered(&mut self) -> Journaled {
        self.seq = self.seq.next();
        Journaled { seq: self.seq, durability: self.durability }
    }

    /// Moves the log start up, never down. Gives the entry that does it, or none if the log start is there already.
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

    /// The entry that moved the log start last; it may still be on its way to the disk.
    #[must_use]
    pub fn log_start_entry(&self) -> Journaled {
        self.log_start_entry
    }

    /// Takes a notice: entries up to these numbers are in the page cache and on disk. Neither number goes back.
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

    /// The log's end after the last entry in flight up to this number; 0 if no such entry is in flight.
    fn end_of(&self, seq: Seq) -> Offset {
        let at = self.in_flight.partition_point(|entry| entry.seq <= seq);
        at.checked_sub(1).and_then(|at| self.in_flight.get(at)).map_or(0, |entry| entry.end)
    }

    /// Whether an entry counts as durable: synced for `fsync`, written for `os`. The setting at the time it left
    /// counts.
    #[must_use]
    pub fn is_durable(&self, entry: Journaled) -> bool {
        match entry.durability {
            Durability::Os => entry.seq <= self.persisted.0,
            Durability::Fsync => entry.seq <= self.persisted.1,
        }
    }

    /// The end of the durable records. An acknowledgement may rest on it.
    #[must_use]
    pub fn durable_end(&self) -> Offset {
        match self.durability {
            Durability::Os => self.written_end,
            Durability::Fsync if self.synced_end < self.fsync_from => self.written_end.min(self.fsync_from),
            Durability::Fsync => self.synced_end,
        }
    }

    /// Raises the high watermark, and says whether it moved.
    pub fn commit(&mut self, to: Offset) -> bool {
        let moved = to > self.high_watermark;
        self.high_watermark = self.high_watermark.max(to);
        moved
    }

    /// Sets the topic's durability. After a change to `fsync`, records that were committed as written stay committed.
    pub fn set_durability(&mut self, durability: Durability) {
        if (self.durability, durability) == (Durability::Os, Durability::Fsync) {
            self.fsync_from = self.high_watermark;
        }
        self.durability = durability;
    }

    /// Counts every producer as seen now: a new life or a new role of the replica begins (R48).
    pub fn begin(&mut self, now: Millis) {
        self.producers.begin(now);
    }

    /// Forgets the producers that were idle for `after_ms`. Gives the offset behind their last batches, if any was
    /// forgotten.
    pub fn expire_producers(&mut self, now: Millis, after_ms: i64) -> Option<Offset> {
        self.producers.expire(now, after_ms)
    }

    /// Checks the order of the ends and the invariants of the producers.
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
