//! Recovery of one shard: look first, say what was found, change only then.
//!
//! ```text
//!   inspect   open redb, read the journal behind X, walk the stream, fold   ─> states and verdicts, nothing changed
//!   (store)   verdicts of all shards into `identity`, fsynced
//!   finish    what is valid beyond the last proved sync is written again into a fresh segment, synced with its directory
//! ```
//!
//! It may be killed at any step and start over: the fresh segment takes its name in one rename, and its header says
//! where the stream before it was cut, so bytes behind the cut never come back.

use crate::storage::disk::fault::ShardFault;
use crate::storage::disk::port::Disk;
use crate::storage::journal::index::{Index, Live};
use crate::storage::journal::scan::{Group, scan};
use crate::storage::journal::segment::{Placed, Segment, Segments, Unreadable};
use crate::storage::journal::writer::{SyncedTo, Writer};
use crate::storage::settled::db::{Db, Stored};
use crate::storage::settled::heads::Heads;
use crate::storage::shard::engine::{Engine, EngineOptions, Settler, Sweep};
use crate::storage::shard::room::Space;
use bytes::Bytes;
use callboard_actors::ports::{ReplicaState, Verdict};
use callboard_core::mutant::{Mutant, planted};
use callboard_core::records::BatchHead;
use callboard_core::storage::{
    Candidate, Entry, EntryHeader, Folded, Fresh, Gap, ReplicaFold, Restart, SEGMENT_HEADER, SegmentCut,
    Stream, Trust, aligned, encode_group, trust, walk,
};
use callboard_core::{Lsn, Offset, ReplicaId};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

/// A shard, looked at and not changed.
pub struct Inspection {
    shard: u16,
    uuid: [u8; 16],
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    options: EngineOptions,
    segments: Segments,
    found: Vec<Arc<Segment>>,
    /// Positions below are taken by files of the journal, readable or not.
    used: Lsn,
    db: Db,
    stored: Stored,
    stream: Stream,
    groups: Vec<Group>,
    folds: BTreeMap<ReplicaId, ReplicaFold>,
    /// End of each replica up to where the stream is proved synced.
    synced_ends: BTreeMap<ReplicaId, Offset>,
    corrupt: BTreeMap<ReplicaId, String>,
    suspects: BTreeMap<ReplicaId, Gap>,
    pinned: BTreeSet<Lsn>,
}

/// Looks at a shard.
pub fn inspect(
    disk: Arc<dyn Disk>,
    dir: &Path,
    shard: u16,
    uuid: [u8; 16],
    options: EngineOptions,
) -> Result<Inspection, ShardFault> {
    let db = Db::open(Arc::clone(&disk), dir.join("store.redb"), uuid, options.cache_bytes)?;
    let stored = db.load()?;
    let segments = Segments::new(Arc::clone(&disk), dir.join("journal"), uuid);
    let (found, bad) = segments.open_all().map_err(|e| ShardFault(format!("the journal: {e}")))?;
    for Unreadable { why, .. } in &bad {
        tracing::error!(shard, "journal segment {why}; it is left as it is");
    }
    let mut scanned = Vec::new();
    for segment in found.iter().filter(|s| s.end() > stored.x) {
        scan(segment, &uuid, stored.x, &mut scanned)?;
    }
    let infos: Vec<_> = found.iter().map(Segment::info).collect();
    let candidates: Vec<Candidate> = scanned.iter().map(|(c, _)| *c).collect();
    let mut stream = walk(stored.x, stored.x_crc, &infos, &candidates).map_err(|e| {
        let listed: Vec<&str> = bad.iter().map(|b| &b.why[..]).collect();
        let listed =
            if bad.is_empty() { String::new() } else { format!(" (not readable: {})", listed.join(", ")) };
        ShardFault(format!("{e}{listed}"))
    })?;
    // Behind the end the walk sees nothing missing; but a file that got its name was whole then.
    let behind = bad.iter().filter(|b| b.first >= stream.end && b.end > stored.x);
    let behind: Vec<Gap> = behind.map(|b| Gap { from: b.first, to: b.end }).collect();
    stream.gaps.extend(behind);
    let used = bad.iter().map(|b| b.end).chain(found.iter().map(Segment::end)).max().unwrap_or(Lsn(0));
    let mut slots: Vec<Option<Group>> = scanned.into_iter().map(|(_, g)| Some(g)).collect();
    let groups: Vec<Group> = stream.kept.iter().filter_map(|i| slots[*i].take()).collect();
    let folds = stored.replicas.clone();
    let mut inspection = Inspection {
        shard,
        uuid,
        dir: dir.to_owned(),
        disk,
        options,
        segments,
        found: found.into_iter().map(Arc::new).collect(),
        used,
        db,
        stored,
        stream,
        groups,
        folds,
        synced_ends: BTreeMap::new(),
        corrupt: BTreeMap::new(),
        suspects: BTreeMap::new(),
        pinned: BTreeSet::new(),
    };
    inspection.fold()?;
    inspection.look_for_segments()?;
    Ok(inspection)
}

impl Inspection {
    /// Records that stay in the journal need their segments: without one, their replicas have lost records.
    fn look_for_segments(&mut self) -> Result<(), ShardFault> {
        let here: BTreeSet<Lsn> = self.found.iter().map(|s| s.first).collect();
        let missing: BTreeSet<Lsn> = self.db.all_used().into_keys().filter(|s| !here.contains(s)).collect();
        let mut from = (!missing.is_empty()).then_some((ReplicaId(0), Offset::MIN));
        while let Some(at) = from {
            let (rows, next) = self.db.in_journal(at, 4096)?;
            for (replica, span, place) in rows.into_iter().filter(|(_, _, p)| missing.contains(&p.segment)) {
                let lost = self.folds.get(&replica).is_some_and(|state| state.log_start < span.next);
                if lost {
                    let (from, to, file) = (span.base, span.next, place.segment.0);
                    let why = format!(
                        "its records {from} to {to} are in journal segment {file}, which is not readable"
                    );
                    self.corrupted(replica, place.at, why);
                }
            }
            from = next;
        }
        Ok(())
    }

    fn fold(&mut self) -> Result<(), ShardFault> {
        for (replica, state) in &self.folds {
            self.synced_ends.insert(*replica, state.next);
        }
        let groups = std::mem::take(&mut self.groups);
        let mut heads: BTreeMap<ReplicaId, Heads> =
            self.folds.iter().map(|(replica, state)| (*replica, Heads::behind(state.next))).collect();
        let mut gaps = self.stream.gaps.clone().into_iter().peekable();
        for group in &groups {
            while let Some(gap) = gaps.next_if(|gap| gap.from < group.at) {
                self.suspect_all(gap);
            }
            for (entry, head, _) in group.parts() {
                self.fold_entry(group.at, entry, head, &mut heads)?;
                if group.at < self.stream.proved
                    && let Some(state) = self.folds.get(&entry.replica)
                {
                    self.synced_ends.insert(entry.replica, state.next);
                }
            }
        }
        self.groups = groups;
        gaps.for_each(|gap| self.suspect_all(gap));
        self.folds.retain(|_, state| !state.dropped);
        for (replica, gap) in std::mem::take(&mut self.suspects) {
            let why = format!(
                "the journal is rotten from {} to {} and nothing shows that none of its entries stood there",
                gap.from.0, gap.to.0
            );
            self.corrupted(replica, gap.from, why);
        }
        for gap in &self.stream.gaps {
            tracing::error!(
                shard = self.shard,
                "the journal is corrupt from {} to {}: bytes that were synced are gone",
                gap.from.0,
                gap.to.0
            );
        }
        Ok(())
    }

    /// What stood in a gap nobody knows: it may be entries of any replica, until a later one of it follows.
    fn suspect_all(&mut self, gap: Gap) {
        let live = self.folds.iter().filter(|(_, state)| !state.dropped);
        self.suspects.extend(live.map(|(replica, _)| (*replica, gap)));
    }

    fn fold_entry(
        &mut self,
        at: Lsn,
        entry: &EntryHeader,
        head: &Result<Option<BatchHead>, String>,
        heads: &mut BTreeMap<ReplicaId, Heads>,
    ) -> Result<(), ShardFault> {
        let head = match head {
            Ok(head) => *head,
            Err(e) => {
                self.corrupted(
                    entry.replica,
                    at,
                    format!("its entry {} at {} is rotten: {e}", entry.seq.0, at.0),
                );
                return Ok(());
            }
        };
        let Some(state) = self.folds.get_mut(&entry.replica) else {
            if let Entry::Open { id } = entry.entry {
                self.folds.insert(entry.replica, ReplicaFold::opened(id, entry.seq));
            }
            return Ok(());
        };
        let folded = state.fold(entry, head.as_ref());
        if !matches!(folded, Folded::Gap { .. } | Folded::Refused(_)) {
            self.suspects.remove(&entry.replica);
        }
        match folded {
            Folded::Appended => heads.entry(entry.replica).or_default().extend(head),
            Folded::Truncated { to } => {
                let found = &self.found;
                let find = |at| found.iter().rfind(|s| s.first <= at && at < s.end()).cloned();
                let heads = heads.entry(entry.replica).or_default();
                let producers = heads.truncate(&self.db, &find, entry.replica, to)?;
                if !planted(Mutant::ProducersNotTruncated) {
                    state.producers = producers;
                }
            }
            Folded::Gap { expected } => {
                let why = format!(
                    "its entries {} to {} are missing from the journal before {}",
                    expected.0, entry.seq.0, at.0
                );
                self.corrupted(entry.replica, at, why);
            }
            Folded::Refused(why) => {
                self.corrupted(entry.replica, at, format!("its entry {}: {why}", entry.seq.0))
            }
            _ => {}
        }
        Ok(())
    }

    fn corrupted(&mut self, replica: ReplicaId, at: Lsn, why: String) {
        if let Some(segment) = self.found.iter().rfind(|s| s.first <= at) {
            self.pinned.insert(segment.first);
        }
        self.corrupt.entry(replica).or_insert(why);
    }

    /// What recovery says of each replica. `before`: verdicts of an earlier recovery that are still on record.
    #[must_use]
    pub fn states(&self, restart: Restart, before: &BTreeMap<u32, Verdict>) -> Vec<ReplicaState> {
        self.folds
            .iter()
            .map(|(replica, state)| {
                let synced_end = self.synced_ends.get(replica).copied().unwrap_or(0);
                let found = match self.corrupt.get(replica) {
                    Some(why) => Verdict::Corrupt(format!("shard {}: {why}", self.shard)),
                    None => match trust(restart, state.fsync_since, synced_end) {
                        Trust::Clean => Verdict::Clean,
                        Trust::Unclean(why) => Verdict::Unclean(why.into()),
                    },
                };
                let verdict = match (found, before.get(&replica.0)) {
                    (found @ Verdict::Corrupt(_), _) => found,
                    (found, _) if planted(Mutant::VerdictForgotten) => found,
                    (_, Some(kept)) => kept.clone(),
                    (found, None) => found,
                };
                report(*replica, state, verdict)
            })
            .collect()
    }

    /// Segments that hold what a corrupt replica has left.
    #[must_use]
    pub fn pinned(&self) -> &BTreeSet<Lsn> {
        &self.pinned
    }

    /// Bytes that will be journaled again.
    #[must_use]
    pub fn beyond_proved(&self) -> u64 {
        let beyond = self.groups.iter().filter(|g| g.at >= self.stream.proved);
        beyond.map(Group::payload_len).sum()
    }

    /// Bytes of the torn tail.
    #[must_use]
    pub fn cut_bytes(&self) -> u64 {
        self.stream.cut_bytes
    }

    /// Bytes read behind X.
    #[must_use]
    pub fn replayed(&self) -> u64 {
        self.groups.iter().map(Group::payload_len).sum()
    }

    /// Changes what has to be changed and opens the shard.
    pub fn finish(mut self, pinned: &BTreeSet<Lsn>) -> Result<Engine, ShardFault> {
        self.pinned.extend(pinned);
        self.segments.clear_aside()?;
        let first = self.used;
        let start = Lsn(first.0 + SEGMENT_HEADER as u64);
        let rejournaled = self.beyond_proved();
        let (again, end, last_crc) = self.lay_out(start)?;
        let needed = end.0 - first.0;
        let capacity = self.options.segment_bytes.max(aligned(needed));
        let cut = SegmentCut { at: self.cut_at(), sealed: end, prev_crc: self.cut_crc() };
        let old = self.recyclable();
        let fresh = Arc::new(self.segments.make(old, Fresh::Zeros, first, capacity, Some(cut), &again)?);
        let mut index = Index { next_replica: self.next_replica(), ..Index::default() };
        index.segments = self.found.drain(..).map(|s| (s.first, s)).collect();
        index.segments.insert(first, Arc::clone(&fresh));
        self.fill(&mut index);
        let writer = Writer {
            pos: end,
            last_crc,
            segment: fresh,
            synced: end,
            proved: end,
            unsynced: BTreeSet::new(),
        };
        // What was to be swept when the last life ended: whatever lies below a log start, and dropped replicas.
        let sweep = self.stored.replicas.iter().filter_map(|(replica, state)| match state.dropped {
            true => Some((*replica, Sweep::All)),
            false if state.log_start > 0 => Some((*replica, Sweep::Below(state.log_start))),
            false => None,
        });
        let EngineOptions { disk_reserve_bytes, shards, .. } = self.options;
        let space = Space::new(&self.disk, &self.dir, disk_reserve_bytes, shards);
        Ok(Engine {
            shard: self.shard,
            uuid: self.uuid,
            options: self.options,
            disk: self.disk,
            dir: self.dir,
            segments: self.segments,
            db: self.db,
            index: Mutex::new(index),
            synced: Mutex::new(SyncedTo { lsn: end, crc: last_crc }),
            written: AtomicU64::new(end.0),
            writer: Mutex::new(writer),
            durable_x: AtomicU64::new(self.stored.x.0),
            settler: Mutex::new(Settler { sweep: sweep.collect(), x: self.stored.x, stuck: BTreeSet::new() }),
            rotten: Mutex::default(),
            scrubbed_to: Mutex::new((ReplicaId(0), Offset::MIN)),
            spare: Mutex::new(None),
            pinned: self.pinned,
            fault: OnceLock::new(),
            sync_since: Mutex::new(None),
            space,
            rejournaled,
            cut: self.stream.cut_bytes,
        })
    }

    fn cut_at(&self) -> Lsn {
        if planted(Mutant::RecoveredTailNotSynced) { self.stream.end } else { self.stream.proved }
    }

    fn cut_crc(&self) -> u32 {
        if planted(Mutant::RecoveredTailNotSynced) { self.stream.last_crc } else { self.stream.proved_crc }
    }

    /// Gives every group beyond the proved point a new place, and its bytes there.
    fn lay_out(&mut self, start: Lsn) -> Result<(Placed, Lsn, u32), ShardFault> {
        let (mut at, mut crc) = (start, self.cut_crc());
        let mut out = Vec::new();
        let cut = self.cut_at();
        for group in self.groups.iter_mut().filter(|g| g.at >= cut) {
            let segment = self.found.iter().rfind(|s| s.first <= group.was);
            let segment = segment.ok_or_else(|| ShardFault(format!("no segment holds {}", group.was.0)))?;
            let payload = group.payload(segment)?;
            let mut head = Vec::new();
            // It knows nothing to be synced but what the cut says: it may be lost again before it has its name.
            crc = encode_group(&self.uuid, at, cut, crc, &group.entries, &mut head);
            group.at = at;
            let length = head.len() + payload.len();
            out.push((at, vec![Bytes::from(head), payload]));
            at = Lsn(at.0 + aligned(length as u64));
        }
        Ok((out, at, crc))
    }

    /// A segment that nothing refers to any more: its room is needed.
    fn recyclable(&mut self) -> Option<Segment> {
        let x = self.stored.x;
        let fits = |s: &Arc<Segment>| {
            s.end() <= x && !self.pinned.contains(&s.first) && self.db.used(s.first).rows == 0
        };
        let at = self.found.iter().position(fits)?;
        Arc::into_inner(self.found.remove(at))
    }

    fn next_replica(&self) -> u32 {
        let opened = self.groups.iter().flat_map(|g| &g.entries).map(|e| e.replica.0 + 1).max().unwrap_or(1);
        self.stored.next_replica.max(opened)
    }

    /// The index: every replica, and what of the journal is still to be settled.
    fn fill(&self, index: &mut Index) {
        for (replica, state) in self.stored.replicas.iter().filter(|(_, state)| !state.dropped) {
            let mut live = Live::new(state.seq, state.log_start, state.next);
            live.settled = Some(state.clone());
            live.marked = state.durability();
            index.replicas.insert(*replica, live);
        }
        for group in &self.groups {
            for (entry, head, at) in group.parts() {
                let live = match entry.entry {
                    Entry::Open { .. } => index
                        .replicas
                        .entry(entry.replica)
                        .or_insert_with(|| Live::new(callboard_core::Seq(0), 0, 0)),
                    _ => match index.replicas.get_mut(&entry.replica) {
                        Some(live) => live,
                        None => continue,
                    },
                };
                if entry.seq != live.seq.next() {
                    continue;
                }
                match head {
                    Ok(Some(head)) => live.appended(entry, at, head),
                    Ok(None) => live.changed(entry, at),
                    Err(_) => {}
                }
            }
        }
        for (replica, why) in &self.corrupt {
            if let Some(live) = index.replicas.get_mut(replica) {
                live.failed = Some(why.clone());
                live.corrupt = true;
            }
        }
        for live in index.replicas.values_mut() {
            live.announced = callboard_actors::ports::Persisted { written: live.seq, synced: live.seq };
        }
    }
}

/// A replica's state for its actor.
pub(in crate::storage) fn report(replica: ReplicaId, state: &ReplicaFold, verdict: Verdict) -> ReplicaState {
    ReplicaState {
        replica,
        id: state.id,
        seq: state.seq,
        log_start: state.log_start,
        next: state.next,
        high_watermark: state.next,
        epochs: state.epochs.clone(),
        producers: state.producers.clone(),
        fsync_since: state.fsync_since,
        stray: state.stray,
        verdict,
    }
}
