//! Offsets and timestamps of a batch's records, and nothing else of them: read out of the decompressor as it goes.
//!
//! What comes out is not kept, so a batch that opens to much costs a window and a buffer, however small its records are;
//! and it ends at the cap. `iter.rs` is for whoever needs the records themselves.

use super::{BatchHead, Compression, HEAD_BYTES, RecordsError, head};
use std::io::{BufRead, BufReader, Read, Take};

/// Buffer behind the decompressor.
const BUFFER: usize = 16 * 1024;
/// A block of a codec without a stream (snappy's) at most: as large as the largest window.
const BLOCK_MAX: usize = 32 << 20;

/// Walks them in order; ends after the first error. Beyond the cap it is [`RecordsError::Bomb`].
pub struct Times<'a> {
    head: BatchHead,
    reader: BufReader<Take<Box<dyn Read + 'a>>>,
    cap: usize,
    left: i32,
}

impl<'a> Times<'a> {
    /// Of the first batch of `batch`; at most `cap` bytes are unpacked. The CRC is not checked here.
    pub fn open(batch: &'a [u8], cap: usize) -> Result<Times<'a>, RecordsError> {
        let head = head(batch)?;
        let packed = &batch[HEAD_BYTES..head.size as usize];
        let reader = Compression::of(head.codec())?.reader(packed, cap.min(BLOCK_MAX))?;
        let reader = BufReader::with_capacity(BUFFER, reader.take(cap as u64));
        Ok(Times { left: head.records, head, reader, cap })
    }

    /// Bytes unpacked so far.
    #[must_use]
    pub fn unpacked(&self) -> usize {
        self.cap - self.reader.get_ref().limit() as usize
    }

    /// A byte; what ends early ended at the cap, or by its sender's fault.
    fn byte(&mut self) -> Result<u8, RecordsError> {
        let buffer = self.reader.fill_buf().map_err(|e| RecordsError::Decompress(e.to_string()))?;
        let Some(byte) = buffer.first().copied() else {
            return Err(match self.reader.get_ref().limit() {
                0 => RecordsError::Bomb(self.cap),
                _ => RecordsError::Invalid("a record is cut short"),
            });
        };
        self.reader.consume(1);
        Ok(byte)
    }

    /// A zig-zag varint, and how many bytes it took.
    fn number(&mut self) -> Result<(i64, i64), RecordsError> {
        let mut raw = 0u64;
        for i in 0..10 {
            let byte = self.byte()?;
            raw |= u64::from(byte & 0x7f).wrapping_shl(7 * i);
            if byte & 0x80 == 0 {
                return Ok((((raw >> 1) as i64) ^ -((raw & 1) as i64), i64::from(i) + 1));
            }
        }
        Err(RecordsError::Invalid("a number is longer than its type"))
    }

    fn skip(&mut self, mut bytes: i64) -> Result<(), RecordsError> {
        while bytes > 0 {
            let there = self.reader.fill_buf().map_err(|e| RecordsError::Decompress(e.to_string()))?.len();
            let step = usize::try_from(bytes).unwrap_or(usize::MAX).min(there);
            if step == 0 {
                return self.byte().map(drop);
            }
            self.reader.consume(step);
            bytes -= step as i64;
        }
        Ok(())
    }

    fn record(&mut self) -> Result<(i64, i64), RecordsError> {
        let (length, _) = self.number()?;
        let _attributes = self.byte()?;
        let (timestamp_delta, a) = self.number()?;
        let (offset_delta, b) = self.number()?;
        let rest = length - 1 - a - b;
        if rest < 0 || length > i64::from(i32::MAX) {
            return Err(RecordsError::Invalid("a record's length does not hold its fields"));
        }
        if !(0..=i64::from(self.head.last_offset_delta)).contains(&offset_delta) {
            return Err(RecordsError::Invalid("a record's offset delta is outside the batch"));
        }
        self.skip(rest)?;
        let timestamp = if self.head.is_log_append_time() {
            self.head.max_timestamp
        } else {
            self.head.base_timestamp.wrapping_add(timestamp_delta)
        };
        Ok((self.head.base_offset.saturating_add(offset_delta), timestamp))
    }
}

impl Iterator for Times<'_> {
    type Item = Result<(i64, i64), RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let record = self.record();
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}
