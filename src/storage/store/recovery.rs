//! Recovery of one shard, the first half: look at everything, change nothing.
//!
//! ```text
//!   inspect   open redb, read the journal behind X, walk the stream, fold   ─> states and verdicts, nothing changed
//!   (open.rs) verdicts of all shards into `identity`, fsynced
//!   finish    (finish.rs) what is valid beyond the last proved sync is written again, and the shard opens
//! ```
//!
//! Recovery may be killed at any step and start over. `callboard_core::storage` decides where the stream ends, what is
//! corrupt and whom to trust; this file reads the bytes for it.

use crate::storage::disk::fault::ShardFault;
use crate::storage::disk::port::Disk;
use crate::storage::journal::scan::{Group, scan};
use crate::storage::journal::segment::{Segment, Segments, Unreadable};
use crate::storage::settled::db::Db;
use crate::storage::settled::heads::Heads;
use crate::storage::settled::tables::Stored;
use crate::storage::shard::engine::EngineOptions;
use crate::storage::shard::rebuild::report;
use callboard_actors::ports::{ReplicaState, Verdict};
use callboard_core::mutant::{Mutant, planted};
use callboard_core::records::BatchHead;
use callboard_core::storage::{
    Candidate, EntryHeader, Folded, Gap, ReplicaFold, Restart, Stream, Trust, trust, walk,
};
use callboard_core::{Lsn, Offset, ReplicaId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A shard that was looked at and not changed.
pub struct Inspection {
    pub(super) shard: u16,
    pub(super) uuid: [u8; 16],
    pub(super) dir: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: EngineOptions,
    pub(super) segments: Segments,
    pub(super) found: Vec<Arc<Segment>>,
    /// Positions below are taken by files of the journal, readable or not.
    pub(super) used: Lsn,
    pub(super) db: Db,
    pub(super) stored: Stored,
    pub(super) stream: Stream,
    pub(super) groups: Vec<Group>,
    pub(super) folds: BTreeMap<ReplicaId, ReplicaFold>,
    /// The end of each replica as far as the stream is proved synced.
    pub(super) synced_ends: BTreeMap<ReplicaId, Offset>,
    pub(super) corrupt: BTreeMap<ReplicaId, String>,
    pub(super) suspects: BTreeMap<ReplicaId, Gap>,
    pub(super) pinned: BTreeSet<Lsn>,
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
    // Behind the end the walk misses nothing, but a file that got its name was whole then.
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
                let lost = self.folds.get(&replica).is_some_and(|state| state.outline.log_start < span.next);
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
            self.synced_ends.insert(*replica, state.outline.next);
        }
        let groups = std::mem::take(&mut self.groups);
        let mut heads: BTreeMap<ReplicaId, Heads> =
            self.folds.iter().map(|(replica, state)| (*replica, Heads::behind(state.outline.next))).collect();
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
                    self.synced_ends.insert(entry.replica, state.outline.next);
                }
            }
        }
        self.groups = groups;
        gaps.for_each(|gap| self.suspect_all(gap));
        self.folds.retain(|_, state| !state.outline.dropped);
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

    /// Suspects every replica of a gap: its entries may have stood there, until a later one of the replica follows.
    fn suspect_all(&mut self, gap: Gap) {
        let live = self.folds.iter().filter(|(_, state)| !state.outline.dropped);
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
            self.folds.extend(ReplicaFold::begun_by(entry).map(|state| (entry.replica, state)));
            return Ok(());
        };
        let folded = state.fold(entry, head.as_ref());
        if !matches!(folded, Folded::Gap { .. } | Folded::Refused(_)) {
            self.suspects.remove(&entry.replica);
        }
        match folded {
            Folded::Appended => heads.entry(entry.replica).or_default().extend(head),
            Folded::Emptied { .. } => heads.entry(entry.replica).or_default().reset(),
            Folded::Truncated { .. } => {
                let found = &self.found;
                let find = |at| found.iter().rfind(|s| s.first <= at && at < s.end()).cloned();
                let heads = heads.entry(entry.replica).or_default();
                let producers = heads.truncate(&self.db, &find, entry.replica, &state.outline)?;
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
}
