//! Walks over a batch's records and keeps none of them: it follows every length to its end, and copies no byte out.
//!
//! ```text
//!   Plain   the payload as it lies                              ─┐
//!   Packed  Unpack ─> buffer of 32 KiB, filled as it is walked  ─┴─> skim: length, times, key, value, headers
//! ```
//!
//! So a batch costs a window and a buffer, whatever it unpacks to, and the walk ends at the cap. `iter.rs` is for
//! callers that need the records.

use super::unpack::Unpack;
use super::varint;
use super::{BatchHead, Compression, HEAD_BYTES, RecordsError};
use std::io::Read;

/// Bytes of the buffer behind a decompressor.
const BUFFER: usize = 32 * 1024;
/// The most bytes of a record up to the length of its key: length, attributes, timestamp, offset and key length, 5
/// + 1 + 10 + 5 + 5.
const FIRST: usize = 26;
/// The most bytes of one further length.
const NUMBER: usize = 5;
const BEYOND: RecordsError = RecordsError::Invalid("a length beyond the record's end");

/// A source of the bytes of records.
pub(super) trait Source {
    /// The next bytes: `want` of them or more, and fewer only at the end.
    fn window(&mut self, want: usize) -> Result<&[u8], RecordsError>;
    /// Passes over bytes of the last window.
    fn consume(&mut self, bytes: usize);
    /// Passes over bytes, also behind the window.
    fn skip(&mut self, bytes: usize) -> Result<(), RecordsError>;
    /// Checks, behind the last record, that no byte follows and that compressed bytes were whole.
    fn end(&mut self) -> Result<(), RecordsError>;
}

/// Offset and time of one record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skimmed {
    pub offset_delta: i32,
    pub timestamp: i64,
}

/// Passes over the next record.
pub(super) fn skim(source: &mut impl Source, head: &BatchHead) -> Result<Skimmed, RecordsError> {
    let window = source.window(FIRST)?;
    let (mut rest, have) = (window, window.len());
    let length = varint::int(&mut rest)?;
    let body = rest.len();
    let (_attributes, more) = rest.split_first().ok_or(RecordsError::Invalid("an empty record"))?;
    rest = more;
    let timestamp_delta = varint::long(&mut rest)?;
    let offset_delta = varint::int(&mut rest)?;
    let key = varint::int(&mut rest)?;
    let mut left = i64::from(length) - (body - rest.len()) as i64;
    let used = have - rest.len();
    source.consume(used);
    if left < 0 {
        return Err(RecordsError::Invalid("a record's length does not hold its fields"));
    }
    if offset_delta < 0 || offset_delta > head.last_offset_delta {
        return Err(RecordsError::Invalid("a record's offset delta is outside the batch"));
    }
    field(source, &mut left, key)?;
    let value = number(source, &mut left)?;
    field(source, &mut left, value)?;
    headers(source, &mut left)?;
    if left != 0 {
        return Err(RecordsError::Invalid("a record is longer than its fields"));
    }
    let timestamp = match head.is_log_append_time() {
        true => head.max_timestamp,
        false => head.base_timestamp.wrapping_add(timestamp_delta),
    };
    Ok(Skimmed { offset_delta, timestamp })
}

fn headers(source: &mut impl Source, left: &mut i64) -> Result<(), RecordsError> {
    let count = number(source, left)?;
    if count < 0 {
        return Err(RecordsError::Invalid("a negative number of headers"));
    }
    // A header takes two bytes at least.
    if i64::from(count) > *left / 2 {
        return Err(RecordsError::Invalid("more headers than bytes for them"));
    }
    for _ in 0..count {
        let key = number(source, left)?;
        if key < 0 {
            return Err(RecordsError::Invalid("a header without a key"));
        }
        field(source, left, key)?;
        let value = number(source, left)?;
        field(source, left, value)?;
    }
    Ok(())
}

fn number(source: &mut impl Source, left: &mut i64) -> Result<i32, RecordsError> {
    let mut rest = source.window(NUMBER)?;
    let have = rest.len();
    let number = varint::int(&mut rest)?;
    let used = have - rest.len();
    source.consume(used);
    *left -= used as i64;
    if *left < 0 { Err(BEYOND) } else { Ok(number) }
}

/// Passes over a field of the record; −1 is null.
fn field(source: &mut impl Source, left: &mut i64, length: i32) -> Result<(), RecordsError> {
    if length == -1 {
        return Ok(());
    }
    let bytes = usize::try_from(length).map_err(|_| RecordsError::Invalid("a negative length"))?;
    *left -= i64::from(length);
    if *left < 0 { Err(BEYOND) } else { source.skip(bytes) }
}

/// Plain records, as they lie in the batch.
pub(super) struct Plain<'a>(&'a [u8]);

impl Source for Plain<'_> {
    fn window(&mut self, _want: usize) -> Result<&[u8], RecordsError> {
        Ok(self.0)
    }

    fn consume(&mut self, bytes: usize) {
        self.0 = self.0.get(bytes..).unwrap_or_default();
    }

    fn skip(&mut self, bytes: usize) -> Result<(), RecordsError> {
        self.0 = self.0.get(bytes..).ok_or(BEYOND)?;
        Ok(())
    }

    fn end(&mut self) -> Result<(), RecordsError> {
        if self.0.is_empty() { Ok(()) } else { Err(BEHIND) }
    }
}

const BEHIND: RecordsError = RecordsError::Invalid("bytes after the last record");

/// Records that are unpacked as they are walked.
pub(super) struct Packed<'a> {
    unpack: Unpack<'a>,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    cap: usize,
    /// Bytes that may still come out.
    left: usize,
    dry: bool,
}

impl Packed<'_> {
    /// Unpacks at least one more byte; false at the end.
    fn more(&mut self) -> Result<bool, RecordsError> {
        if self.dry {
            return Ok(false);
        }
        self.buffer.copy_within(self.at..self.end, 0);
        (self.at, self.end) = (0, self.end - self.at);
        let room = (self.buffer.len() - self.end).min(self.left);
        let mut one = [0];
        let space = if self.left == 0 { &mut one[..] } else { &mut self.buffer[self.end..self.end + room] };
        let read = self.unpack.read(space).map_err(|e| Unpack::failed(&e, self.cap))?;
        self.dry = read == 0;
        if read > 0 && self.left == 0 {
            return Err(RecordsError::Bomb(self.cap));
        }
        self.end += read;
        self.left -= read;
        Ok(read > 0)
    }

    fn unpacked(&self) -> usize {
        self.cap - self.left
    }
}

impl Source for Packed<'_> {
    fn window(&mut self, want: usize) -> Result<&[u8], RecordsError> {
        while self.end - self.at < want && self.more()? {}
        Ok(&self.buffer[self.at..self.end])
    }

    fn consume(&mut self, bytes: usize) {
        self.at = self.end.min(self.at + bytes);
    }

    fn skip(&mut self, mut bytes: usize) -> Result<(), RecordsError> {
        loop {
            let there = bytes.min(self.end - self.at);
            self.at += there;
            bytes -= there;
            if bytes == 0 {
                return Ok(());
            }
            if !self.more()? {
                return Err(RecordsError::Invalid("a record is cut short"));
            }
        }
    }

    fn end(&mut self) -> Result<(), RecordsError> {
        if self.at < self.end || self.more()? {
            return Err(BEHIND);
        }
        self.unpack.end()
    }
}

/// The records of a batch, plain or compressed.
pub(super) enum Payload<'a> {
    Plain(Plain<'a>),
    Packed(Packed<'a>),
}

impl<'a> Payload<'a> {
    /// Opens the records of a batch; at most `cap` bytes are unpacked.
    pub fn open(batch: &'a [u8], head: &BatchHead, cap: usize) -> Result<Payload<'a>, RecordsError> {
        let bytes = batch
            .get(HEAD_BYTES..head.size as usize)
            .ok_or(RecordsError::Truncated { need: head.size as usize, have: batch.len() })?;
        let codec = Compression::of(head.codec())?;
        if codec == Compression::None {
            return Ok(Payload::Plain(Plain(bytes)));
        }
        let unpack = Unpack::open(codec, bytes, cap)?;
        let cap = unpack.bound(cap);
        let buffer = vec![0; BUFFER];
        Ok(Payload::Packed(Packed { unpack, buffer, at: 0, end: 0, cap, left: cap, dry: false }))
    }

    /// Passes over the next record of this batch.
    pub fn skim(&mut self, head: &BatchHead) -> Result<Skimmed, RecordsError> {
        match self {
            Payload::Plain(plain) => skim(plain, head),
            Payload::Packed(packed) => skim(packed, head),
        }
    }

    /// Bytes that were unpacked so far; 0 for plain records.
    pub fn unpacked(&self) -> usize {
        match self {
            Payload::Plain(_) => 0,
            Payload::Packed(packed) => packed.unpacked(),
        }
    }
}
