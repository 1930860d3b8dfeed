//! Moving live runs out of a segment that has to go: from the journal into redb, a transaction at a time.
//!
//! ```text
//!   segment ─ entry headers ─> which replicas and offsets it held ─> rows that still say "here" ─> proved ─> blocks in redb
//! ```
//!
//! Runs below a log start or of a dropped replica are left to the sweep, so they are never written again. A run that does not
//! prove itself stays where it is, its segment with it, and reads of it are refused (`callboard_scrub_rotten_total`). Which
//! segment has to go is decided by `callboard_core::storage::to_empty`.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::batches::proved;
use crate::storage::journal::dead::Keeper;
use crate::storage::journal::position::Place;
use crate::storage::journal::scan::headers;
use crate::storage::journal::segment::Segment;
use crate::storage::metrics;
use crate::storage::settled::part::{Batch, put};
use crate::storage::settled::state::Settler;
use crate::storage::settled::tables::Used;
use crate::storage::settled::window::{TRANSACTION_BYTES, wall};
use crate::storage::shard::engine::Engine;
use callboard_core::records::BatchHead;
use callboard_core::storage::{Entry, SettledSegment, Span, to_empty};
use callboard_core::{Lsn, Offset, ReplicaId};
use std::collections::BTreeMap;

/// Rows looked at in one go where a segment's headers do not tell.
const LOOK: usize = 4096;

/// A run that rows refer to.
type Live = (ReplicaId, Span, Place);
/// A live run with its batches.
type Moving = (ReplicaId, Span, Vec<(Batch, BatchHead)>);

impl Engine {
    /// Moves runs of the segment that has to go next into redb: one transaction. Returns whether there may be more to move.
    pub fn make_room(&self) -> Result<bool, ShardFault> {
        self.healthy()?;
        let mut settler = self.settled.settler();
        if !self.may_sweep() {
            return Ok(false);
        }
        let Some(first) = self.next_to_empty(&settler) else { return Ok(false) };
        let moved = match self.empty(first, &settler) {
            Ok(moved) => moved,
            Err(fault) => return self.settle_later(fault).map(|()| false),
        };
        if moved > 0 {
            metrics::evacuated(self.shard, moved);
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
        // Rows that wait to be swept may be all that refers to it.
        Ok(false)
    }

    fn next_to_empty(&self, settler: &Settler) -> Option<Lsn> {
        let x = self.settled.x();
        let (used, index) = (self.settled.db.all_used(), self.journal.index.lock());
        // Where room is short, runs move only out of a segment that frees more than they take.
        let short = self.room().short();
        let journal = if short { 0 } else { index.bytes() };
        let settled = index.segments.values().filter(|s| s.end() <= x && !settler.stuck.contains(&s.first));
        let settled = settled.map(|s| {
            let live = used.get(&s.first).map_or(0, |used| used.bytes);
            SettledSegment { first: s.first, capacity: s.capacity, live }
        });
        to_empty(settled, journal, &self.options.residence)
    }

    /// Moves live runs out of a segment, up to a transaction's worth. Returns the bytes moved.
    fn empty(&self, first: Lsn, settler: &Settler) -> Result<u64, ShardFault> {
        let segment = self.journal.segment_of(first)?;
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
                Err(fault) => self.scrubber.found_rotten(replica, span.base, &fault),
            }
        }
        if bytes > 0 {
            self.settled.db.write(|tx| {
                for (replica, span, batches) in &moving {
                    put(tx, *replica, batches, span.stored.unwrap_or_else(wall))?;
                }
                Ok(())
            })?;
            metrics::committed(self.shard);
        }
        Ok(bytes)
    }

    /// The live runs of a segment; its entry headers tell which rows to look at.
    fn live_in(&self, segment: &Segment) -> Result<Vec<Live>, ShardFault> {
        let mut out = Vec::new();
        for entries in headers(segment, &self.journal.uuid)? {
            // A row begins where one of the run's batches begins.
            let mut ranges: BTreeMap<ReplicaId, (Offset, Offset)> = BTreeMap::new();
            for entry in entries {
                if let Entry::Append { base, .. } = entry.entry {
                    let range = ranges.entry(entry.replica).or_insert((base, base));
                    *range = (range.0.min(base), range.1.max(base));
                }
            }
            for (replica, (from, to)) in ranges {
                out.extend(self.settled.db.in_journal_between(replica, from, to)?);
            }
        }
        out.retain(|live| self.is_live_in(segment, live));
        // Offsets that were truncated and written again are in two groups.
        out.sort_by_key(|(replica, span, _)| (*replica, span.base));
        out.dedup_by_key(|(replica, span, _)| (*replica, span.base));
        Ok(out)
    }

    /// The same, by looking at all rows, because a rotten header hides the entries of its group.
    fn live_by_rows(&self, segment: &Segment) -> Result<Vec<Live>, ShardFault> {
        let (mut out, mut from) = (Vec::new(), Some((ReplicaId(0), Offset::MIN)));
        while let Some(at) = from {
            let (rows, next) = self.settled.db.in_journal(at, LOOK)?;
            out.extend(rows.into_iter().filter(|live| self.is_live_in(segment, live)));
            from = next;
        }
        Ok(out)
    }

    fn is_live_in(&self, segment: &Segment, (replica, span, place): &Live) -> bool {
        // A log start that is not settled yet has swept nothing, so its rows move once more rather than pin the segment.
        let index = self.journal.index.lock();
        let settled = index.replicas.get(replica).and_then(|live| live.settled.as_ref());
        let above = settled.is_some_and(|state| span.next > state.outline.log_start);
        drop(index);
        above && place.segment == segment.first && !self.scrubber.is_rotten(*replica, span.base)
    }

    /// Proves that the table of segments agrees with the rows. For tests, because it looks at all rows.
    pub fn audit(&self) -> Result<(), ShardFault> {
        let mut found: BTreeMap<Lsn, Used> = BTreeMap::new();
        let mut from = Some((ReplicaId(0), Offset::MIN));
        while let Some(at) = from {
            let (rows, next) = self.settled.db.in_journal(at, LOOK)?;
            for (replica, span, place) in rows {
                let used = found.entry(place.segment).or_default();
                (used.bytes, used.rows) = (used.bytes + span.bytes, used.rows + 1);
                let held = self.journal.segment_of(place.at)?;
                if held.first != place.segment {
                    return Err(ShardFault(format!(
                        "replica {} names a segment that does not hold it",
                        replica.0
                    )));
                }
            }
            from = next;
        }
        let noted = self.settled.db.all_used();
        if noted == found {
            return Ok(());
        }
        Err(ShardFault(format!("segments are used as {found:?}, and {noted:?} is written down")))
    }
}
