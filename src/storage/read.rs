//! Reading batches: from the run index and the journal while they are not settled, from redb afterwards.
//!
//! Settling commits, then takes from the index; so an offset is always in one of the two, and a reader that finds it
//! in neither looked at the wrong moment and starts over. Everything read is copied once and nothing is held open.

use super::engine::Engine;
use super::error::ShardFault;
use super::index::Run;
use super::segment::Segment;
use super::settle::batches_of;
use bytes::Bytes;
use callboard_actors::ports::{ReadError, ReadRequest, Slices, TimeHit};
use callboard_core::limits;
use callboard_core::records::{self, BatchHead};
use callboard_core::{Lsn, Offset, ReplicaId};
use std::sync::Arc;

/// How often a reader that was overtaken by the settler starts over.
const ATTEMPTS: usize = 8;

pub(super) fn corrupt(fault: ShardFault) -> ReadError {
    ReadError::Corrupt(fault.0)
}

/// Where an offset lies now.
enum Place {
    /// At the end: nothing to read.
    End,
    /// In the journal, in these runs.
    Journal(Vec<(Arc<Segment>, Run)>),
    /// In redb, if anywhere; below this offset.
    Settled(Offset),
}

impl Engine {
    /// Whole batches from the one that covers `from`.
    pub fn read(&self, request: ReadRequest) -> Result<Slices, ReadError> {
        let ReadRequest { replica, from, until, max_bytes } = request;
        let max_bytes = max_bytes.min(limits::READ_JOB_BYTES);
        let mut at = from;
        for _ in 0..ATTEMPTS {
            let batches = match self.place(replica, at, until, max_bytes)? {
                Place::End => return Ok(Slices { next: from, ..Slices::default() }),
                Place::Journal(runs) => read_runs(&runs, at)?,
                Place::Settled(end) => self.read_blocks(replica, at, until.min(end), max_bytes)?,
            };
            let slices = collect(batches, from, until, max_bytes);
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
        let index = self.index.lock();
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

    /// Whether anything is stored at or above `from` and below `until`: there was a gap, or the settler was faster.
    fn more(&self, replica: ReplicaId, from: Offset, until: Offset) -> Result<Option<Offset>, ReadError> {
        let (first_run, settled_end) = {
            let index = self.index.lock();
            let Some(live) = index.replicas.get(&replica) else { return Ok(None) };
            (live.runs.iter().map(|run| run.base).find(|base| *base >= from), live.settled_end)
        };
        // Batch by batch: a truncation that is not settled yet may end inside a block, with nothing behind it.
        let settled = self.read_blocks(replica, from, settled_end.min(until), 1)?;
        let next = settled.iter().find(|(_, head)| head.next_offset() > from);
        Ok(next.map(|(_, head)| head.base_offset.max(from)).or(first_run).filter(|base| *base < until))
    }

    fn read_blocks(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        max: usize,
    ) -> Result<Vec<(Bytes, BatchHead)>, ReadError> {
        let mut out = Vec::new();
        for block in self.db.blocks(replica, from, until, max).map_err(corrupt)? {
            let bytes = match block {
                Ok(bytes) => bytes,
                Err((at, length)) => self.read_journal(at, length)?,
            };
            // A truncation that is not settled yet ends at a batch's start, inside the last block.
            let batches = batches_of(&bytes).map_err(corrupt)?;
            out.extend(batches.into_iter().filter(|(_, head)| head.base_offset < until));
        }
        Ok(out)
    }

    fn read_journal(&self, at: Lsn, length: u32) -> Result<Bytes, ReadError> {
        let segment = self.index.lock().segment(at);
        let segment =
            segment.ok_or_else(|| ReadError::Corrupt(format!("no journal segment holds {}", at.0)))?;
        segment.read(at, length as usize).map_err(|e| ReadError::Corrupt(e.to_string()))
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
            let slices = self.read(ReadRequest { replica, from: at, until, max_bytes })?;
            if slices.bytes == 0 {
                break;
            }
            for part in &slices.parts {
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

fn read_runs(runs: &[(Arc<Segment>, Run)], from: Offset) -> Result<Vec<(Bytes, BatchHead)>, ReadError> {
    let mut out = Vec::new();
    for (segment, run) in runs {
        let bytes =
            segment.read(run.at, run.length as usize).map_err(|e| ReadError::Corrupt(e.to_string()))?;
        let batches = batches_of(&bytes).map_err(corrupt)?;
        // A truncation may have clipped the run at a batch's start.
        out.extend(batches.into_iter().filter(|(_, h)| h.next_offset() > from && h.base_offset < run.next));
    }
    Ok(out)
}

/// The first batch whole, then as many as fit.
fn collect(batches: Vec<(Bytes, BatchHead)>, from: Offset, until: Offset, max_bytes: usize) -> Slices {
    let mut slices = Slices { next: from, ..Slices::default() };
    for (bytes, head) in batches {
        if head.next_offset() <= from {
            continue;
        }
        let full = slices.bytes > 0 && slices.bytes + bytes.len() > max_bytes;
        if head.base_offset >= until || full {
            break;
        }
        slices.bytes += bytes.len();
        slices.next = head.next_offset();
        slices.parts.push(bytes);
    }
    slices
}
