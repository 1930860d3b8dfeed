//! The run index: where each replica's unsettled batches lie, and the entries that are still to be settled.
//!
//! A *run* is a replica's contiguous part of one group: one item here, however many batches. Readers find offsets by runs.
//! The settler takes the entries in order, and takes both from here once redb has them. The index stays in memory; a
//! start fills it again from the journal.

use crate::storage::journal::segment::Segment;
use callboard_actors::ports::{Hint, Persisted, ReplicaSink, ShardError};
use callboard_core::limits;
use callboard_core::mutant::{Mutant, planted};
use callboard_core::partition::Forgotten;
use callboard_core::records::BatchHead;
use callboard_core::storage::{Change, Durability, Entry, EntryHeader, Outline, ReplicaFold};
use callboard_core::{Lsn, Offset, ReplicaId, Seq};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Contiguous batches of one replica in one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Position of the first byte.
    pub at: Lsn,
    pub length: u32,
    /// Number of the first entry; the others follow.
    pub first_seq: Seq,
    pub base: Offset,
    /// Offset behind the last batch; less, where a truncation clipped it.
    pub next: Offset,
    /// All entries of a run have the same.
    pub durability: Durability,
    /// Largest timestamp in it; a truncation that clipped it does not lower it.
    pub max_timestamp: i64,
}

impl Run {
    /// The entry that one of its batches was journaled with.
    #[must_use]
    pub fn entry(&self, replica: ReplicaId, seq: Seq, head: &BatchHead) -> EntryHeader {
        EntryHeader {
            replica,
            seq,
            entry: Entry::Append { base: head.base_offset, epoch: head.leader_epoch },
            durability: self.durability,
            length: head.size,
        }
    }
}

/// One step that the settler still has to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    Run(Run),
    /// An entry without a batch, and its position.
    Entry(EntryHeader, Lsn),
}

impl Pending {
    /// Position of the run or entry.
    #[must_use]
    pub fn at(&self) -> Lsn {
        match self {
            Pending::Run(run) => run.at,
            Pending::Entry(_, at) => *at,
        }
    }

    /// Whether its group ends at or below this end of a group. An entry without payload may stand at its group's very
    /// end; one of a later group stands behind that group's headers.
    #[must_use]
    pub fn below(&self, end: Lsn) -> bool {
        self.at() <= end
    }

    /// The offset from which on nothing is left after a truncation or a reset, and whether nothing at all is left.
    fn cut(&self) -> Option<(Offset, bool)> {
        match self {
            Pending::Entry(EntryHeader { entry: Entry::Truncate { to }, .. }, _) => Some((*to, false)),
            Pending::Entry(EntryHeader { entry: Entry::Reset { at }, .. }, _) => Some((*at, true)),
            _ => None,
        }
    }
}

/// Whether an entry may take something away from the end of the log, or all of it.
#[must_use]
pub fn may_cut(entry: &Entry) -> bool {
    matches!(entry, Entry::Truncate { .. } | Entry::LogStart { .. } | Entry::Reset { .. })
}

/// One replica, as the journal has it.
pub struct Live {
    /// All entries accepted, those of the group being written too. It decides which entry may come next.
    pub accepted: Outline,
    /// Number of the last entry written.
    pub seq: Seq,
    /// End of the log, all written entries counted.
    pub next: Offset,
    /// Start of the log, all written entries counted.
    pub log_start: Offset,
    /// For readers, ascending by offset.
    pub runs: VecDeque<Run>,
    /// For the settler, ascending by entry number.
    pub pending: VecDeque<Pending>,
    /// Readers take nothing at or above this from redb: redb ends here, or a truncation is not settled yet.
    pub settled_end: Offset,
    /// The replica as redb has it; none before its `Open` is settled.
    pub settled: Option<ReplicaFold>,
    /// Producers that the next snapshot leaves out.
    pub forgotten: Option<Forgotten>,
    /// The high watermark, as the replica tells it.
    pub hint: Arc<Hint>,
    /// Entries on their way here that may cut the log. The high watermark may speak of the log behind them.
    cuts_coming: usize,
    /// Durability of the last batch, as the journal is known to say after a power cut.
    pub marked: Durability,
    pub sink: Option<Arc<dyn ReplicaSink>>,
    pub announced: Persisted,
    /// Why the journal takes nothing more of this replica.
    pub failed: Option<String>,
    /// A part of its journal is rotten: only another replica can mend that.
    pub corrupt: bool,
    /// Its sink was told that stored bytes have rotted.
    pub rotten: bool,
    pub dropped: bool,
}

impl Live {
    /// A replica of which nothing is pending.
    #[must_use]
    pub fn new(accepted: Outline) -> Live {
        let Outline { seq, log_start, next, .. } = accepted;
        Live {
            accepted,
            seq,
            next,
            log_start,
            runs: VecDeque::new(),
            pending: VecDeque::new(),
            settled_end: next,
            settled: None,
            forgotten: None,
            hint: Arc::default(),
            cuts_coming: 0,
            marked: Durability::Fsync,
            sink: None,
            announced: Persisted { written: seq, synced: seq },
            failed: None,
            corrupt: false,
            rotten: false,
            dropped: false,
        }
    }

    /// Adds a batch that was written at `at`. It joins the last run if it continues that one.
    pub fn appended(&mut self, entry: &EntryHeader, at: Lsn, head: &BatchHead) {
        let (base, next, max_timestamp) = (head.base_offset, head.next_offset(), head.max_timestamp);
        self.seq = entry.seq;
        self.next = next;
        self.marked = entry.durability;
        if let (Some(Pending::Run(pending)), Some(run)) = (self.pending.back_mut(), self.runs.back_mut())
            && pending.at == run.at
            && run.at.0 + u64::from(run.length) == at.0
            && run.durability == entry.durability
            && run.next == base
            && (run.length + entry.length) as usize <= limits::READ_JOB_BYTES
        {
            run.length += entry.length;
            run.next = next;
            run.max_timestamp = run.max_timestamp.max(max_timestamp);
            *pending = *run;
            return;
        }
        let (length, first_seq, durability) = (entry.length, entry.seq, entry.durability);
        let run = Run { at, length, first_seq, base, next, durability, max_timestamp };
        self.runs.push_back(run);
        self.pending.push_back(Pending::Run(run));
    }

    /// Adds an entry without a batch, at this place among the payloads of its group. The entry rules said what it changes.
    pub fn changed(&mut self, entry: &EntryHeader, change: Change, at: Lsn) {
        let mut entry = *entry;
        self.seq = entry.seq;
        self.cuts_coming = self.cuts_coming.saturating_sub(usize::from(may_cut(&entry.entry)));
        match change {
            Change::Truncated { to } => {
                self.next = to;
                self.forget_forgotten();
                self.log_start = self.log_start.min(to);
                self.settled_end = self.settled_end.min(to);
                self.runs.retain(|run| run.base < to);
                if let Some(last) = self.runs.back_mut() {
                    last.next = last.next.min(to);
                }
            }
            Change::Trimmed { to } => {
                self.log_start = to;
                self.runs.retain(|run| run.next > to);
            }
            Change::Emptied { at } => {
                // Whichever entry did it, from here on it is a reset.
                entry.entry = Entry::Reset { at };
                (self.log_start, self.next) = (at, at);
                self.forget_forgotten();
                self.settled_end = self.settled_end.min(at);
                self.runs.clear();
            }
            Change::Dropped => {
                self.dropped = true;
                self.runs.clear();
            }
            Change::Opened | Change::Appended { .. } | Change::Marked => {}
        }
        self.pending.push_back(Pending::Entry(entry, at));
    }

    /// Takes back whom the replica has forgotten: a producer's last batch may lie lower now than it did then.
    fn forget_forgotten(&mut self) {
        self.forgotten = self.forgotten.filter(|_| planted(Mutant::ForgottenTooSoon));
    }

    /// Hears of an entry that may cut the log, before the replica tells the high watermark behind it.
    pub fn coming(&mut self, entry: &Entry) {
        self.cuts_coming += 1;
        if let Entry::Truncate { to } | Entry::Reset { at: to } = entry {
            self.hint.lower(*to);
        }
    }

    /// A new life of the replica's actor begins: no entry of the former one is on its way any more. If one was refused
    /// that might have cut the log, nothing is known of what the high watermark spoke of.
    pub fn begins(&mut self) {
        if std::mem::take(&mut self.cuts_coming) > 0 {
            self.hint.tell(0);
        }
    }

    /// The high watermark, as far as it speaks of the log after the first `settled` steps; none if a reset lies between.
    #[must_use]
    pub fn told(&self, settled: usize) -> Option<Offset> {
        if self.cuts_coming > 0 {
            return None;
        }
        let mut cuts = self.pending.iter().skip(settled).filter_map(Pending::cut);
        cuts.try_fold(self.hint.told(), |told, (to, all)| (!all).then(|| told.min(to)))
    }

    /// Whether nothing is pending, and redb has a lower high watermark than was told.
    #[must_use]
    pub fn only_told(&self) -> bool {
        let news = |state: &ReplicaFold| {
            let told = self.told(0).map_or(0, |told| told.min(state.outline.next));
            told > state.high_watermark
        };
        self.pending.is_empty() && self.settled.as_ref().is_some_and(news)
    }

    /// Notes the state in which redb has the replica now.
    pub fn set_settled(&mut self, state: ReplicaFold) {
        let cuts = self.pending.iter().filter_map(Pending::cut);
        self.settled_end = cuts.fold(state.outline.next, |end, (to, _)| end.min(to));
        self.settled = Some(state);
    }

    /// Takes `count` settled steps off, and the runs among them.
    pub fn take_settled(&mut self, count: usize) {
        let Some(last) = count.checked_sub(1).and_then(|i| self.pending.get(i)).map(Pending::at) else {
            return;
        };
        self.pending.drain(..count);
        while self.runs.front().is_some_and(|run| run.at <= last) {
            self.runs.pop_front();
        }
    }
}

/// All replicas of a shard, and its segments.
#[derive(Default)]
pub struct Index {
    pub replicas: BTreeMap<ReplicaId, Live>,
    /// By the position of each one's first byte.
    pub segments: BTreeMap<Lsn, Arc<Segment>>,
    /// The next replica id to mint.
    pub next_replica: u32,
}

impl Index {
    /// The segment that holds a position.
    #[must_use]
    pub fn segment(&self, at: Lsn) -> Option<Arc<Segment>> {
        let (_, segment) = self.segments.range(..=at).next_back()?;
        (at < segment.end()).then(|| Arc::clone(segment))
    }

    /// Position behind the last segment.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.segments.last_key_value().map_or(Lsn(0), |(_, segment)| segment.end())
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.capacity).sum()
    }

    /// Runs of all replicas.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.replicas.values().map(|live| live.runs.len()).sum()
    }

    /// Mints a replica whose notices go to `sink`.
    pub fn mint(&mut self, sink: Arc<dyn ReplicaSink>) -> ReplicaId {
        let replica = ReplicaId(self.next_replica);
        self.next_replica += 1;
        let live = Live { sink: Some(sink), ..Live::new(Outline::default()) };
        self.replicas.insert(replica, live);
        replica
    }

    /// Tells every replica that the shard has stopped.
    pub fn fail_all(&self, error: &ShardError) {
        for live in self.replicas.values() {
            if let Some(sink) = &live.sink {
                sink.failed(error.clone());
            }
        }
    }
}
