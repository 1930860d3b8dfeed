//! Offsets and timestamps of a batch's records, and nothing else of them, for look-ups by time.

use super::walk::Payload;
use super::{BatchHead, RecordsError, head};

/// Walks them in order; ends after the first error. Beyond the cap it is [`RecordsError::Bomb`].
pub struct Times<'a> {
    head: BatchHead,
    payload: Payload<'a>,
    left: i32,
}

impl<'a> Times<'a> {
    /// Of the first batch of `batch`; at most `cap` bytes are unpacked. The CRC is not checked here.
    pub fn open(batch: &'a [u8], cap: usize) -> Result<Times<'a>, RecordsError> {
        let head = head(batch)?;
        Ok(Times { left: head.records, payload: Payload::open(batch, &head, cap)?, head })
    }

    /// Bytes unpacked so far; none of records that lie open.
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
