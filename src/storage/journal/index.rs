//! The run index: where each replica's unsettled batches lie, and the entries that are still to be settled.
//!
//! A *run* is a replica's contiguous part of one group: one item here, however many batches. Readers find offsets by runs.
//! The settler takes the entries in order, and takes both from here once redb has them. The index stays in memory; a
//! start fills it again from the journal.

use crate::storage::journal::segment::Segment;
use callboard_actors::ports::{Persisted, ReplicaSink, ShardError};
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
    /// Durability of the last batch, as the journal is known to say after a power cut.
    pub marked: Durability,
    pub sink: Option<Arc<dyn ReplicaSink>>,
    pub announced: Persisted,
    /// Why the journal takes nothing more of this replica.
    pub failed: Option<String>,
    /// A part of its journal is rotten: only another replica can mend that.
    pub corrupt: bool,
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
            marked: Durability::Fsync,
            sink: None,
            announced: Persisted { written: seq, synced: seq },
            failed: None,
            corrupt: false,
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
        self.seq = entry.seq;
        match change {
            Change::Truncated { to } => {
                self.next = to;
                // A producer's last batch may lie lower now than it did then.
                self.forgotten = self.forgotten.filter(|_| planted(Mutant::ForgottenTooSoon));
                self.log_start = self.log_start.min(to);
                self.settled_end = self.settled_end.min(to);
                self.runs.retain(|run| run.base < to);
                if let Some(last) = self.runs.back_mut() {
                    last.next = last.next.min(to);
                }
            }
            Change::Trimmed { to } => {
                self.log_start = to;
                self.next = self.next.max(to);
                self.runs.retain(|run| run.next > to);
            }
            Change::Dropped => {
                self.dropped = true;
                self.runs.clear();
            }
            Change::Opened | Change::Appended { .. } | Change::Marked => {}
        }
        self.pending.push_back(Pending::Entry(*entry, at));
    }

    /// Notes the state in which redb has the replica now.
    pub fn set_settled(&mut self, state: ReplicaFold) {
        let truncations = self.pending.iter().filter_map(|p| match p {
            Pending::Entry(EntryHeader { entry: Entry::Truncate { to }, .. }, _) => Some(*to),
            _ => None,
        });
        self.settled_end = truncations.fold(state.outline.next, Offset::min);
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
