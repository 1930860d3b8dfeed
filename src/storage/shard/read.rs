//! Reading batches: where an offset lies now, and what is there.
//!
//! ```text
//!   run index ─> journal                       not settled yet
//!   redb ─┬─> journal                          settled, and stays there
//!         └─> a block, copied                  settled
//! ```
//!
//! A settle commits, then takes from the index, so an offset is always in one of the two. A reader that finds it in neither
//! looked at the wrong moment and starts over; so does one whose segment went meanwhile. Cutting stretches to the request is
//! the work of `journal/gather.rs`.
//!
//! One read shows the log of one moment within the call. A truncation or reset before that moment may have put other
//! records at the same offsets, so who asked by a view compares its `log_id` with that of the view afterwards (R39).

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::gather::{At, Source, gather};
use crate::storage::journal::index::Run;
use crate::storage::journal::segment::Segment;
use crate::storage::settled::heads::heads_of;
use crate::storage::settled::tables::Content;
use crate::storage::shard::engine::Engine;
use callboard_actors::ports::{ReadError, ReadRequest, Slices, TimeHit};
use callboard_core::limits;
use callboard_core::records::{self, BatchHead};
use callboard_core::{Offset, ReplicaId};
use std::sync::Arc;

/// How often a reader that the settler overtook starts over.
const ATTEMPTS: usize = 8;
/// How often a read that redb refused for want of space is done again.
const READS_AGAIN: u32 = 5;

pub(super) fn corrupt(fault: ShardFault) -> ReadError {
    ReadError::Corrupt(fault.0)
}

/// The place of an offset at this moment.
enum Place {
    /// There is nothing to read.
    End,
    Journal(Vec<(Arc<Segment>, Run)>),
    /// In redb, if anywhere, and below this offset.
    Settled(Offset),
}

impl Engine {
    /// Reads, and reads again if redb was opened anew meanwhile.
    ///
    /// Once redb has found no space it refuses reads as well, until the settler has opened it again. Such a read waits for
    /// that.
    pub fn read_on(&self, request: ReadRequest) -> Result<Slices, ReadError> {
        let db = &self.settled.db;
        let mut opened = db.health.opened();
        let mut result = self.read(request);
        for _ in 0..READS_AGAIN {
            let refused = matches!(result, Err(ReadError::Gone(_) | ReadError::Corrupt(_)));
            let reopened = db.health.opened() != opened || db.health.ran_out_now() || !db.is_open();
            if !refused || !reopened || self.fault().is_some() {
                break;
            }
            drop(self.settled.settler());
            opened = db.health.opened();
            result = self.read(request);
        }
        result
    }

    /// Whether a read that fails says something of the bytes: redb is open, has space, and the shard works.
    pub fn may_judge_reads(&self) -> bool {
        let db = &self.settled.db;
        db.is_open() && !db.health.ran_out_now() && self.fault().is_none()
    }

    /// Reads whole batches from the one that covers `from`.
    pub fn read(&self, request: ReadRequest) -> Result<Slices, ReadError> {
        let ReadRequest { replica, from, until, .. } = request;
        let max_bytes = request.max_bytes.min(limits::READ_JOB_BYTES);
        let mut at = from;
        for _ in 0..ATTEMPTS {
            let sources = match self.place(replica, at, until, max_bytes)? {
                Place::End => return Ok(Slices { next: from, ..Slices::default() }),
                Place::Journal(runs) => {
                    Some(runs.into_iter().map(|(s, run)| Source::of_run(s, &run)).collect())
                }
                Place::Settled(end) => self.settled_sources(replica, at, until.min(end), max_bytes)?,
            };
            // A segment went while its rows were read, so the rows are different by now.
            let Some(sources) = sources else { continue };
            let slices = gather(sources, &ReadRequest { max_bytes, ..request }).map_err(corrupt)?;
            if slices.bytes > 0 {
                return Ok(slices);
            }
            match self.more(replica, at, until)? {
                Some(base) => at = base,
                None => return Ok(Slices { next: from, ..Slices::default() }),
            }
        }
        Err(ReadError::Busy)
    }

    fn place(&self, replica: ReplicaId, from: Offset, until: Offset, max: usize) -> Result<Place, ReadError> {
        let index = self.journal.index.lock();
        let gone = || ReadError::Gone("the store does not know the replica".into());
        let live = index.replicas.get(&replica).ok_or_else(gone)?;
        if from < live.log_start || from > live.next {
            return Err(ReadError::OutOfRange(from));
        }
        if from >= until.min(live.next) {
            return Ok(Place::End);
        }
        let at = live.runs.partition_point(|run| run.next <= from);
        let covered = live.runs.get(at).is_some_and(|run| run.base <= from);
        if !covered && from < live.settled_end {
            return Ok(Place::Settled(live.settled_end));
        }
        let (mut runs, mut bytes) = (Vec::new(), 0);
        for run in live.runs.range(at..).take_while(|run| run.base < until) {
            if bytes >= max && !runs.is_empty() {
                break;
            }
            bytes += run.length as usize;
            let segment = index.segment(run.at);
            let segment = segment.ok_or_else(|| ReadError::Gone(format!("no segment holds {}", run.at.0)))?;
            runs.push((segment, *run));
        }
        Ok(Place::Journal(runs))
    }

    /// The next offset at or above `from` and below `until` that is stored: there was a gap, or the settler was faster. If the
    /// log start passed `from` meanwhile, its records are gone.
    fn more(&self, replica: ReplicaId, from: Offset, until: Offset) -> Result<Option<Offset>, ReadError> {
        let (first_run, settled_end) = {
            let index = self.journal.index.lock();
            let Some(live) = index.replicas.get(&replica) else { return Ok(None) };
            if from < live.log_start {
                return Err(ReadError::OutOfRange(from));
            }
            (live.runs.iter().map(|run| run.base).find(|base| *base >= from), live.settled_end)
        };
        // A stretch may reach beyond the end that a truncation inside a batch gave it.
        let until_settled = settled_end.min(until).max(from);
        let rows = self.settled.db.rows(replica, from, until_settled, 1).map_err(corrupt)?;
        // Batch by batch, because a truncation that is not settled yet may end inside a stretch.
        for row in &rows {
            let heads = heads_of(row, &|at| self.journal.segment(at)).map_err(corrupt)?;
            let below = |head: &&BatchHead| {
                head.next_offset().min(until_settled) > from && head.base_offset < until_settled
            };
            if let Some(head) = heads.iter().find(below) {
                return Ok(Some(head.base_offset.max(from)));
            }
        }
        Ok(first_run.filter(|base| *base < until))
    }

    /// The stretches that redb has there; none if the segment of one of them is gone meanwhile.
    fn settled_sources(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        max: usize,
    ) -> Result<Option<Vec<Source>>, ReadError> {
        let mut out = Vec::new();
        for row in self.settled.db.rows(replica, from, until, max).map_err(corrupt)? {
            let span = row.span;
            // A truncation that is not settled yet ends at a batch's start, inside the last stretch.
            let next = span.next.min(until);
            let home = match row.content {
                Content::Inline(bytes) => At::Memory(bytes),
                Content::Journal(place) => {
                    if self.scrubber.is_rotten(replica, span.base) {
                        let why = format!("its records {} to {} have rotted", span.base, span.next);
                        return Err(ReadError::Corrupt(why));
                    }
                    let Some(segment) = self.journal.segment(place.at) else { return Ok(None) };
                    At::Settled(segment, place)
                }
            };
            out.push(Source { base: span.base, next, clipped: next < span.next, length: span.bytes, home });
        }
        Ok(Some(out))
    }

    /// Walks batches in `from .. until` until `look` finds something.
    pub(super) fn scan(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        mut look: impl FnMut(&[u8], &BatchHead) -> Option<TimeHit>,
    ) -> Result<Option<TimeHit>, ReadError> {
        let mut at = from;
        while at < until {
            let max_bytes = limits::READ_JOB_BYTES;
            let slices = self.read(ReadRequest { replica, from: at, until, max_bytes, files: false })?;
            if slices.bytes == 0 {
                break;
            }
            for part in slices.in_memory() {
                for batch in records::batches(part) {
                    let (bytes, head) = batch.map_err(|e| ReadError::Corrupt(e.to_string()))?;
                    if let Some(hit) = look(bytes, &head) {
                        return Ok(Some(hit));
                    }
                }
            }
            at = slices.next;
        }
        Ok(None)
    }
}
