//! What a machine sees of a batch: 64 bytes, no payload.

/// The facts of one record batch that decisions are made on. Kafka's field names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BatchHead {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes of the whole batch, the 12 bytes before its length field's count included.
    pub size: u32,
    /// `last_offset_delta`: the batch covers `base_offset ..= base_offset + last_offset_delta`.
    pub last_offset_delta: i32,
    /// Records in it (fewer than the offsets it covers after compaction).
    pub records: i32,
    /// Leader epoch as stored in the batch.
    pub leader_epoch: i32,
    /// Attributes: compression (bits 0–2), timestamp type (3), transactional (4), control (5), delete horizon (6).
    pub attributes: i16,
    /// Producer epoch, −1 without idempotence.
    pub producer_epoch: i16,
    /// Producer id, −1 without idempotence.
    pub producer_id: i64,
    /// Sequence number of the first record, −1 without idempotence.
    pub base_sequence: i32,
    /// Largest timestamp in the batch.
    pub max_timestamp: i64,
    /// Timestamp the records' deltas are relative to.
    pub base_timestamp: i64,
}

impl BatchHead {
    /// The offset after the last one this batch covers.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta) + 1
    }

    /// Sequence number of the last record; sequence numbers wrap to 0 after `i32::MAX`.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        ((i64::from(self.base_sequence) + i64::from(self.last_offset_delta)) & i64::from(i32::MAX)) as i32
    }
}
