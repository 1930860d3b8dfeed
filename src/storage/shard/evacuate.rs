//! Moving live runs out of a segment that has to go: from the journal into redb, a transaction at a time.
//!
//! ```text
//!   segment ─ entry headers ─> which replicas and offsets it held ─> rows that still say "here" ─> proved ─> blocks in redb
//! ```
//!
//! What lies below a log start, or belongs to a dropped replica, is left to the sweep: it is never written again. What does
//! not prove itself stays where it is, and its segment with it, and reads of it are refused (`callboard_scrub_rotten_total`).

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::batches::proved;
use crate::storage::journal::scan::headers;
use crate::storage::journal::segment::Segment;
use crate::storage::settled::part::{Batch, put};
use crate::storage::settled::rows::Place;
use crate::storage::settled::window::{TRANSACTION_BYTES, wall};
use crate::storage::shard::engine::{Engine, Settler};
use callboard_core::records::BatchHead;
use callboard_core::storage::{Entry, SettledSegment, Span, to_empty};
use callboard_core::{Lsn, Offset, ReplicaId};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Rows looked at in one go where a segment's headers do not tell.
const LOOK: usize = 4096;

type Live = (ReplicaId, Span, Place);
/// The same with its batches.
type Moving = (ReplicaId, Span, Vec<(Batch, BatchHead)>);

impl Engine {
    /// Moves runs of the segment that has to go next into redb: one transaction. Whether there may be more to move.
    pub fn make_room(&self) -> Result<bool, ShardFault> {
        self.healthy()?;
        let mut settler = self.settler.lock();
        if !self.may_sweep() {
            return Ok(false);
        }
        let Some(first) = self.next_to_empty(&settler) else { return Ok(false) };
        let moved = match self.empty(first, &settler) {
            Ok(moved) => moved,
            Err(fault) => return self.settle_later(fault).map(|()| false),
        };
        if moved > 0 {
            crate::storage::metrics::evacuated(self.shard, moved);
            return Ok(true);
        }
        if settler.sweep.is_empty() {
            tracing::error!(
                shard = self.shard,
                "journal segment {} can not be emptied: what it holds does not prove itself; it is kept",
                first.0
            );
            settler.stuck.insert(first);
            return Ok(true);
        }
        // The sweep comes first.
        Ok(false)
    }

    fn next_to_empty(&self, settler: &Settler) -> Option<Lsn> {
        let x = Lsn(self.durable_x.load(Ordering::Acquire));
        let (used, index) = (self.db.all_used(), self.index.lock());
        // Where room is short only what frees more than it takes is moved.
        let short = self.room().short();
        let journal = if short { 0 } else { index.bytes() };
        let settled = index.segments.values().filter(|s| s.end() <= x && !settler.stuck.contains(&s.first));
        let settled = settled.map(|s| {
            let live = used.get(&s.first).map_or(0, |used| used.bytes);
            SettledSegment { first: s.first, capacity: s.capacity, live }
        });
        to_empty(settled, journal, &self.options.residence)
    }

    /// Moves what is live in it, up to a transaction's worth; the bytes moved.
    fn empty(&self, first: Lsn, settler: &Settler) -> Result<u64, ShardFault> {
        let segment = self.segment_of(first)?;
        let mut live = self.live_in(&segment)?;
        if live.is_empty() && settler.sweep.is_empty() {
            live = self.live_by_rows(&segment)?;
        }
        let mut moving: Vec<Moving> = Vec::new();
        let mut bytes = 0;
        for (replica, span, place) in live {
            if bytes >= TRANSACTION_BYTES as u64 {
                break;
            }
            match proved(&segment, span.base, &place, span.bytes) {
                Ok(batches) => {
                    bytes += span.bytes;
                    let batches = batches.into_iter().map(|(bytes, head)| (Batch::Here(bytes), head));
                    moving.push((replica, span, batches.collect()));
                }
                Err(fault) => self.rotten(replica, span.base, &fault),
            }
        }
        if bytes > 0 {
            self.db.write(|tx| {
                for (replica, span, batches) in &moving {
                    put(tx, *replica, batches, span.stored.unwrap_or_else(wall))?;
                }
                Ok(())
            })?;
            crate::storage::metrics::committed(self.shard);
        }
        Ok(bytes)
    }

    /// What rows refer to in a segment, as its entry headers tell where to look.
    fn live_in(&self, segment: &Segment) -> Result<Vec<Live>, ShardFault> {
        let mut out = Vec::new();
        for entries in headers(segment, &self.uuid)? {
            // A row begins where one of the run's batches begins.
            let mut ranges: BTreeMap<ReplicaId, (Offset, Offset)> = BTreeMap::new();
            for entry in entries {
                if let Entry::Append { base, .. } = entry.entry {
                    let range = ranges.entry(entry.replica).or_insert((base, base));
                    *range = (range.0.min(base), range.1.max(base));
                }
            }
            for (replica, (from, to)) in ranges {
                out.extend(self.db.in_journal_between(replica, from, to)?);
            }
        }
        out.retain(|live| self.is_live_in(segment, live));
        // Offsets that were truncated and written again are in two groups.
        out.sort_by_key(|(replica, span, _)| (*replica, span.base));
        out.dedup_by_key(|(replica, span, _)| (*replica, span.base));
        Ok(out)
    }

    /// The same, by looking at all rows: a rotten header hides what its group held.
    fn live_by_rows(&self, segment: &Segment) -> Result<Vec<Live>, ShardFault> {
        let (mut out, mut from) = (Vec::new(), Some((ReplicaId(0), Offset::MIN)));
        while let Some(at) = from {
            let (rows, next) = self.db.in_journal(at, LOOK)?;
            out.extend(rows.into_iter().filter(|live| self.is_live_in(segment, live)));
            from = next;
        }
        Ok(out)
    }

    fn is_live_in(&self, segment: &Segment, (replica, span, place): &Live) -> bool {
        let above = |log_start| span.next > log_start;
        let known = self.index.lock().replicas.get(replica).is_some_and(|live| above(live.log_start));
        known && place.segment == segment.first && !self.is_rotten(*replica, span.base)
    }

    /// Remembers that a stretch does not prove itself: reads of it are refused.
    pub(in crate::storage) fn rotten(&self, replica: ReplicaId, base: Offset, why: &ShardFault) {
        if self.rotten.lock().insert((replica, base)) {
            crate::storage::metrics::rotten(self.shard);
            tracing::error!(
                shard = self.shard,
                replica = replica.0,
                offset = base,
                "stored records have rotted: {why}; reads of them are refused"
            );
        }
    }

    pub(in crate::storage) fn is_rotten(&self, replica: ReplicaId, base: Offset) -> bool {
        self.rotten.lock().contains(&(replica, base))
    }

    /// Whether what is written down about the segments is what rows say. For tests: it looks at all of them.
    pub fn audit(&self) -> Result<(), ShardFault> {
        let mut found: BTreeMap<Lsn, crate::storage::settled::db::Used> = BTreeMap::new();
        let mut from = Some((ReplicaId(0), Offset::MIN));
        while let Some(at) = from {
            let (rows, next) = self.db.in_journal(at, LOOK)?;
            for (replica, span, place) in rows {
                let used = found.entry(place.segment).or_default();
                (used.bytes, used.rows) = (used.bytes + span.bytes, used.rows + 1);
                let held = self.segment_of(place.at)?;
                if held.first != place.segment {
                    return Err(ShardFault(format!(
                        "replica {} names a segment that does not hold it",
                        replica.0
                    )));
                }
            }
            from = next;
        }
        let noted = self.db.all_used();
        if noted == found {
            return Ok(());
        }
        Err(ShardFault(format!("segments are used as {found:?}, and {noted:?} is written down")))
    }
}
