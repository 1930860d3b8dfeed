//! The head of a batch: the facts that decisions need, without its payload, and the few bytes that a broker may
//! change.

use super::RecordsError;

/// Bytes of a batch before its first record.
pub const HEAD_BYTES: usize = 61;
/// Least length of a batch: a record of the oldest format takes so much (Kafka: `LegacyRecord.RECORD_OVERHEAD_V0`).
const LENGTH_MIN: i32 = 14;
/// First byte that the CRC covers. Base offset, length, epoch, magic and the CRC itself stand before it.
pub const CRC_FROM: usize = 21;

/// The facts of one record batch, under Kafka's field names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BatchHead {
    pub base_offset: i64,
    /// Bytes of the whole batch, offset and length included.
    pub size: u32,
    /// `last_offset_delta`: the batch covers `base_offset ..= base_offset + last_offset_delta`.
    pub last_offset_delta: i32,
    /// Number of records; after compaction fewer than the offsets that it covers.
    pub records: i32,
    pub leader_epoch: i32,
    /// Attributes: compression (bits 0–2), timestamp type (3), transactional (4), control (5), delete horizon (6).
    pub attributes: i16,
    /// Producer epoch, −1 without idempotence.
    pub producer_epoch: i16,
    /// Producer id, −1 without idempotence.
    pub producer_id: i64,
    /// Sequence number of the first record, −1 without idempotence.
    pub base_sequence: i32,
    pub max_timestamp: i64,
    /// The timestamp that deltas of records are relative to.
    pub base_timestamp: i64,
}

impl BatchHead {
    /// The offset after the last one this batch covers; saturates.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta)).saturating_add(1)
    }

    /// Sequence number of the last record; sequence numbers wrap to 0 after `i32::MAX`.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        ((i64::from(self.base_sequence) + i64::from(self.last_offset_delta)) & i64::from(i32::MAX)) as i32
    }

    /// Compression bits, 0–7; [`Compression`](super::Compression) names those that exist.
    #[must_use]
    pub fn codec(&self) -> u8 {
        (self.attributes & 0x07) as u8
    }

    /// Whether timestamps are the broker's (`LogAppendTime`).
    #[must_use]
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & 0x08 != 0
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & 0x10 != 0
    }

    /// Whether the batch holds a commit or abort marker.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & 0x20 != 0
    }

    /// The head of the batch once the broker's time is in it (see [`set_log_append_time`]).
    #[must_use]
    pub fn at_log_append_time(self, timestamp: i64) -> BatchHead {
        BatchHead { attributes: self.attributes | 0x08, max_timestamp: timestamp, ..self }
    }

    /// The head of the batch with its producer's times, the largest of which is given (see [`set_create_time`]).
    #[must_use]
    pub fn at_create_time(self, max_timestamp: i64) -> BatchHead {
        BatchHead { attributes: self.attributes & !0x08, max_timestamp, ..self }
    }

    /// Whether it carries a producer id.
    #[must_use]
    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(from) = bytes.get(at..at + N) {
        out.copy_from_slice(from);
    }
    out
}

/// Parses the head of the first batch of `bytes`, and checks that the whole batch is there. The CRC is not checked.
pub fn head(bytes: &[u8]) -> Result<BatchHead, RecordsError> {
    let (head, have) = (peek(bytes)?, bytes.len());
    let need = head.size as usize;
    if need > have { Err(RecordsError::Truncated { need, have }) } else { Ok(head) }
}

/// Parses the head of a batch whose rest may be missing. The CRC is not checked.
pub fn peek(bytes: &[u8]) -> Result<BatchHead, RecordsError> {
    let have = bytes.len();
    // The magic comes first, because messages of older formats may be shorter than a head.
    if let Some(magic) = bytes.get(16).map(|b| *b as i8).filter(|magic| *magic != 2) {
        return Err(RecordsError::Magic(magic));
    }
    if have < HEAD_BYTES {
        return Err(RecordsError::Truncated { need: HEAD_BYTES, have });
    }
    let length = i32::from_be_bytes(array(bytes, 8));
    let size = match usize::try_from(length) {
        Ok(after) if length >= LENGTH_MIN => after + 12,
        _ => return Err(RecordsError::Length(length)),
    };
    if size < HEAD_BYTES {
        return Err(RecordsError::Invalid("shorter than its head"));
    }
    Ok(BatchHead {
        base_offset: i64::from_be_bytes(array(bytes, 0)),
        size: size as u32,
        leader_epoch: i32::from_be_bytes(array(bytes, 12)),
        attributes: i16::from_be_bytes(array(bytes, 21)),
        last_offset_delta: i32::from_be_bytes(array(bytes, 23)),
        base_timestamp: i64::from_be_bytes(array(bytes, 27)),
        max_timestamp: i64::from_be_bytes(array(bytes, 35)),
        producer_id: i64::from_be_bytes(array(bytes, 43)),
        producer_epoch: i16::from_be_bytes(array(bytes, 51)),
        base_sequence: i32::from_be_bytes(array(bytes, 53)),
        records: i32::from_be_bytes(array(bytes, 57)),
    })
}

/// Parses the first batch of `bytes` and checks its CRC32C.
pub fn verify(bytes: &[u8]) -> Result<BatchHead, RecordsError> {
    let head = head(bytes)?;
    let stored = u32::from_be_bytes(array(bytes, 17));
    let computed = crc32c::crc32c(&bytes[CRC_FROM..head.size as usize]);
    if stored != computed {
        return Err(RecordsError::Crc { stored, computed });
    }
    if head.last_offset_delta < 0 {
        return Err(RecordsError::Invalid("negative last offset delta"));
    }
    Ok(head)
}

/// Writes base offset and leader epoch, which the CRC does not cover. Bytes shorter than a head stay as they are.
pub fn patch(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    if batch.len() >= HEAD_BYTES {
        batch[0..8].copy_from_slice(&base_offset.to_be_bytes());
        batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
    }
}

/// Makes this batch's timestamps the broker's, and corrects its CRC. Bytes shorter than a head stay as they are.
pub fn set_log_append_time(batch: &mut [u8], timestamp: i64) {
    set_time(batch, timestamp, |attributes| attributes | 0x08);
}

/// Makes this batch's timestamps its producer's, writes the largest into its head, and corrects its CRC.
pub fn set_create_time(batch: &mut [u8], max_timestamp: i64) {
    set_time(batch, max_timestamp, |attributes| attributes & !0x08);
}

fn set_time(batch: &mut [u8], max_timestamp: i64, attributes: impl Fn(u8) -> u8) {
    if batch.len() >= HEAD_BYTES {
        batch[22] = attributes(batch[22]);
        batch[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
        let crc = crc32c::crc32c(&batch[CRC_FROM..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

/// Walks contiguous batches, and ends after the first error. CRCs are not checked.
pub fn batches(bytes: &[u8]) -> impl Iterator<Item = Result<(&[u8], BatchHead), RecordsError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        match head(rest) {
            Ok(h) => {
                let (batch, more) = rest.split_at(h.size as usize);
                rest = more;
                Some(Ok((batch, h)))
            }
            Err(e) => {
                rest = &[];
                Some(Err(e))
            }
        }
    })
}
