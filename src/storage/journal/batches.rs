//! Batches as they lie in the journal or in a block: walked by their heads alone, or read whole and proved.
//!
//! ```text
//!   position ─> | head 61 |      payload, not read      | head 61 | … | ─> end
//! ```
//!
//! A run that stays in the journal is settled, clipped and cut for a reader by its heads alone. The checksum of a batch
//! does not cover its first 21 bytes, so its row in redb has one over those of all its batches. Records inside a batch
//! are not looked at here.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::position::Place;
use crate::storage::journal::segment::Segment;
use bytes::Bytes;
use callboard_core::records::{self, BatchHead, CRC_FROM, HEAD_BYTES};
use callboard_core::{Lsn, Offset};

/// Smaller batches are walked through a window, because a read for each would cost more.
const SMALL: u32 = 4 * 1024;
/// Bytes of that window.
const WINDOW: u64 = 16 * 1024;

/// One batch of a run.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Position of its first byte.
    pub at: Lsn,
    pub head: BatchHead,
    /// The bytes that its own checksum skips.
    pub skipped: [u8; CRC_FROM],
}

/// The batches of a stretch of a segment, by their heads.
pub struct HeadWalk<'a> {
    segment: &'a Segment,
    at: u64,
    end: u64,
    window: Bytes,
    from: u64,
    last: u32,
}

/// Walks so many bytes of whole batches.
#[must_use]
pub fn walk_heads(segment: &Segment, at: Lsn, length: u32) -> HeadWalk<'_> {
    let end = at.0 + u64::from(length);
    HeadWalk { segment, at: at.0, end, window: Bytes::new(), from: at.0, last: u32::MAX }
}

impl HeadWalk<'_> {
    fn step(&mut self) -> Result<Found, ShardFault> {
        let here = (self.at - self.from) as usize;
        if self.window.len() < here + HEAD_BYTES {
            let want = if self.last < SMALL { WINDOW } else { HEAD_BYTES as u64 };
            self.window = self.segment.read(Lsn(self.at), want.min(self.end - self.at) as usize)?;
            self.from = self.at;
        }
        let bytes = &self.window[(self.at - self.from) as usize..];
        let rotten = |why: String| ShardFault(format!("the batch at {} of the journal: {why}", self.at));
        let head = records::peek(bytes).map_err(|e| rotten(e.to_string()))?;
        if self.at + u64::from(head.size) > self.end {
            return Err(rotten("it is longer than its run".into()));
        }
        let mut skipped = [0; CRC_FROM];
        skipped.copy_from_slice(&bytes[..CRC_FROM]);
        let at = Lsn(self.at);
        self.at += u64::from(head.size);
        self.last = head.size;
        Ok(Found { at, head, skipped })
    }
}

impl Iterator for HeadWalk<'_> {
    type Item = Result<Found, ShardFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.at = self.end;
        }
        Some(step)
    }
}

/// Splits contiguous batches, each with its head.
pub fn batches_of(bytes: &Bytes) -> Result<Vec<(Bytes, BatchHead)>, ShardFault> {
    let mut rest = bytes.clone();
    let mut out = Vec::new();
    while !rest.is_empty() {
        let head = records::head(&rest).map_err(stored)?;
        out.push((rest.split_to(head.size as usize), head));
    }
    Ok(out)
}

/// The batches at a place of the journal, read and proved.
pub fn proved(
    segment: &Segment,
    base: Offset,
    place: &Place,
    length: u64,
) -> Result<Vec<(Bytes, BatchHead)>, ShardFault> {
    prove(&segment.read(place.at, length as usize)?, base, place)
}

/// Proves the batches of a whole stretch: each by its own checksum, and the bytes skipped there by the row's.
pub fn prove(bytes: &Bytes, base: Offset, place: &Place) -> Result<Vec<(Bytes, BatchHead)>, ShardFault> {
    let rotten = |why: String| {
        let length = bytes.len();
        ShardFault(format!("{length} bytes of the journal at {} are not what was written: {why}", place.at.0))
    };
    let batches = batches_of(bytes).map_err(|e| rotten(e.0))?;
    let mut heads = 0;
    for (bytes, _) in &batches {
        records::verify(bytes).map_err(|e| rotten(e.to_string()))?;
        heads = crc32c::crc32c_append(heads, &bytes[..CRC_FROM]);
    }
    match batches.first() {
        Some((_, first)) if first.base_offset == base && heads == place.heads => Ok(batches),
        _ => Err(rotten("its offsets or epochs have changed".into())),
    }
}

/// The fault of a stored batch that does not prove itself.
pub fn stored(error: records::RecordsError) -> ShardFault {
    ShardFault(format!("store.redb: a stored batch: {error}"))
}
