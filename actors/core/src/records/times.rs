//! Reads the offsets and timestamps of a batch's records, and no more of them, for look-ups by time.

use super::walk::Payload;
use super::{BatchHead, RecordsError, head};

/// A walk over offsets and timestamps. It ends after the first error; beyond the cap that is
/// [`RecordsError::Bomb`].
pub struct Times<'a> {
    head: BatchHead,
    payload: Payload<'a>,
    left: i32,
}

impl<'a> Times<'a> {
    /// Opens the first batch of `batch`; at most `cap` bytes are unpacked. The CRC is not checked.
    pub fn open(batch: &'a [u8], cap: usize) -> Result<Times<'a>, RecordsError> {
        let head = head(batch)?;
        Ok(Times { left: head.records, payload: Payload::open(batch, &head, cap)?, head })
    }

    /// Bytes that were unpacked so far; 0 for plain records.
    #[must_use]
    pub fn unpacked(&self) -> usize {
        self.payload.unpacked()
    }
}

impl Iterator for Times<'_> {
    type Item = Result<(i64, i64), RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let record = self.payload.skim(&self.head);
        if record.is_err() {
            self.left = 0;
        }
        let base = self.head.base_offset;
        Some(record.map(|r| (base.saturating_add(r.offset_delta.into()), r.timestamp)))
    }
}
