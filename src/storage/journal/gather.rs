//! Cutting stretches of batches to a request: whole batches, the first in any case, then as many as fit.
//!
//! ```text
//!   stretch in the journal   ├─ batch ─┼─ batch ─┼─ batch ─┼─ batch ─┤
//!   asked for                      └ from ───────────── until, max ┘
//!   sent as it lies                     ├────────┼─────────┤          found by walking the heads at both ends
//! ```
//!
//! A large stretch goes out as a file, unread, if the caller takes files; a small one is copied. For a caller that takes
//! no files everything is read, and stretches of the settled part of the journal are proved. Where an offset lies is the
//! reader's question, not this file's.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::batches::{batches_of, prove, proved, stored, walk_heads};
use crate::storage::journal::index::Run;
use crate::storage::journal::position::Place;
use crate::storage::journal::segment::Segment;
use bytes::Bytes;
use callboard_actors::ports::{Part, ReadRequest, Slices};
use callboard_core::records::{self, BatchHead};
use callboard_core::{Lsn, Offset};
use std::sync::Arc;

/// A shorter stretch is copied, because a call to send it would cost more. Bytes.
const SENT_LEAST: u64 = 16 * 1024;

/// The place of a stretch's bytes.
pub enum At {
    Memory(Bytes),
    /// In the journal, not settled.
    Run(Arc<Segment>, Lsn),
    /// In the journal, settled: a row proves them.
    Settled(Arc<Segment>, Place),
}

/// A stretch of whole batches.
pub struct Source {
    pub base: Offset,
    /// Batches that begin here or above do not count.
    pub next: Offset,
    /// Whether there may be such batches.
    pub clipped: bool,
    pub length: u64,
    pub home: At,
}

impl Source {
    /// A run of the index.
    #[must_use]
    pub fn of_run(segment: Arc<Segment>, run: &Run) -> Source {
        // A truncation lowers `next` and leaves the length, so only the heads tell whether there was one.
        let length = u64::from(run.length);
        Source { base: run.base, next: run.next, clipped: true, length, home: At::Run(segment, run.at) }
    }
}

/// Takes from these stretches the batches that were asked for.
pub fn gather(sources: Vec<Source>, request: &ReadRequest) -> Result<Slices, ShardFault> {
    let mut taking = Taking {
        from: request.from,
        until: request.until,
        max: request.max_bytes as u64,
        slices: Slices { next: request.from, ..Slices::default() },
    };
    for source in sources {
        let (segment, at) = match &source.home {
            At::Memory(bytes) => {
                if taking.bytes(batches_of(bytes)?, source.next) {
                    break;
                }
                continue;
            }
            At::Run(segment, at) => (segment, *at),
            At::Settled(segment, place) => (segment, place.at),
        };
        let full = if source.length < SENT_LEAST {
            let batches = match &source.home {
                At::Settled(segment, place) => proved(segment, source.base, place, source.length)?,
                _ => batches_of(&segment.read(at, source.length as usize)?)?,
            };
            taking.bytes(batches, source.next)
        } else {
            let (at, length, full) = taking.cut(segment, at, &source)?;
            if length > 0 {
                taking.slices.parts.push(part(segment, at, length, &source, request.files)?);
            }
            full
        };
        if full {
            break;
        }
    }
    Ok(taking.slices)
}

/// So many bytes of a large stretch: as a file, or read.
fn part(
    segment: &Arc<Segment>,
    at: Lsn,
    length: usize,
    source: &Source,
    files: bool,
) -> Result<Part, ShardFault> {
    if files && let Some(range) = segment.range(at, length)? {
        return Ok(Part::File(range));
    }
    let bytes = match &source.home {
        At::Settled(segment, place) if length as u64 == source.length => {
            let bytes = segment.read(at, length)?;
            prove(&bytes, source.base, place)?;
            bytes
        }
        At::Settled(segment, _) => {
            let bytes = segment.read(at, length)?;
            for (batch, _) in batches_of(&bytes)? {
                records::verify(&batch).map_err(stored)?;
            }
            bytes
        }
        _ => segment.read(at, length)?,
    };
    Ok(Part::Bytes(bytes))
}

struct Taking {
    from: Offset,
    until: Offset,
    max: u64,
    slices: Slices,
}

impl Taking {
    /// Whether a batch is taken, is passed over, or is one too many.
    fn judge(&self, head: &BatchHead, taken: u64, next: Offset) -> Verdict {
        let bytes = self.slices.bytes as u64 + taken;
        if head.next_offset() <= self.from {
            Verdict::Below
        } else if head.base_offset >= next {
            Verdict::Behind
        } else if head.base_offset >= self.until || (bytes > 0 && bytes + u64::from(head.size) > self.max) {
            Verdict::Full
        } else {
            Verdict::Comes
        }
    }

    /// Takes batches that are in memory. Returns whether nothing more is to be taken.
    fn bytes(&mut self, batches: Vec<(Bytes, BatchHead)>, next: Offset) -> bool {
        for (bytes, head) in batches {
            match self.judge(&head, 0, next) {
                Verdict::Below => {}
                Verdict::Behind => return false,
                Verdict::Full => return true,
                Verdict::Comes => {
                    self.slices.bytes += bytes.len();
                    self.slices.next = head.next_offset();
                    self.slices.parts.push(Part::Bytes(bytes));
                }
            }
        }
        false
    }

    /// Where in a stretch to begin, how many bytes to take, and whether nothing more is to be taken.
    fn cut(&mut self, segment: &Segment, at: Lsn, source: &Source) -> Result<(Lsn, usize, bool), ShardFault> {
        let fits = self.slices.bytes as u64 + source.length <= self.max;
        let whole = !source.clipped && source.base >= self.from && source.next <= self.until && fits;
        if whole {
            self.slices.bytes += source.length as usize;
            self.slices.next = source.next;
            return Ok((at, source.length as usize, false));
        }
        let (mut begin, mut taken, mut full) = (at, 0, false);
        for found in walk_heads(segment, at, source.length as u32) {
            let found = found?;
            match self.judge(&found.head, taken, source.next) {
                Verdict::Below => begin = Lsn(found.at.0 + u64::from(found.head.size)),
                Verdict::Behind => break,
                Verdict::Full => {
                    full = true;
                    break;
                }
                Verdict::Comes => {
                    taken += u64::from(found.head.size);
                    self.slices.next = found.head.next_offset();
                }
            }
        }
        self.slices.bytes += taken as usize;
        Ok((begin, taken as usize, full))
    }
}

enum Verdict {
    Below,
    Behind,
    Full,
    Comes,
}
