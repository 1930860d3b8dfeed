//! The disk of one node: a shard's journal as one order of entries, with a written and a synced mark.
//!
//! ```text
//!   entry · entry · entry ┆ entry · entry ┆ entry · entry
//!                         └ synced        └ written        behind it: in the queue of the writer, lost with the process
//! ```
//!
//! A kill keeps what is written. A power cut keeps what is synced, and any prefix of what is written behind it. A
//! replica's content is the fold of its entries (`core/storage/fold.rs`), the one meaning that journals have. The content of
//! batches stands beside it, as values.
//!
//! The writer is the real one's in small: one group in flight, a sync if any of its entries needs one, and one notice a
//! replica. Frames, segments, redb and rot are out: the crash backend cuts those at every write.

use callboard_core::mutant::{Mutant, planted};
use callboard_core::partition::{LogStart, ProducerTable};
use callboard_core::storage::{
    Change, Durability, Entry, EntryHeader, Folded, Outline, ReplicaFold, Ruling, needs_sync,
};
use callboard_core::{Offset, ReplicaId, Seq, TopicPartition};

use crate::sim::batch::{Batch, above};
use crate::sim::rng::Rng;

#[derive(Clone, Copy, Debug)]
struct Record {
    header: EntryHeader,
    batch: Option<Batch>,
}

/// A word of the journal to one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    pub replica: ReplicaId,
    pub written: Seq,
    pub synced: Seq,
}

/// One replica on the disk, up to its last accepted entry.
#[derive(Clone, Debug)]
pub struct Live {
    pub id: TopicPartition,
    accepted: Outline,
    /// Batches that are not truncated. Trimmed ones stay, because producers are found again from them.
    content: Vec<Batch>,
    /// Where the content began, and the entry that made it so.
    floor: (Offset, Seq),
    /// The end of the log that this entry emptied, and its last entry. It is what there is until the entry is durable.
    former: (Offset, Seq),
    marked: Durability,
    written: Seq,
    synced: Seq,
    announced: Notice,
    /// The high watermark that was settled last, and the place in the journal up to which it knows.
    hint: Option<(usize, Offset)>,
    dropped: bool,
    pub stray: bool,
}

/// A replica as recovery finds it.
#[derive(Debug)]
pub struct Recovered {
    pub replica: ReplicaId,
    pub fold: ReplicaFold,
    /// The end of what was synced before the process ended.
    pub synced_end: Offset,
}

/// One node's disk: one order of entries, with written and synced marks.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    records: Vec<Record>,
    written: usize,
    synced: usize,
    /// End of the group that is being written.
    writing: Option<usize>,
    /// By the number of the replica, less one.
    lives: Vec<Live>,
    unsynced: Vec<ReplicaId>,
}

impl Live {
    fn opened(id: TopicPartition, replica: ReplicaId) -> Live {
        Live {
            id,
            accepted: Outline::default(),
            content: Vec::new(),
            floor: (0, Seq(0)),
            former: (0, Seq(0)),
            marked: Durability::Fsync,
            written: Seq(0),
            synced: Seq(0),
            announced: Notice { replica, written: Seq(0), synced: Seq(0) },
            hint: None,
            dropped: false,
            stray: false,
        }
    }

    /// The log, oldest batch first.
    #[must_use]
    pub fn content(&self) -> &[Batch] {
        &self.content
    }

    /// The end of the log, with all that waits for the writer.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.accepted.next
    }

    /// The first offset that the disk would give out.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.accepted.log_start
    }

    /// The end of the batches that a kill would leave.
    #[must_use]
    pub fn written_end(&self) -> Offset {
        self.end_at(self.written)
    }

    /// The end of the batches that a power cut would leave.
    #[must_use]
    pub fn synced_end(&self) -> Offset {
        self.end_at(self.synced)
    }

    fn end_at(&self, seq: Seq) -> Offset {
        match self.content.partition_point(|batch| batch.seq <= seq).checked_sub(1) {
            Some(at) => self.content[at].next(),
            None if self.floor.1 <= seq => self.floor.0,
            None if self.former.1 <= seq => self.former.0,
            None => 0,
        }
    }

    /// Whether the journal has written the entry.
    #[must_use]
    pub fn is_written(&self, seq: Seq) -> bool {
        seq <= self.written
    }

    /// Whether every entry is on disk.
    #[must_use]
    pub fn is_all_synced(&self) -> bool {
        self.accepted.seq <= self.synced
    }

    /// The number of the last entry.
    #[must_use]
    pub fn last_seq(&self) -> Seq {
        self.accepted.seq
    }

    /// Leader epochs and the offset each starts at.
    #[must_use]
    pub fn epochs(&self) -> &[(i32, Offset)] {
        &self.accepted.epochs
    }

    /// The entry is in the journal, which says the durability of its batch.
    fn mark(&mut self, header: &EntryHeader) {
        if let Entry::Append { .. } = header.entry {
            self.marked = header.durability;
        }
    }

    fn take(&mut self, change: Change, before: Offset, record: &Record) {
        let seq = record.header.seq;
        match (change, record.batch) {
            (Change::Appended { .. }, Some(batch)) => {
                self.content.push(Batch { seq, ..batch });
            }
            (Change::Truncated { to }, _) => {
                self.content.truncate(self.content.partition_point(|batch| batch.base() < to));
                if to < self.floor.0 {
                    self.floor = (to, seq);
                }
            }
            (Change::Emptied { at }, _) => {
                self.former = (before, self.content.last().map_or(self.floor.1, |batch| batch.seq));
                self.content.clear();
                self.floor = (at, seq);
            }
            (Change::Dropped, _) => self.dropped = true,
            _ => {}
        }
        if let Entry::Stray { .. } = record.header.entry {
            self.stray = true;
        }
    }
}

impl Disk {
    /// Opens a replica: it gets a number that was never given, and its first entry waits for the writer.
    pub fn open(&mut self, id: TopicPartition, durability: Durability) -> Result<ReplicaId, String> {
        let replica = ReplicaId(self.lives.len() as u32 + 1);
        self.lives.push(Live::opened(id, replica));
        let entry = Entry::Open { id };
        self.submit(EntryHeader { replica, seq: Seq(1), entry, durability, length: 0 }, None)?;
        Ok(replica)
    }

    /// A replica that is neither unknown nor dropped.
    #[must_use]
    pub fn live(&self, replica: ReplicaId) -> Option<&Live> {
        self.lives.get((replica.0 as usize).checked_sub(1)?).filter(|live| !live.dropped)
    }

    /// All replicas that are not dropped.
    pub fn replicas(&self) -> impl Iterator<Item = (ReplicaId, &Live)> {
        let all = (1u32..).map(ReplicaId).zip(&self.lives);
        all.filter(|(_, live)| !live.dropped)
    }

    /// Puts an entry into the writer's queue. The error says why it does not follow the replica's last one.
    pub fn submit(&mut self, header: EntryHeader, batch: Option<Batch>) -> Result<(), String> {
        let Some(live) = self.lives.get_mut(header.replica.0 as usize - 1) else {
            return Err(format!("replica {} is unknown", header.replica.0));
        };
        let record = Record { header, batch };
        let before = live.accepted.next;
        let head = batch.map(|batch| batch.head);
        match live.accepted.follow(header.seq, &header.entry, head.map(|head| head.next_offset())) {
            Ruling::Follows(change) => live.take(change, before, &record),
            ruling => return Err(format!("{:?} {:?} at {before}: {ruling:?}", header.seq, header.entry)),
        }
        self.records.push(record);
        Ok(())
    }

    /// Journals the first entry of a new life of the replica's actor.
    pub fn fence(&mut self, replica: ReplicaId) -> Result<Seq, String> {
        let Some(live) = self.live(replica) else { return Err(format!("replica {} is gone", replica.0)) };
        let seq = live.accepted.seq.next();
        let durability = Durability::Fsync;
        self.submit(EntryHeader { replica, seq, entry: Entry::Fence, durability, length: 0 }, None)?;
        Ok(seq)
    }

    /// Begins to write all that waits. False if nothing does, or a group is in flight.
    pub fn begin(&mut self) -> bool {
        if self.writing.is_some() || self.written == self.records.len() {
            return false;
        }
        self.writing = Some(self.records.len());
        true
    }

    /// The group in flight is in the page cache. Gives the notices that go out now, and whether a sync comes next.
    pub fn wrote(&mut self) -> (Vec<Notice>, bool) {
        let Some(to) = self.writing.take() else { return (Vec::new(), false) };
        let mut sync = false;
        let mut touched: Vec<ReplicaId> = Vec::new();
        for record in &self.records[self.written..to] {
            let header = &record.header;
            let live = &mut self.lives[header.replica.0 as usize - 1];
            sync |= needs_sync(&header.entry, header.durability, live.marked);
            live.mark(header);
            live.written = header.seq;
            if !touched.contains(&header.replica) {
                touched.push(header.replica);
            }
        }
        self.written = to;
        let new = touched.iter().filter(|replica| !self.unsynced.contains(replica));
        let new: Vec<_> = new.copied().collect();
        self.unsynced.extend(new);
        if planted(Mutant::AckBeforeSync) {
            let unsynced = self.unsynced.clone();
            return (self.announce(&unsynced, true), sync);
        }
        let notices = if sync { Vec::new() } else { self.announce(&touched, false) };
        (notices, sync)
    }

    /// Everything written is on disk now.
    pub fn synced(&mut self) -> Vec<Notice> {
        for record in &self.records[self.synced..self.written] {
            self.lives[record.header.replica.0 as usize - 1].synced = record.header.seq;
        }
        self.synced = self.written;
        let unsynced = std::mem::take(&mut self.unsynced);
        self.announce(&unsynced, true)
    }

    /// Whether anything written is not synced, and nothing is under way that would.
    #[must_use]
    pub fn needs_background_sync(&self) -> bool {
        self.synced < self.written && self.writing.is_none()
    }

    /// How many entries are synced: the position that a heartbeat names (R46).
    #[must_use]
    pub fn position(&self) -> u64 {
        self.synced as u64
    }

    /// How many entries there are.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.records.len() as u64
    }

    /// Everything is written and synced, as at a clean end.
    pub fn flush(&mut self) {
        self.writing = Some(self.records.len());
        let _ = self.wrote();
        let _ = self.synced();
    }

    /// Whether anything written is not synced.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.synced < self.written
    }

    fn announce(&mut self, replicas: &[ReplicaId], synced: bool) -> Vec<Notice> {
        let mut notices = Vec::with_capacity(replicas.len());
        for replica in replicas {
            let live = &mut self.lives[replica.0 as usize - 1];
            live.announced.written = live.written;
            if synced {
                live.announced.synced = live.written;
            }
            notices.push(live.announced);
        }
        notices
    }

    /// Settles a replica: its high watermark is stored, as a hint.
    pub fn settle(&mut self, replica: ReplicaId, high_watermark: Offset) {
        let synced = self.synced;
        if let Some(live) = self.lives.get_mut(replica.0 as usize - 1) {
            live.hint = Some((synced, high_watermark.min(live.synced_end())));
        }
    }

    /// The process ends. A group in flight may have been written.
    pub fn kill(&mut self, rng: &mut Rng) {
        if let Some(to) = self.writing.filter(|_| rng.percent(50)) {
            self.written = to;
        }
        self.records.truncate(self.written);
    }

    /// The power is cut. Of what is not synced, this many percent are there all the same. Says whether anything is gone.
    pub fn cut(&mut self, keep: u64) -> bool {
        let beyond = (self.written - self.synced) as u64 * keep / 100;
        let before = self.records.len();
        self.records.truncate(self.synced + beyond as usize);
        self.records.len() < before
    }

    /// Reads everything after the end of a process, as recovery does. The entries that were found count as durable from here on.
    pub fn recover(&mut self) -> Vec<Recovered> {
        let (records, synced) = (std::mem::take(&mut self.records), self.synced.min(self.records.len()));
        let old = std::mem::take(&mut self.lives);
        let mut hints: Vec<Option<(usize, Offset)>> = old.iter().map(|live| live.hint).collect();
        let mut folds: Vec<Option<(ReplicaFold, Offset)>> = old.iter().map(|_| None).collect();
        for (at, record) in records.iter().enumerate() {
            let place = record.header.replica.0 as usize - 1;
            self.follow(record, &old);
            let live = &self.lives[place];
            match &mut folds[place] {
                none @ None => *none = ReplicaFold::begun_by(&record.header).map(|fold| (fold, 0)),
                Some((fold, synced_end)) => {
                    if let Some((_, settled)) = hints[place].take_if(|(known, _)| *known <= at) {
                        fold.commit(settled);
                    }
                    fold_on(fold, record, &live.content);
                    if at < synced {
                        *synced_end = fold.outline.next;
                    }
                }
            }
        }
        self.records = records;
        self.all_durable(&old);
        let found = (1u32..).map(ReplicaId).zip(folds).zip(hints).filter_map(|((replica, fold), hint)| {
            let (mut fold, synced_end) = fold?;
            hint.into_iter().for_each(|(_, settled)| fold.commit(settled));
            (!fold.outline.dropped).then_some(Recovered { replica, fold, synced_end })
        });
        found.collect()
    }

    /// Takes a record of the journal on again.
    fn follow(&mut self, record: &Record, old: &[Live]) {
        let place = record.header.replica.0 as usize - 1;
        while self.lives.len() <= place {
            let replica = ReplicaId(self.lives.len() as u32 + 1);
            self.lives.push(Live::opened(old[self.lives.len()].id, replica));
        }
        let live = &mut self.lives[place];
        let before = live.accepted.next;
        let end = record.batch.map(|batch| batch.next());
        if let Ruling::Follows(change) = live.accepted.follow(record.header.seq, &record.header.entry, end) {
            live.take(change, before, record);
            live.mark(&record.header);
        }
    }

    fn all_durable(&mut self, old: &[Live]) {
        // A number that was given stays given, though its `Open` was lost.
        while self.lives.len() < old.len() {
            let replica = ReplicaId(self.lives.len() as u32 + 1);
            let lost = Live::opened(old[self.lives.len()].id, replica);
            self.lives.push(Live { dropped: true, ..lost });
        }
        (self.written, self.synced) = (self.records.len(), self.records.len());
        (self.writing, self.unsynced) = (None, Vec::new());
        for (live, old) in self.lives.iter_mut().zip(old) {
            let seq = live.accepted.seq;
            (live.written, live.synced) = (seq, seq);
            (live.announced.written, live.announced.synced) = (seq, seq);
            live.dropped |= seq == Seq(0);
            live.hint = old.hint.filter(|(known, _)| *known <= self.records.len());
        }
    }

    /// The replica's state as of its last entry, for an actor that starts again. The caller waits until that entry is
    /// written.
    #[must_use]
    pub fn rebuild(&self, replica: ReplicaId) -> Option<ReplicaFold> {
        let mut hint = self.live(replica)?.hint;
        let mut state: Option<ReplicaFold> = None;
        let mut content: Vec<Batch> = Vec::new();
        for (at, record) in
            self.records.iter().enumerate().filter(|(_, record)| record.header.replica == replica)
        {
            match &mut state {
                None => state = ReplicaFold::begun_by(&record.header),
                Some(fold) => {
                    if let Some((_, settled)) = hint.take_if(|(known, _)| *known <= at) {
                        fold.commit(settled);
                    }
                    content.extend(record.batch);
                    match record.header.entry {
                        Entry::Truncate { to } => {
                            content.truncate(content.partition_point(|batch| batch.base() < to));
                        }
                        Entry::Reset { .. } => content.clear(),
                        _ => {}
                    }
                    fold_on(fold, record, &content);
                }
            }
        }
        state
    }
}

/// Folds one record. After a truncation the producers come from the batches that are left.
fn fold_on(fold: &mut ReplicaFold, record: &Record, left: &[Batch]) {
    let head = record.batch.map(|batch| batch.head);
    if let Folded::Truncated { to } = fold.fold(&record.header, head.as_ref()) {
        fold.producers = ProducerTable::default();
        left[..above(left, to)].iter().for_each(|batch| fold.producers.apply(&batch.head));
    }
}

/// The log that a replica starts with.
#[must_use]
pub fn log_start(fold: &ReplicaFold) -> LogStart {
    let Outline { seq, log_start, next, ref epochs, .. } = fold.outline;
    let (producers, high_watermark) = (fold.producers.clone(), fold.committed());
    LogStart { seq, log_start, next, high_watermark, epochs: epochs.clone(), producers }
}
