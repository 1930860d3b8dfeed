//! Recovery of one shard, the second half: change what has to be changed, and open the shard.
//!
//! ```text
//!   groups beyond the last proved sync ─> written again into a fresh segment, synced ─> its name ─> the owners of the shard
//! ```
//!
//! The fresh segment takes its name in one rename, and its header says where the stream before it was cut. So bytes
//! behind the cut never come back, and a recovery that is killed may start over. Verdicts are on record before this runs.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::index::{Index, Live};
use crate::storage::journal::position::SyncedTo;
use crate::storage::journal::segment::{Placed, Segment};
use crate::storage::journal::stream::{Journal, Making, Start};
use crate::storage::settled::state::{Settled, Sweep};
use crate::storage::shard::engine::{Engine, EngineOptions, Mended};
use crate::storage::shard::room::Space;
use crate::storage::store::recovery::Inspection;
use bytes::Bytes;
use callboard_actors::ports::Persisted;
use callboard_core::mutant::{Mutant, planted};
use callboard_core::records::BatchHead;
use callboard_core::storage::{
    Entry, Fresh, Outline, Ruling, SEGMENT_HEADER, SegmentCut, aligned, encode_group,
};
use callboard_core::{Lsn, ReplicaId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Inspection {
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
        let sweep = self.left_to_sweep();
        let EngineOptions { segment_bytes, zeros_below, residence, disk_reserve_bytes, shards, .. } =
            self.options;
        let space = Space::new(self.shard, shards, self.disk, &self.dir, disk_reserve_bytes);
        let (found, began) = (self.stream.end, end);
        let end = SyncedTo { lsn: end, crc: last_crc };
        let start = Start { end, segment: fresh, index, pinned: self.pinned };
        let making = Making { segment_bytes, zeros_below };
        let journal = Journal::new(self.shard, self.uuid, making, self.segments, start);
        let settled = Settled::new(self.shard, residence, self.db, self.stored.x, sweep);
        let mended = Mended { rejournaled, cut: self.stream.cut_bytes, found, began };
        Ok(Engine::new(self.options, journal, settled, space, mended))
    }

    /// Rows that the last life left to be swept: those below a log start, and all of dropped replicas.
    fn left_to_sweep(&self) -> BTreeMap<ReplicaId, Sweep> {
        let sweep = self.stored.replicas.iter().filter_map(|(replica, state)| match state.outline.dropped {
            true => Some((*replica, Sweep::All)),
            false if state.outline.log_start > 0 => Some((*replica, Sweep::Below(state.outline.log_start))),
            false => None,
        });
        sweep.collect()
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
            // It says that only bytes below the cut are synced, because it may be lost again before it has its name.
            crc = encode_group(&self.uuid, at, cut, crc, &group.entries, &mut head);
            group.at = at;
            let length = head.len() + payload.len();
            out.push((at, vec![Bytes::from(head), payload]));
            at = Lsn(at.0 + aligned(length as u64));
        }
        Ok((out, at, crc))
    }

    /// A dead segment, to be overwritten because its room is needed.
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

    /// Fills the index: every replica, and its entries that are still to be settled.
    fn fill(&self, index: &mut Index) {
        for (replica, state) in self.stored.replicas.iter().filter(|(_, state)| !state.outline.dropped) {
            let mut live = Live::new(state.outline.clone());
            live.settled = Some(state.clone());
            live.marked = state.durability();
            index.replicas.insert(*replica, live);
        }
        for group in &self.groups {
            for (entry, head, at) in group.parts() {
                let live = match entry.entry {
                    Entry::Open { .. } => {
                        index.replicas.entry(entry.replica).or_insert_with(|| Live::new(Outline::default()))
                    }
                    _ => match index.replicas.get_mut(&entry.replica) {
                        Some(live) => live,
                        None => continue,
                    },
                };
                let Ok(head) = head else { continue };
                let end = head.as_ref().map(BatchHead::next_offset);
                match (live.accepted.replay(entry.seq, &entry.entry, end), head) {
                    (Ruling::Follows(_), Some(head)) => live.appended(entry, at, head),
                    (Ruling::Follows(change), None) => live.changed(entry, change, at),
                    (Ruling::Covered | Ruling::Refused(_), _) => {}
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
            live.announced = Persisted { written: live.seq, synced: live.seq };
        }
    }
}
