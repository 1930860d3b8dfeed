//! A replica's own log, as numbers: its start, its end, how far it is durable, and which producers wrote to it.
//!
//! The bytes lie in the store, and a role needs only these numbers. A leader appends here, and so does a follower. Both
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
//! Only a follower truncates. The truncation lowers the ends of all entries in flight, so that a late notice counts no
//! byte that was written later at the same offset (R33). The producers of the bytes that are gone are known only after
//! the store has read the log again.
//!
//! The log does not decide which records are committed: the role moves the high watermark.

use super::epochs::trim_epochs;
use super::producers::{Judgement, ProducerTable};
use crate::ids::{LeaderEpoch, Offset, Seq};
use crate::mutant::{Mutant, planted};
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
    /// The log start as of its last durable move.
    durable_log_start: Offset,
    /// Grows with each truncation and each life, so that a read can tell that one overtook it.
    log_id: u64,
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
            durable_log_start: start.log_start,
            log_id: 0,
        }
    }

    /// Takes over the state that the store read after a truncation. The high watermark stays, because the truncation
    /// has lowered it already.
    pub fn reread(&mut self, start: LogStart) {
        let (durability, fsync_from, log_id) = (self.durability, self.fsync_from, self.log_id);
        let high_watermark = self.high_watermark.min(start.next);
        let former = std::mem::replace(self, LocalLog::recovered(start, durability));
        (self.fsync_from, self.log_id) = (fsync_from, log_id);
        self.high_watermark = high_watermark.max(self.log_start);
        if planted(Mutant::TruncationKeepsEnds) {
            (self.written_end, self.synced_end) = (former.written_end, former.synced_end);
        }
        if planted(Mutant::OldPersistedCounts) {
            (self.in_flight, self.persisted) = (former.in_flight, former.persisted);
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

    /// The offset below which consumers read. Only a truncation lowers it.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Whether the log holds no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.log_start == self.end
    }

    /// The leader epoch of the last record; none in an empty log.
    #[must_use]
    pub fn last_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.last().map(|(epoch, _)| *epoch)
    }

    /// The end of what is in the page cache.
    #[must_use]
    pub fn written_end(&self) -> Offset {
        self.written_end
    }

    /// The end of what is on disk.
    #[must_use]
    pub fn synced_end(&self) -> Offset {
        self.synced_end
    }

    /// The log start that no crash takes back.
    #[must_use]
    pub fn durable_log_start(&self) -> Offset {
        self.durable_log_start
    }

    /// Tells this life of the log from former ones, whose truncations a read may have missed.
    pub fn begin_life(&mut self, first_id: u64) {
        self.log_id = first_id;
    }

    /// The number that each truncation raises.
    #[must_use]
    pub fn log_id(&self) -> u64 {
        self.log_id
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
        let entry = self.take_on(now, &placed);
        Placed { entry, base, last_offset: self.end - 1, log_append_time }
    }

    /// Appends a batch as the leader sent it. None if the batch cannot follow: it begins below the end, or its epoch is
    /// lower than the last one.
    pub fn append_replicated(&mut self, now: Now, head: &BatchHead) -> Option<Journaled> {
        let follows = head.base_offset >= self.end
            && head.leader_epoch >= self.last_epoch().unwrap_or(0)
            && head.base_offset.checked_add(i64::from(head.last_offset_delta) + 1).is_some();
        follows.then(|| self.take_on(now, head))
    }

    fn take_on(&mut self, now: Now, head: &BatchHead) -> Journaled {
        if self.last_epoch().is_none_or(|last| last < head.leader_epoch) {
            Arc::make_mut(&mut self.epochs).push((head.leader_epoch, head.base_offset));
        }
        self.producers.apply_at(head, producers_clock(now));
        self.end = head.next_offset();
        self.moved()
    }

    /// Numbers an entry that leaves the log at its present end.
    fn moved(&mut self) -> Journaled {
        let entry = self.numbered();
        self.in_flight.push_back(InFlight { seq: entry.seq, end: self.end });
        entry
    }

    /// Cuts off everything at and above `to`. The producers are wrong from here on, until [`LocalLog::reread`].
    pub fn truncate(&mut self, to: Offset) -> Journaled {
        self.end = to;
        self.log_start = self.log_start.min(to);
        self.durable_log_start = self.durable_log_start.min(to);
        self.high_watermark = self.high_watermark.min(to);
        self.fsync_from = self.fsync_from.min(to);
        Arc::make_mut(&mut self.epochs).retain(|(_, start)| *start < to);
        if !planted(Mutant::TruncationKeepsEnds) {
            self.written_end = self.written_end.min(to);
            self.synced_end = self.synced_end.min(to);
        }
        if !planted(Mutant::OldPersistedCounts) {
            self.in_flight.iter_mut().for_each(|entry| entry.end = entry.end.min(to));
        }
        self.log_id += 1;
        self.moved()
    }

    /// Empties the log, epochs and producers included. It goes on at `at`, which is not below the end of what it held
    /// (R39). Nothing counts as durable before the entry is.
    pub fn reset(&mut self, at: Offset) -> Journaled {
        (self.log_start, self.end) = (at, at);
        self.durable_log_start = self.durable_log_start.min(at);
        self.high_watermark = at;
        (self.written_end, self.synced_end) = (0, 0);
        self.in_flight.iter_mut().for_each(|entry| entry.end = 0);
        if !planted(Mutant::ResetKeepsEpochs) {
            self.epochs = Arc::default();
            self.producers = ProducerTable::default();
        }
        self.log_id += 1;
        self.log_starts()
    }

    /// Numbers an entry that moves the log start.
    fn log_starts(&mut self) -> Journaled {
        let entry = self.moved();
        self.log_start_entry = entry;
        entry
    }

    /// Gives the next number to an entry that leaves for the journal and moves no end.
    pub fn numbered(&mut self) -> Journaled {
        self.seq = self.seq.next();
        Journaled { seq: self.seq, durability: self.durability }
    }

    /// Moves the log start up, never down. Gives the entry that does it, or none if the log start is there already.
    /// Above the end it empties the log, as the store does with that entry (R39).
    pub fn move_log_start(&mut self, to: Offset) -> Option<Journaled> {
        if to <= self.log_start {
            return None;
        }
        if to > self.end {
            return Some(self.reset(to));
        }
        self.log_start = to;
        trim_epochs(Arc::make_mut(&mut self.epochs), to);
        Some(self.log_starts())
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
        if self.is_durable(self.log_start_entry) {
            self.durable_log_start = self.log_start;
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
        self.counted_end(self.written_end, self.synced_end)
    }

    /// The end that counts for a replica whose log is written and synced up to these ends. The leader's own durability
    /// decides, for itself and for its followers (R2).
    #[must_use]
    pub fn counted_end(&self, written: Offset, synced: Offset) -> Offset {
        match self.durability {
            Durability::Os => written,
            Durability::Fsync if synced < self.fsync_from => written.min(self.fsync_from).max(synced),
            Durability::Fsync => synced,
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
    pub fn begin(&mut self, now: Now) {
        self.producers.begin(producers_clock(now));
    }

    /// Forgets the producers that were idle for `after_ms`. Gives the offset behind their last batches, if any was
    /// forgotten.
    pub fn expire_producers(&mut self, now: Now, after_ms: i64) -> Option<Offset> {
        self.producers.expire(producers_clock(now), after_ms)
    }

    /// Checks the order of the ends and the invariants of the producers.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn check(&self) {
        assert!(self.log_start <= self.high_watermark, "log start {} above hw", self.log_start);
        assert!(self.high_watermark <= self.end, "high watermark above the end");
        let kept = planted(Mutant::TruncationKeepsEnds) || planted(Mutant::OldPersistedCounts);
        assert!(kept || (self.synced_end <= self.end && self.written_end <= self.end));
        self.producers.check();
        assert!(self.epochs.is_sorted_by(|a, b| a.0 < b.0), "leader epochs strictly grow");
    }
}

/// The clock by which producers are forgotten.
fn producers_clock(now: Now) -> Millis {
    if planted(Mutant::ProducersByWallClock) {
        return Millis(u64::try_from(now.wall.0).unwrap_or(0));
    }
    now.mono
}
