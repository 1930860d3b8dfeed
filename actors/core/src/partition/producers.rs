//! Idempotence: what a partition remembers of each producer (KIP-98).
//!
//! For each producer id its epoch and its last five batches. A batch is judged before it is appended, taken in when
//! it is; replay takes batches as true. The table is a function of the log up to an offset: it is stored beside the
//! log as a snapshot, rebuilt from snapshot and batch heads, and truncated with them.
//!
//! Kafka's rules, as seen on 4.3: a producer id new to the partition may start at any sequence; a resend within the
//! last five batches is a duplicate; anything else that does not follow is out of order; a new epoch starts at 0.

use crate::Reject;
use crate::limits::PRODUCER_BATCHES_KEPT;
use crate::records::BatchHead;
use crate::time::UnixMillis;
use std::collections::{BTreeMap, VecDeque};

/// One batch that a producer wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Sequence number of its first record.
    pub base_sequence: i32,
    /// Sequence number of its last record.
    pub last_sequence: i32,
    /// Offset of its first record.
    pub base_offset: i64,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Its largest timestamp: what a duplicate is answered (Kafka's `BatchMetadata.timestamp`).
    pub timestamp: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    last_timestamp: i64,
    batches: VecDeque<Written>,
}

/// What DescribeProducers tells of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Sequence number of its last record; −1: none in this epoch.
    pub last_sequence: i32,
    /// The newest timestamp it sent.
    pub last_timestamp: i64,
}

/// What a batch is, against what is known of its producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Append it.
    Fresh,
    /// It is stored, or on its way, as this batch.
    Duplicate(Written),
    /// Refuse it.
    Refused(Reject),
}

/// Why a stored table cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducersError {
    /// Written by another build.
    #[error("producer snapshot of format {0}, this build reads 2: run the build that wrote it")]
    Format(u8),
    /// Ends too early, or has counts that cannot be.
    #[error("producer snapshot is cut short or contradicts itself")]
    Malformed,
}

/// The producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerTable {
    producers: BTreeMap<i64, Producer>,
}

const FORMAT: u8 = 2;

fn next_sequence(last: i32) -> i32 {
    if last == i32::MAX { 0 } else { last + 1 }
}

impl ProducerTable {
    /// Producers known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Every producer that is known, by id.
    #[must_use]
    pub fn active(&self) -> Vec<ActiveProducer> {
        let active = |(id, producer): (&i64, &Producer)| ActiveProducer {
            id: *id,
            epoch: producer.epoch,
            last_sequence: producer.batches.back().map_or(-1, |w| w.last_sequence),
            last_timestamp: producer.last_timestamp,
        };
        self.producers.iter().map(active).collect()
    }

    /// Judges a batch that wants to be appended. One without a producer id is always fresh.
    #[must_use]
    pub fn judge(&self, head: &BatchHead) -> Judgement {
        if !head.has_producer() {
            return Judgement::Fresh;
        }
        let Some(known) = self.producers.get(&head.producer_id) else { return Judgement::Fresh };
        if head.producer_epoch < known.epoch {
            return Judgement::Refused(Reject::InvalidProducerEpoch {
                producer_id: head.producer_id,
                current: known.epoch,
                got: head.producer_epoch,
            });
        }
        if head.producer_epoch > known.epoch {
            return Self::expect(head, 0);
        }
        let (first, last) = (head.base_sequence, head.last_sequence());
        if let Some(w) = known.batches.iter().find(|w| w.base_sequence == first && w.last_sequence == last) {
            return Judgement::Duplicate(*w);
        }
        match known.batches.back() {
            Some(w) => Self::expect(head, next_sequence(w.last_sequence)),
            None => Judgement::Fresh,
        }
    }

    fn expect(head: &BatchHead, expected: i32) -> Judgement {
        if head.base_sequence == expected {
            return Judgement::Fresh;
        }
        Judgement::Refused(Reject::OutOfOrderSequence {
            producer_id: head.producer_id,
            expected,
            got: head.base_sequence,
        })
    }

    /// Takes in a batch that is in the log, at the offsets its head says.
    pub fn apply(&mut self, head: &BatchHead) {
        if !head.has_producer() || head.is_control() {
            return;
        }
        let producer = self.producers.entry(head.producer_id).or_insert_with(|| Producer {
            epoch: head.producer_epoch,
            last_timestamp: head.max_timestamp,
            batches: VecDeque::new(),
        });
        if producer.epoch != head.producer_epoch {
            producer.epoch = head.producer_epoch;
            producer.batches.clear();
        }
        producer.last_timestamp = producer.last_timestamp.max(head.max_timestamp);
        if producer.batches.len() == PRODUCER_BATCHES_KEPT {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Written {
            base_sequence: head.base_sequence,
            last_sequence: head.last_sequence(),
            base_offset: head.base_offset,
            last_offset: head.next_offset() - 1,
            timestamp: head.max_timestamp,
        });
    }

    /// Forgets producers whose last batch is older than this (Kafka: `producer.id.expiration.ms`).
    pub fn expire(&mut self, wall: UnixMillis, after_ms: i64) {
        self.producers.retain(|_, p| wall.0.saturating_sub(p.last_timestamp) < after_ms);
    }

    /// For the snapshot row. The caller adds the checksum.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend_from_slice(&(self.producers.len() as u32).to_be_bytes());
        for (id, producer) in &self.producers {
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&producer.epoch.to_be_bytes());
            out.extend_from_slice(&producer.last_timestamp.to_be_bytes());
            out.push(producer.batches.len() as u8);
            for w in &producer.batches {
                out.extend_from_slice(&w.base_sequence.to_be_bytes());
                out.extend_from_slice(&w.last_sequence.to_be_bytes());
                out.extend_from_slice(&w.base_offset.to_be_bytes());
                out.extend_from_slice(&w.last_offset.to_be_bytes());
                out.extend_from_slice(&w.timestamp.to_be_bytes());
            }
        }
        out
    }

    /// Reads what [`ProducerTable::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<ProducerTable, ProducersError> {
        let (format, mut rest) = bytes.split_first().ok_or(ProducersError::Malformed)?;
        if *format != FORMAT {
            return Err(ProducersError::Format(*format));
        }
        let rest = &mut rest;
        let mut table = ProducerTable::default();
        for _ in 0..u32::from_be_bytes(take(rest)?) {
            let id = i64::from_be_bytes(take(rest)?);
            let epoch = i16::from_be_bytes(take(rest)?);
            let last_timestamp = i64::from_be_bytes(take(rest)?);
            let [count] = take(rest)?;
            let mut batches = VecDeque::new();
            for _ in 0..count {
                batches.push_back(Written {
                    base_sequence: i32::from_be_bytes(take(rest)?),
                    last_sequence: i32::from_be_bytes(take(rest)?),
                    base_offset: i64::from_be_bytes(take(rest)?),
                    last_offset: i64::from_be_bytes(take(rest)?),
                    timestamp: i64::from_be_bytes(take(rest)?),
                });
            }
            table.producers.insert(id, Producer { epoch, last_timestamp, batches });
        }
        if rest.is_empty() { Ok(table) } else { Err(ProducersError::Malformed) }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ProducersError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(ProducersError::Malformed)?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, sequence: i32, count: i32, offset: i64) -> BatchHead {
        BatchHead {
            base_offset: offset,
            last_offset_delta: count - 1,
            records: count,
            producer_id: 7,
            producer_epoch: epoch,
            base_sequence: sequence,
            max_timestamp: 1_000,
            ..BatchHead::default()
        }
    }

    #[test]
    fn a_resend_within_the_last_five_is_a_duplicate_and_an_older_one_is_out_of_order() {
        let mut table = ProducerTable::default();
        assert_eq!(table.judge(&batch(0, 40, 1, 0)), Judgement::Fresh, "a new producer may start anywhere");
        for n in 0..6 {
            table.apply(&batch(0, n * 2, 2, i64::from(n) * 2));
        }
        let again = table.judge(&batch(0, 2, 2, -1));
        assert!(matches!(again, Judgement::Duplicate(w) if w.base_offset == 2 && w.last_offset == 3));
        assert!(matches!(
            table.judge(&batch(0, 0, 2, -1)),
            Judgement::Refused(Reject::OutOfOrderSequence { expected: 12, got: 0, .. })
        ));
        assert!(matches!(table.judge(&batch(0, 13, 1, -1)), Judgement::Refused(_)));
        assert_eq!(table.judge(&batch(0, 12, 1, -1)), Judgement::Fresh);
    }

    #[test]
    fn an_older_epoch_is_refused_and_a_newer_one_starts_at_zero() {
        let mut table = ProducerTable::default();
        table.apply(&batch(3, 0, 5, 0));
        assert!(matches!(
            table.judge(&batch(2, 5, 1, -1)),
            Judgement::Refused(Reject::InvalidProducerEpoch { current: 3, got: 2, .. })
        ));
        assert!(matches!(table.judge(&batch(4, 5, 1, -1)), Judgement::Refused(_)));
        assert_eq!(table.judge(&batch(4, 0, 1, -1)), Judgement::Fresh);
    }

    #[test]
    fn sequences_wrap() {
        let mut table = ProducerTable::default();
        table.apply(&batch(0, i32::MAX - 1, 2, 0));
        assert_eq!(table.judge(&batch(0, 0, 1, -1)), Judgement::Fresh);
        assert!(matches!(table.judge(&batch(0, 1, 1, -1)), Judgement::Refused(_)));
        table.apply(&batch(0, i32::MAX, 3, 2));
        assert_eq!(table.judge(&batch(0, 2, 1, -1)), Judgement::Fresh);
    }

    #[test]
    fn stored_and_read_back_it_is_the_same_and_cut_short_it_is_an_error() {
        let mut table = ProducerTable::default();
        for n in 0..9 {
            table.apply(&BatchHead { producer_id: n % 3, ..batch(0, n as i32, 1, n) });
        }
        let bytes = table.encode();
        assert_eq!(ProducerTable::decode(&bytes), Ok(table));
        for cut in 0..bytes.len() {
            assert!(ProducerTable::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn expiry_forgets_only_the_old() {
        let mut table = ProducerTable::default();
        table.apply(&batch(0, 0, 1, 0));
        table.expire(UnixMillis(1_000 + 99), 100);
        assert_eq!(table.len(), 1);
        table.expire(UnixMillis(1_000 + 100), 100);
        assert!(table.is_empty());
    }

    #[test]
    fn the_active_ones_are_told_with_their_last_sequence() {
        let mut table = ProducerTable::default();
        assert!(table.active().is_empty());
        table.apply(&batch(0, 0, 5, 0));
        table.apply(&BatchHead { producer_id: 3, max_timestamp: 2_000, ..batch(1, 7, 2, 5) });
        table.apply(&batch(0, 5, 1, 7));
        let active = |id, epoch, last_sequence, last_timestamp| ActiveProducer {
            id,
            epoch,
            last_sequence,
            last_timestamp,
        };
        assert_eq!(table.active(), [active(3, 1, 8, 2_000), active(7, 0, 5, 1_000)]);
    }
}
