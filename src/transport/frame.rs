//! Frames of replication: a small archive that says what each stretch of raw batches is.
//!
//! ```text
//!   | u32 meta length | u32 payload length | meta (rkyv) ............................... | payload: raw batches |
//!   └──── little endian, 8 bytes ──────────┘ items | version u16 | kind u8 | where items │ part │ part │ … │
//!                                                  └─ the last 11 bytes, the archive's root ─┘
//! ```
//!
//! Batches stay outside the archive, so a sender hands over the `Bytes` that it has, and a receiver slices its buffer.
//! All numbers of an archive are unaligned and little endian (features of rkyv), so it is read in place, wherever it lies.
//!
//! A receiver checks both lengths before it takes memory ([`Lengths::read`]), then validates the archive ([`open`]). A frame
//! that passed is consistent in itself: version, count, exact length, and the sum of bytes. Whether a stretch holds whole
//! batches that follow the log is not checked here.
//!
//! The root's 11 bytes never change, so each version can refuse any other by name. The hello of a connection agrees on one.

use bytes::Bytes;
use rkyv::rancor;
use rkyv::{Archive, Serialize};
use std::mem::{align_of, size_of, take};

/// Version of the archives below. A changed or added field is a new version.
pub const VERSION: u16 = 1;
/// Bytes of the two lengths.
pub const HEADER: usize = 8;
/// Payload of a frame at most, unless it is one larger batch.
pub const PAYLOAD: usize = 256 << 10;
/// Largest batch (`limits::MESSAGE_MAX_BYTES_CEILING`), and so the largest payload.
pub const PAYLOAD_MAX: usize = 32 << 20;
/// Parts, acks and so on in one frame at most.
pub const ITEMS_MAX: usize = 1024;
/// Bytes of the archive's root.
pub const ROOT: usize = 11;
/// The largest archive: the most items of the largest kind.
pub const META_MAX: usize = ROOT + ITEMS_MAX * size_of::<ArchivedPosition>();

/// The subscription that a message about a partition belongs to. A message of another pair (leader epoch, n) is dropped.
#[derive(Archive, Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[rkyv(derive(Debug))]
pub struct Subject {
    pub topic: [u8; 16],
    pub partition: i32,
    pub leader_epoch: i32,
    /// Number of the Position that the leader accepted.
    pub n: u64,
}

/// The end of a log: its last epoch, and the offset behind its last record.
#[derive(Archive, Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[rkyv(derive(Debug))]
pub struct LogEnd {
    pub epoch: i32,
    pub offset: i64,
}

impl LogEnd {
    /// In a part: start at the log start, whatever you have.
    pub const NONE: LogEnd = LogEnd { epoch: -1, offset: -1 };
}

/// Leader to follower: a stretch of one log. Without bytes it only moves high watermark and log start.
#[derive(Archive, Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[rkyv(derive(Debug))]
pub struct Part {
    pub subject: Subject,
    /// The end that the follower's log has, if this part follows it.
    pub previous: LogEnd,
    pub high_watermark: i64,
    pub log_start: i64,
    /// Bytes of payload, directly behind those of the part before.
    pub bytes: u32,
}

/// Leader to follower: the follower's last epoch ends here in the leader's log.
#[derive(Archive, Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[rkyv(derive(Debug))]
pub struct Diverge {
    pub subject: Subject,
    pub end: LogEnd,
}

/// Leader to follower: this Position is not accepted.
#[derive(Archive, Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[rkyv(derive(Debug))]
pub struct Refused {
    pub subject: Subject,
    /// A code; one that the receiver does not know is a refusal too.
    pub why: u16,
}

/// Follower to leader: where a replica stands, and that it is ready.
#[derive(Archive, Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[rkyv(derive(Debug))]
pub struct Position {
    pub subject: Subject,
    pub end: LogEnd,
    pub written: i64,
    pub synced: i64,
    pub log_start: i64,
}

/// Follower to leader: how far a replica has come.
#[derive(Archive, Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[rkyv(derive(Debug))]
pub struct Ack {
    pub subject: Subject,
    pub written: i64,
    pub synced: i64,
    pub log_start: i64,
}

/// The items of a frame, all of one kind. The tag of this enum is the frame's kind.
#[derive(Archive, Serialize, Clone, PartialEq, Eq, Debug)]
#[rkyv(derive(Debug))]
pub enum Items {
    Parts(Vec<Part>),
    Diverge(Vec<Diverge>),
    Refused(Vec<Refused>),
    Positions(Vec<Position>),
    Acks(Vec<Ack>),
}

/// The archive's root, which is at its end and has the same bytes in every version.
#[derive(Archive, Serialize, Clone, PartialEq, Eq, Debug)]
#[rkyv(derive(Debug))]
pub struct Meta {
    pub version: u16,
    pub items: Items,
}

const _: () = {
    assert!(size_of::<ArchivedSubject>() == 32 && size_of::<ArchivedLogEnd>() == 12);
    assert!(size_of::<ArchivedPart>() == 64 && align_of::<ArchivedPart>() == 1);
    assert!(size_of::<ArchivedDiverge>() == 44 && align_of::<ArchivedDiverge>() == 1);
    assert!(size_of::<ArchivedRefused>() == 34 && align_of::<ArchivedRefused>() == 1);
    assert!(size_of::<ArchivedPosition>() == 68 && align_of::<ArchivedPosition>() == 1);
    assert!(size_of::<ArchivedAck>() == 56 && align_of::<ArchivedAck>() == 1);
    assert!(size_of::<ArchivedItems>() == 9 && align_of::<ArchivedItems>() == 1);
    assert!(size_of::<ArchivedMeta>() == ROOT && align_of::<ArchivedMeta>() == 1);
    assert!(META_MAX + PAYLOAD_MAX <= u32::MAX as usize);
};

/// Why bytes are no frame, or parts make none. Whoever sent such a frame is not to be trusted with the stream's rest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a meta of {0} bytes: between {ROOT} and {META_MAX} are allowed")]
    Meta(u64),
    #[error("a payload of {0} bytes: at most {PAYLOAD_MAX} are allowed")]
    Payload(u64),
    #[error("{have} bytes where lengths announce {need}")]
    Cut { need: usize, have: usize },
    #[error("version {0} where {VERSION} is spoken")]
    Version(u16),
    #[error("no sound archive: {0}")]
    Archive(String),
    #[error("{0} items: between 1 and {ITEMS_MAX} are allowed")]
    Count(usize),
    #[error("an archive of {have} bytes where its items take {need}")]
    Slack { need: usize, have: usize },
    #[error("parts of {parts} bytes over a payload of {payload}")]
    Sum { parts: u64, payload: usize },
    #[error("a payload above {PAYLOAD} bytes is one batch of one part")]
    Shared,
    #[error("a batch before its part")]
    NoPart,
}

/// The two lengths of a frame, within their bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lengths {
    meta: usize,
    payload: usize,
}

impl Lengths {
    /// Reads the first bytes of a frame. An impossible length ends here, before memory is taken for it.
    pub fn read(header: [u8; HEADER]) -> Result<Lengths, FrameError> {
        let both = u64::from_le_bytes(header);
        let (meta, payload) = (both & u64::from(u32::MAX), both >> 32);
        let meta_fits = usize::try_from(meta).ok().filter(|n| (ROOT..=META_MAX).contains(n));
        let payload_fits = usize::try_from(payload).ok().filter(|n| *n <= PAYLOAD_MAX);
        Ok(Lengths {
            meta: meta_fits.ok_or(FrameError::Meta(meta))?,
            payload: payload_fits.ok_or(FrameError::Payload(payload))?,
        })
    }

    /// Bytes that follow the header: what a receiver takes a permit and a buffer for.
    #[must_use]
    pub fn body(&self) -> usize {
        self.meta + self.payload
    }

    /// Bytes of batches behind the archive.
    #[must_use]
    pub fn payload(&self) -> usize {
        self.payload
    }
}

/// The items of a received frame, validated and in place.
#[derive(Debug)]
pub enum Opened<'a> {
    Parts(Parts<'a>),
    Diverge(&'a [ArchivedDiverge]),
    Refused(&'a [ArchivedRefused]),
    Positions(&'a [ArchivedPosition]),
    Acks(&'a [ArchivedAck]),
}

/// Parts with their bytes, in order.
#[derive(Debug)]
pub struct Parts<'a> {
    left: std::slice::Iter<'a, ArchivedPart>,
    body: &'a Bytes,
    at: usize,
}

impl<'a> Iterator for Parts<'a> {
    type Item = (&'a ArchivedPart, Bytes);

    /// A slice of the frame's buffer is no copy. `open` proved that all slices lie in it.
    fn next(&mut self) -> Option<Self::Item> {
        let part = self.left.next()?;
        let end = self.at + part.bytes.to_native() as usize;
        let bytes = self.body.slice(self.at..end);
        self.at = end;
        Some((part, bytes))
    }
}

impl ArchivedPart {
    /// The end that this part follows; none starts the log anew at the log start.
    #[must_use]
    pub fn previous(&self) -> Option<LogEnd> {
        let end = self.previous.to_native();
        (end != LogEnd::NONE).then_some(end)
    }
}

impl ArchivedLogEnd {
    /// A copy with this machine's numbers.
    #[must_use]
    pub fn to_native(&self) -> LogEnd {
        LogEnd { epoch: self.epoch.to_native(), offset: self.offset.to_native() }
    }
}

impl ArchivedSubject {
    /// A copy with this machine's numbers.
    #[must_use]
    pub fn to_native(&self) -> Subject {
        Subject {
            topic: self.topic,
            partition: self.partition.to_native(),
            leader_epoch: self.leader_epoch.to_native(),
            n: self.n.to_native(),
        }
    }
}

/// Validates what follows a header, and gives its items in place.
pub fn open<'a>(lengths: Lengths, body: &'a Bytes) -> Result<Opened<'a>, FrameError> {
    let cut = FrameError::Cut { need: lengths.body(), have: body.len() };
    let meta = body.get(..lengths.meta).filter(|_| body.len() == lengths.body()).ok_or(cut)?;
    let root = meta.last_chunk::<ROOT>().ok_or(FrameError::Meta(meta.len() as u64))?;
    let version = u16::from_le_bytes([root[0], root[1]]);
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    let archive = rkyv::access::<ArchivedMeta, rancor::Error>(meta)
        .map_err(|error| FrameError::Archive(error.to_string()))?;
    let items = |count, size| counted(count, size, meta.len());
    let (opened, bytes) = match &archive.items {
        ArchivedItems::Parts(parts) => {
            items(parts.len(), size_of::<ArchivedPart>())?;
            let left = parts.as_slice();
            one_batch(left.iter().map(|part| part.bytes.to_native() as usize), lengths.payload)?;
            let bytes = left.iter().map(|part| u64::from(part.bytes.to_native())).sum();
            (Opened::Parts(Parts { left: left.iter(), body, at: lengths.meta }), bytes)
        }
        ArchivedItems::Diverge(all) => {
            items(all.len(), size_of::<ArchivedDiverge>())?;
            (Opened::Diverge(all.as_slice()), 0)
        }
        ArchivedItems::Refused(all) => {
            items(all.len(), size_of::<ArchivedRefused>())?;
            (Opened::Refused(all.as_slice()), 0)
        }
        ArchivedItems::Positions(all) => {
            items(all.len(), size_of::<ArchivedPosition>())?;
            (Opened::Positions(all.as_slice()), 0)
        }
        ArchivedItems::Acks(all) => {
            items(all.len(), size_of::<ArchivedAck>())?;
            (Opened::Acks(all.as_slice()), 0)
        }
    };
    if bytes != lengths.payload as u64 {
        return Err(FrameError::Sum { parts: bytes, payload: lengths.payload });
    }
    Ok(opened)
}

/// An archive holds its items, its root and nothing else.
fn counted(count: usize, size: usize, have: usize) -> Result<(), FrameError> {
    if !(1..=ITEMS_MAX).contains(&count) {
        return Err(FrameError::Count(count));
    }
    let need = ROOT + count * size;
    if need == have { Ok(()) } else { Err(FrameError::Slack { need, have }) }
}

/// A payload above the usual bound belongs to one part. That it is one batch shows when the batch is read.
fn one_batch(parts: impl Iterator<Item = usize>, payload: usize) -> Result<(), FrameError> {
    let shared = payload > PAYLOAD && parts.filter(|bytes| *bytes > 0).nth(1).is_some();
    if shared { Err(FrameError::Shared) } else { Ok(()) }
}

/// Header and meta of a frame without payload.
pub fn encode(items: Items) -> Result<Bytes, FrameError> {
    head(&Meta { version: VERSION, items }, 0)
}

fn head(meta: &Meta, payload: usize) -> Result<Bytes, FrameError> {
    let (count, size) = match &meta.items {
        Items::Parts(all) => (all.len(), size_of::<ArchivedPart>()),
        Items::Diverge(all) => (all.len(), size_of::<ArchivedDiverge>()),
        Items::Refused(all) => (all.len(), size_of::<ArchivedRefused>()),
        Items::Positions(all) => (all.len(), size_of::<ArchivedPosition>()),
        Items::Acks(all) => (all.len(), size_of::<ArchivedAck>()),
    };
    let length = ROOT + count * size;
    counted(count, size, length)?;
    let mut bytes = Vec::with_capacity(HEADER + length);
    bytes.extend_from_slice(&(length as u32).to_le_bytes());
    bytes.extend_from_slice(&(payload as u32).to_le_bytes());
    // Pointers of an archive are relative, so the header in front does not move them.
    let bytes = rkyv::api::high::to_bytes_in::<_, rancor::Error>(meta, bytes)
        .map_err(|error| FrameError::Archive(error.to_string()))?;
    Ok(Bytes::from(bytes))
}

/// Gathers parts and their batches into frames within the bounds.
#[derive(Debug, Default)]
pub struct Packer {
    parts: Vec<Part>,
    /// The first place is the head's.
    chunks: Vec<Bytes>,
    payload: usize,
}

impl Packer {
    /// Whether one more part with a batch of so many bytes goes into this frame. A batch above the bound goes alone.
    #[must_use]
    pub fn takes(&self, bytes: usize) -> bool {
        self.parts.len() < ITEMS_MAX && (self.payload == 0 || self.payload + bytes <= PAYLOAD)
    }

    /// Begins a part; its bytes are counted as batches come.
    pub fn part(&mut self, part: Part) -> Result<(), FrameError> {
        if self.parts.len() == ITEMS_MAX {
            return Err(FrameError::Count(ITEMS_MAX + 1));
        }
        self.parts.push(Part { bytes: 0, ..part });
        Ok(())
    }

    /// Adds a batch to the part begun last.
    pub fn batch(&mut self, batch: Bytes) -> Result<(), FrameError> {
        let payload = self.payload + batch.len();
        if payload > PAYLOAD_MAX {
            return Err(FrameError::Payload(payload as u64));
        }
        if payload > PAYLOAD && self.payload > 0 {
            return Err(FrameError::Shared);
        }
        let part = self.parts.last_mut().ok_or(FrameError::NoPart)?;
        part.bytes += batch.len() as u32;
        self.payload = payload;
        if self.chunks.is_empty() {
            self.chunks.push(Bytes::new());
        }
        self.chunks.push(batch);
        Ok(())
    }

    /// Bytes of all batches so far.
    #[must_use]
    pub fn payload(&self) -> usize {
        self.payload
    }

    /// Number of parts so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether no part was begun.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The frame, for `write_all_chunks`. The packer is empty afterwards.
    pub fn finish(&mut self) -> Result<Vec<Bytes>, FrameError> {
        let meta = Meta { version: VERSION, items: Items::Parts(take(&mut self.parts)) };
        let (mut chunks, payload) = (take(&mut self.chunks), take(&mut self.payload));
        let head = head(&meta, payload)?;
        match chunks.first_mut() {
            Some(first) => *first = head,
            None => chunks.push(head),
        }
        Ok(chunks)
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
