//! One replica, being folded into a settle transaction: its state, and its batches until they are stored.
//!
//! ```text
//!   batches: here ─> blocks of whole batches in redb
//!            in the journal ─> a row for each contiguous stretch of a run, ≤ 1 MiB
//! ```
//!
//! The fold of `callboard_core` says what each entry does; this file stores it. How much goes into one transaction is
//! decided in `window.rs`.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::batches::{Found, batches_of, stored, walk_heads};
use crate::storage::journal::index::Run;
use crate::storage::journal::position::Place;
use crate::storage::journal::segment::Segment;
use crate::storage::settled::rows::BLOCK_HEADER;
use crate::storage::settled::tx::{NewContent, NewStretch, Straddling, Tx};
use bytes::Bytes;
use callboard_core::mutant::{Mutant, planted};
use callboard_core::partition::{Forgotten, ProducerTable};
use callboard_core::records::{self, BatchHead, CRC_FROM};
use callboard_core::storage::{EntryHeader, Folded, ReplicaFold, Span, blocks};
use callboard_core::{Lsn, Offset, ReplicaId, Seq, UnixMillis, limits};
use std::sync::Arc;

/// A batch's bytes, or the place where they stay.
#[derive(Clone)]
pub enum Batch {
    /// To be stored in redb.
    Here(Bytes),
    /// To stay in the journal.
    Journal {
        /// First position of the segment.
        segment: Lsn,
        /// Position of the batch's first byte.
        at: Lsn,
        /// The bytes that the batch's checksum skips.
        skipped: [u8; CRC_FROM],
    },
}

/// One replica, being folded into a transaction.
pub struct Part<'a, 't> {
    pub tx: &'a mut Tx<'t>,
    pub replica: ReplicaId,
    /// The state as far as it is folded.
    pub state: Option<ReplicaFold>,
    /// Batches that are not stored yet.
    pub batches: Vec<(Batch, BatchHead)>,
    pub forgotten: Option<Forgotten>,
    /// The replica's high watermark, as far as it speaks of this state.
    pub told: Option<Offset>,
    /// The time of storing, which stands in for the age of records that carry no time.
    pub now: UnixMillis,
    /// Finds the segment that holds a position.
    pub find: &'a dyn Fn(Lsn) -> Option<Arc<Segment>>,
}

impl Part<'_, '_> {
    /// Folds one batch of a run.
    pub fn batch(&mut self, seq: Seq, run: &Run, head: &BatchHead, batch: Batch) -> Result<(), ShardFault> {
        let entry = run.entry(self.replica, seq, head);
        match self.fold(&entry, Some(head))? {
            Folded::Appended => self.batches.push((batch, *head)),
            Folded::Known if planted(Mutant::SettledTwice) => self.batches.push((batch, *head)),
            _ => {}
        }
        Ok(())
    }

    /// Folds an entry without a batch.
    pub fn entry(&mut self, entry: &EntryHeader) -> Result<(), ShardFault> {
        match self.fold(entry, None)? {
            Folded::Truncated { to } => self.truncate(to),
            Folded::Emptied { at } => {
                self.batches.clear();
                self.tx.reset(self.replica, at)
            }
            _ => Ok(()),
        }
    }

    fn fold(&mut self, entry: &EntryHeader, head: Option<&BatchHead>) -> Result<Folded, ShardFault> {
        let Some(state) = &mut self.state else {
            self.state = ReplicaFold::begun_by(entry);
            return Ok(Folded::Marked);
        };
        match state.fold(entry, head) {
            Folded::Refused(why) => Err(ShardFault(format!(
                "entry {} of replica {} in the journal cannot follow what is settled: {why}",
                entry.seq.0, self.replica.0
            ))),
            // A gap: the replica is corrupt, and entries behind the hole stay in their (pinned) segment.
            folded => Ok(folded),
        }
    }

    fn truncate(&mut self, to: Offset) -> Result<(), ShardFault> {
        let log_start = self.state.as_ref().map_or(0, |state| state.outline.log_start);
        let empty = log_start >= to;
        self.batches.retain(|(_, head)| head.base_offset < to && !empty);
        let kept = match self.tx.truncate(self.replica, to)? {
            // Of an empty log nothing is stored again: a later batch may begin inside the stretch.
            Some(_) if empty => Vec::new(),
            None => Vec::new(),
            Some(Straddling::Inline(bytes)) => clipped(
                batches_of(&bytes)?.into_iter().map(|(bytes, head)| Ok((Batch::Here(bytes), head))),
                to,
            )?,
            Some(Straddling::Journal(span, place)) => {
                let (segment, held) = (place.segment, self.held(&place)?);
                let found = walk_heads(&held, place.at, span.bytes as u32);
                let batch = |f: Found| (Batch::Journal { segment, at: f.at, skipped: f.skipped }, f.head);
                clipped(found.map(|found| found.map(batch)), to)?
            }
        };
        put(self.tx, self.replica, &kept, self.now)?;
        let producers = self.producers_at(to, log_start)?;
        if let Some(state) = &mut self.state
            && !planted(Mutant::ProducersNotTruncated)
        {
            state.producers = producers;
        }
        Ok(())
    }

    fn held(&self, place: &Place) -> Result<Arc<Segment>, ShardFault> {
        (self.find)(place.at).ok_or_else(|| ShardFault::no_segment(place.at))
    }

    /// The producers at `to`: the newest snapshot that is left, and the heads of readable batches behind it. `heads.rs` finds
    /// the same ones.
    fn producers_at(&self, to: Offset, log_start: Offset) -> Result<ProducerTable, ShardFault> {
        let (from, mut table) = self.tx.snapshot_below(self.replica, to)?.unwrap_or_default();
        let mut take = |head: &BatchHead| {
            let readable = head.next_offset() > log_start && log_start < to;
            if readable && head.base_offset >= from && head.base_offset < to {
                table.apply(head);
            }
        };
        self.tx.rows_between(self.replica, from.max(log_start), to, |span, batches| {
            match batches {
                Ok(bytes) => {
                    for batch in records::batches(bytes) {
                        take(&batch.map_err(stored)?.1);
                    }
                }
                Err(place) => {
                    let held = self.held(&place)?;
                    for found in walk_heads(&held, place.at, span.bytes as u32) {
                        take(&found?.head);
                    }
                }
            }
            Ok(())
        })?;
        self.batches.iter().for_each(|(_, head)| take(head));
        Ok(table)
    }

    /// Stores the batches and the state, and returns the state that redb has then.
    pub fn finish(self) -> Result<Option<ReplicaFold>, ShardFault> {
        let Some(mut state) = self.state else { return Ok(None) };
        if let Some(forgotten) = self.forgotten {
            state.forget(forgotten);
        }
        if let Some(told) = self.told {
            state.commit(told);
        }
        // Batches that the log start has passed already are never written.
        let kept: Vec<(Batch, BatchHead)> = self
            .batches
            .into_iter()
            .filter(|(_, h)| h.next_offset() > state.outline.log_start && !state.outline.dropped)
            .collect();
        put(self.tx, self.replica, &kept, self.now)?;
        self.tx.put_replica(self.replica, &state)?;
        Ok(Some(state))
    }
}

/// The batches below a cut.
fn clipped(
    batches: impl Iterator<Item = Result<(Batch, BatchHead), ShardFault>>,
    to: Offset,
) -> Result<Vec<(Batch, BatchHead)>, ShardFault> {
    let mut kept = Vec::new();
    for batch in batches {
        let batch = batch?;
        if batch.1.base_offset >= to {
            let late = planted(Mutant::ClippedTooLate) && matches!(batch.0, Batch::Journal { .. });
            kept.extend(late.then_some(batch));
            break;
        }
        kept.push(batch);
    }
    Ok(kept)
}

/// Stores batches: those that are here as blocks, those in the journal as rows that name their place.
pub fn put(
    tx: &mut Tx<'_>,
    replica: ReplicaId,
    batches: &[(Batch, BatchHead)],
    now: UnixMillis,
) -> Result<(), ShardFault> {
    let mut new = Vec::new();
    let mut rest = batches;
    while let Some((first, _)) = rest.first() {
        let stays = matches!(first, Batch::Journal { .. });
        let same = |(batch, _): &(Batch, BatchHead)| matches!(batch, Batch::Journal { .. }) == stays;
        let (now_here, more) = rest.split_at(rest.iter().take_while(|b| same(b)).count());
        if stays {
            journal_rows(now_here, now, &mut new)
        } else {
            block_rows(now_here, now, &mut new)
        }
        rest = more;
    }
    if new.is_empty() { Ok(()) } else { tx.put_stretches(replica, &new) }
}

fn span_of(heads: &[(Batch, BatchHead)], now: UnixMillis) -> Span {
    Span {
        base: heads.first().map_or(0, |(_, head)| head.base_offset),
        next: heads.last().map_or(0, |(_, head)| head.next_offset()),
        bytes: heads.iter().map(|(_, head)| u64::from(head.size)).sum(),
        max_timestamp: heads.iter().map(|(_, head)| head.max_timestamp).max().unwrap_or(-1),
        stored: Some(now),
    }
}

fn block_rows(batches: &[(Batch, BatchHead)], now: UnixMillis, out: &mut Vec<NewStretch>) {
    let sizes: Vec<usize> = batches.iter().map(|(_, head)| head.size as usize).collect();
    for block in blocks(&sizes, BLOCK_HEADER) {
        let part = &batches[block.from..block.to];
        let bytes = part.iter().filter_map(|(batch, _)| match batch {
            Batch::Here(bytes) => Some(bytes.clone()),
            Batch::Journal { .. } => None,
        });
        out.push(NewStretch { span: span_of(part, now), content: NewContent::Inline(bytes.collect()) });
    }
}

fn journal_rows(batches: &[(Batch, BatchHead)], now: UnixMillis, out: &mut Vec<NewStretch>) {
    let mut rest = batches;
    while !rest.is_empty() {
        let (mut taken, mut bytes, mut heads, mut place) = (0, 0, 0, None);
        for (batch, head) in rest {
            let Batch::Journal { segment, at, skipped } = batch else { break };
            let (_, from) = *place.get_or_insert((*segment, *at));
            let goes_on = at.0 == from.0 + bytes as u64;
            if taken > 0 && (!goes_on || bytes + head.size as usize > limits::READ_JOB_BYTES) {
                break;
            }
            heads = crc32c::crc32c_append(heads, skipped);
            bytes += head.size as usize;
            taken += 1;
        }
        let (now_here, more) = rest.split_at(taken.max(1));
        if let Some((segment, at)) = place {
            let content = NewContent::Journal(Place { segment, at, heads });
            out.push(NewStretch { span: span_of(now_here, now), content });
        }
        rest = more;
    }
}
