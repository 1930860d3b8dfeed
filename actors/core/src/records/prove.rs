//! Proves a producer's batch at the edge, before any other part sees it, because a bad batch would stop every
//! consumer that meets it.
//!
//! ```text
//!   bytes ─> size ─> CRC ─> counts, flags ─> records: walked, compressed ones through a window ─> largest timestamp
//!                                                └─> each timestamp against the topic's bounds: named by index (KIP-467)
//! ```
//!
//! The head repeats facts of the records. Like Kafka, the broker computes the largest timestamp itself and writes
//! it over the client's. Refusals come in Kafka's order. A topic with trusted producers
//! (`callboard.validate.records=false`) keeps compressed batches closed and believes their heads.

use super::walk::{Payload, Source, skim};
use super::{BadRecord, BatchHead, Compression, RecordsError, head, set_create_time, verify};
use crate::time::UnixMillis;

/// The text for a client that claims the broker's time.
const NOT_THE_BROKER: &str = "Producer should not set timestamp type to LogAppendTime.";

/// The rules of a partition for batches of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    pub max_bytes: usize,
    /// Whether compressed batches are opened (`callboard.validate.records`).
    pub open: bool,
    /// Bounds of timestamps; none where the broker's own time is stored.
    pub timestamps: Option<TimestampBounds>,
}

/// How far timestamps may lie off the broker's clock (`message.timestamp.before.max.ms` and
/// `message.timestamp.after.max.ms`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampBounds {
    /// Milliseconds behind the broker's clock.
    pub before_max_ms: i64,
    /// Milliseconds ahead of it.
    pub after_max_ms: i64,
}

impl TimestampBounds {
    /// Whether a timestamp is within the bounds; −1 is no timestamp and always is.
    fn takes(&self, timestamp: i64, now: UnixMillis) -> bool {
        let ahead = i128::from(timestamp) - i128::from(now.0);
        timestamp == -1 || (-i128::from(self.before_max_ms)..=i128::from(self.after_max_ms)).contains(&ahead)
    }

    fn refuse(&self, index: i32, timestamp: i64, now: UnixMillis) -> BadRecord {
        let (from, to) = (now.0.saturating_sub(self.before_max_ms), now.0.saturating_add(self.after_max_ms));
        let why = format!(
            "Timestamp {timestamp} of message with offset {index} is out of range. The timestamp should be within [{from}, {to}]"
        );
        BadRecord { index, why }
    }
}

/// Proves that `bytes` are exactly one batch, with a head that a client may send. Refusals come in Kafka's order:
/// format, base offset, size, CRC, number of batches, counts.
pub fn prove_head(bytes: &[u8], rules: &Rules) -> Result<BatchHead, RecordsError> {
    if bytes.is_empty() {
        return Err(RecordsError::Invalid("no record batch: exactly one is expected for each partition"));
    }
    let head = head(bytes)?;
    let size = head.size as usize;
    if head.base_offset != 0 {
        return Err(RecordsError::Invalid("its base offset is not 0: the broker gives offsets"));
    }
    if size > rules.max_bytes {
        return Err(RecordsError::TooLarge { size, max: rules.max_bytes });
    }
    verify(bytes)?;
    if size != bytes.len() {
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
    Compression::of(head.codec())?;
    Ok(head)
}

/// Bounds for the batches of one request; each batch takes its share off.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Bytes that one batch may unpack to.
    pub batch: usize,
    /// Bytes that all further batches of the request may unpack to.
    pub unpacked: usize,
    /// Refused records that may still be named.
    pub named: usize,
}

/// Proves the records of a batch whose head is proven. It writes the largest timestamp over the one that came, and
/// returns the head as it is then.
pub fn prove_records(
    batch: &mut [u8],
    head: &BatchHead,
    rules: &Rules,
    now: UnixMillis,
    budget: &mut Budget,
) -> Result<BatchHead, RecordsError> {
    let max = max_timestamp(batch, head, rules, now, budget)?;
    let proven = head.at_create_time(max);
    if proven != *head {
        set_create_time(batch, max);
    }
    Ok(proven)
}

fn max_timestamp(
    batch: &[u8],
    head: &BatchHead,
    rules: &Rules,
    now: UnixMillis,
    budget: &mut Budget,
) -> Result<i64, RecordsError> {
    let of_broker = head.is_log_append_time();
    let mut judged =
        Judged { rules, now, of_broker, named: budget.named, max: -1, refused: false, bad: Vec::new() };
    let head = &head.at_create_time(head.max_timestamp);
    if rules.opens(head) {
        let mut payload = Payload::open(batch, head, budget.batch.min(budget.unpacked))?;
        let walked = match &mut payload {
            Payload::Plain(plain) => judged.all(plain, head),
            Payload::Packed(packed) => judged.all(packed, head),
        };
        budget.unpacked = budget.unpacked.saturating_sub(payload.unpacked());
        walked?;
    } else {
        judged.record(0, head.base_timestamp);
        judged.record(head.last_offset_delta, head.max_timestamp);
        judged.max = head.max_timestamp;
    }
    budget.named = budget.named.saturating_sub(judged.bad.len());
    judged.done()
}

impl Rules {
    /// Whether the records of this batch are read; plain ones always are.
    #[must_use]
    pub fn opens(&self, head: &BatchHead) -> bool {
        self.open || Compression::of(head.codec()) == Ok(Compression::None)
    }
}

/// Findings over the records so far.
struct Judged<'a> {
    rules: &'a Rules,
    now: UnixMillis,
    /// Whether the batch claims the time of a broker.
    of_broker: bool,
    /// Refused records that may be named.
    named: usize,
    max: i64,
    refused: bool,
    bad: Vec<BadRecord>,
}

impl Judged<'_> {
    fn all(&mut self, source: &mut impl Source, head: &BatchHead) -> Result<(), RecordsError> {
        for n in 0..head.records {
            let record = skim(source, head)?;
            if record.offset_delta != n {
                return Err(RecordsError::Invalid("its records' offset deltas are not 0, 1, 2, …"));
            }
            self.record(n, record.timestamp);
        }
        source.end()
    }

    fn record(&mut self, index: i32, timestamp: i64) {
        self.max = self.max.max(timestamp);
        let bounds = match &self.rules.timestamps {
            Some(bounds) if bounds.takes(timestamp, self.now) => return,
            None if !self.of_broker => return,
            bounds => bounds,
        };
        self.refused = true;
        if self.bad.len() < self.named {
            self.bad.push(match bounds {
                Some(bounds) => bounds.refuse(index, timestamp, self.now),
                None => BadRecord { index, why: NOT_THE_BROKER.to_owned() },
            });
        }
    }

    fn done(self) -> Result<i64, RecordsError> {
        if self.refused { Err(RecordsError::Timestamps(self.bad)) } else { Ok(self.max) }
    }
}
