//! What a producer's batch must pass at the edge, before anything else sees it.
//!
//! Uncompressed batches are walked record by record; compressed ones are checked by head and CRC and stay closed.

use super::{BatchHead, Compression, Records, RecordsError, verify};

/// Proves that `bytes` are exactly one acceptable batch from a client. Errors in Kafka's order: format, CRC, counts.
pub fn prove(bytes: &[u8]) -> Result<BatchHead, RecordsError> {
    if bytes.is_empty() {
        return Err(RecordsError::Invalid("no record batch: exactly one is expected for each partition"));
    }
    let head = verify(bytes)?;
    if head.size as usize != bytes.len() {
        return Err(RecordsError::Invalid("more than one batch: exactly one is expected for each partition"));
    }
    if head.records <= 0 || i64::from(head.last_offset_delta) + 1 != i64::from(head.records) {
        return Err(RecordsError::Invalid("its record count and its last offset delta do not agree"));
    }
    if head.is_control() {
        return Err(RecordsError::Invalid("clients may not write control batches"));
    }
    if head.has_producer() && (head.producer_epoch < 0 || head.base_sequence < 0) {
        return Err(RecordsError::Invalid("a producer id without an epoch and a sequence number"));
    }
    if head.is_transactional() && !head.has_producer() {
        return Err(RecordsError::Invalid("a transactional batch without a producer id"));
    }
    if head.is_log_append_time() {
        return Err(RecordsError::Invalid("clients may not set the timestamp type to LogAppendTime"));
    }
    if Compression::of(head.codec())? == Compression::None {
        walk(bytes, &head)?;
    }
    Ok(head)
}

fn walk(bytes: &[u8], head: &BatchHead) -> Result<(), RecordsError> {
    let records = Records::open(bytes, bytes.len())?;
    for (n, record) in (0i64..).zip(records.iter()) {
        if record?.offset != head.base_offset.saturating_add(n) {
            return Err(RecordsError::Invalid("its records' offset deltas are not 0, 1, 2, …"));
        }
    }
    Ok(())
}
