//! Reads the records of one batch, through a decompressor with a cap on its bytes.
//!
//! Plain records are borrowed from the batch; compressed ones are unpacked once, never beyond the cap. `walk.rs` is
//! for callers that need no record.

use super::unpack::Unpack;
use super::{BatchHead, Compression, HEAD_BYTES, RecordsError, head, varint};
use std::borrow::Cow;
use std::io::Read;

/// One header of a record. Keys may repeat; their order is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// A record, borrowed from its batch or from the unpacked bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    pub offset: i64,
    /// The record's own, or the batch's where that is `LogAppendTime`.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<Header<'a>>,
}

/// The records of one batch, unpacked.
#[derive(Debug)]
pub struct Records<'a> {
    head: BatchHead,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Records<'a> {
    /// Unpacks the first batch of `batch` to at most `cap` bytes. The CRC is not checked.
    pub fn open(batch: &'a [u8], cap: usize) -> Result<Records<'a>, RecordsError> {
        let head = head(batch)?;
        let packed = &batch[HEAD_BYTES..head.size as usize];
        let codec = Compression::of(head.codec())?;
        if codec == Compression::None {
            return Ok(Records { head, bytes: Cow::Borrowed(packed) });
        }
        let mut out = Vec::new();
        let mut unpack = Unpack::open(codec, packed, cap)?;
        let read = unpack.by_ref().take(cap as u64 + 1).read_to_end(&mut out);
        read.map_err(|e| Unpack::failed(&e, cap))?;
        if out.len() > cap {
            return Err(RecordsError::Bomb(cap));
        }
        unpack.end()?;
        Ok(Records { head, bytes: Cow::Owned(out) })
    }

    /// Walks the records in order, and ends after the first error. It gives exactly as many as the head says, or an
    /// error.
    pub fn iter(&self) -> impl Iterator<Item = Result<Record<'_>, RecordsError>> {
        let mut rest: &[u8] = &self.bytes;
        let mut left = self.head.records;
        let mut done = false;
        std::iter::from_fn(move || {
            if done {
                return None;
            }
            if left <= 0 {
                done = true;
                return (!rest.is_empty())
                    .then_some(Err(RecordsError::Invalid("bytes after the last record")));
            }
            left -= 1;
            let record = take(&mut rest, &self.head);
            done = record.is_err();
            Some(record)
        })
    }
}

/// Takes one record off the front.
fn take<'a>(rest: &mut &'a [u8], head: &BatchHead) -> Result<Record<'a>, RecordsError> {
    let length = varint::int(rest)?;
    let mut body = bytes_of(rest, length)?.ok_or(RecordsError::Invalid("a record of negative length"))?;
    let body = &mut body;
    let (_attributes, more) = body.split_first().ok_or(RecordsError::Invalid("an empty record"))?;
    *body = more;
    let timestamp_delta = varint::long(body)?;
    let offset_delta = varint::int(body)?;
    if offset_delta < 0 || offset_delta > head.last_offset_delta {
        return Err(RecordsError::Invalid("a record's offset delta is outside the batch"));
    }
    let key_length = varint::int(body)?;
    let key = bytes_of(body, key_length)?;
    let value_length = varint::int(body)?;
    let value = bytes_of(body, value_length)?;
    let headers = headers_of(body)?;
    if !body.is_empty() {
        return Err(RecordsError::Invalid("a record is longer than its fields"));
    }
    let timestamp = if head.is_log_append_time() {
        head.max_timestamp
    } else {
        head.base_timestamp.wrapping_add(timestamp_delta)
    };
    Ok(Record {
        offset: head.base_offset.saturating_add(offset_delta.into()),
        timestamp,
        key,
        value,
        headers,
    })
}

fn headers_of<'a>(body: &mut &'a [u8]) -> Result<Vec<Header<'a>>, RecordsError> {
    let count = varint::int(body)?;
    // A header takes two bytes at least, so no more can follow.
    let count = usize::try_from(count).map_err(|_| RecordsError::Invalid("a negative number of headers"))?;
    if count > body.len() / 2 {
        return Err(RecordsError::Invalid("more headers than bytes for them"));
    }
    let mut headers = Vec::with_capacity(count);
    for _ in 0..count {
        let key_length = varint::int(body)?;
        let key = bytes_of(body, key_length)?.ok_or(RecordsError::Invalid("a header without a key"))?;
        let value_length = varint::int(body)?;
        headers.push(Header { key, value: bytes_of(body, value_length)? });
    }
    Ok(headers)
}

/// Takes so many bytes off the front; −1 is null.
fn bytes_of<'a>(rest: &mut &'a [u8], length: i32) -> Result<Option<&'a [u8]>, RecordsError> {
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| RecordsError::Invalid("a negative length"))?;
    let taken = rest.get(..length).ok_or(RecordsError::Invalid("a length beyond the record's end"))?;
    *rest = &rest[length..];
    Ok(Some(taken))
}
