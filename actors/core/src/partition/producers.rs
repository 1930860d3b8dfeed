//! Idempotence: the last batches of each producer, so that a batch sent twice is stored once (KIP-98).
//!
//! The table keeps the epoch and the last five batches of each producer id. A new batch is judged before it is
//! appended and taken in when it is. Replay takes in every batch without a judgement, because the log is the truth.
//!
//! The table is a function of the log up to an offset. It is stored as a snapshot beside the log, and rebuilt from
//! the snapshot and the heads of later batches. At its bound the producer whose last batch lies lowest goes first, so
//! every replica keeps the same producers.
//!
//! A replica forgets idle producers by its own monotonic time. A wall clock steps, and timestamps are the client's.
//!
//! ```text
//!   replica  batch ─> seen = now           idle for producer.id.expiration.ms ─> gone: a prefix, ordered by last offset
//!                                            └─ Forgotten { below, seq } ─> the store: out of its next snapshot
//!   store    batch ─> no time is kept        a start, a rebuild, a new role: every producer known counts as seen now
//! ```
//!
//! A notice to the store that is lost in a crash does no harm: the producer is known for longer.
//!
//! The rules are those seen on Kafka 4.3. A producer id new to the partition may start at any sequence. A resend
//! within the last five batches is a duplicate. Any other batch that does not follow is out of order, and a new epoch
//! starts at 0. The table answers with a judgement; it appends nothing and refuses no request itself.

use crate::Reject;
use crate::ids::{Offset, Seq};
use crate::limits::{PRODUCER_BATCHES_KEPT, PRODUCERS_PER_PARTITION};
use crate::records::BatchHead;
use crate::time::Millis;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One batch of a producer, as the table remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub base_sequence: i32,
    pub last_sequence: i32,
    pub base_offset: i64,
    pub last_offset: i64,
    /// The batch's largest timestamp. A duplicate is answered with it (Kafka's `BatchMetadata.timestamp`).
    pub timestamp: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    /// The largest timestamp ever sent, for DescribeProducers alone.
    last_timestamp: i64,
    batches: VecDeque<Written>,
    /// The monotonic time of its last batch on this replica; zero in the store.
    seen: Millis,
}

impl Producer {
    fn last_offset(&self) -> Offset {
        self.batches.back().map_or(-1, |w| w.last_offset)
    }
}

/// A replica's word to the store: all producers whose last batch ended below an offset are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// The first offset behind the forgotten batches.
    pub below: Offset,
    /// Number of the replica's last entry at that moment.
    pub seq: Seq,
}

/// One producer, as DescribeProducers tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    pub id: i64,
    pub epoch: i16,
    /// Sequence number of its last record; −1 if it has none in this epoch.
    pub last_sequence: i32,
    /// The largest timestamp it sent, in Unix milliseconds.
    pub last_timestamp: i64,
}

/// The judgement on a batch, against the known batches of its producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The batch may be appended.
    Fresh,
    /// The batch is stored or on its way already, as this one.
    Duplicate(Written),
    Refused(Reject),
}

/// The reason why a stored table cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducersError {
    /// Another build wrote the snapshot.
    #[error("producer snapshot of format {0}, this build reads 2: run the build that wrote it")]
    Format(u8),
    /// The snapshot ends too early, or has counts that cannot be.
    #[error("producer snapshot is cut short or contradicts itself")]
    Malformed,
}

/// The producers of one partition, bounded by `PRODUCERS_PER_PARTITION`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerTable {
    producers: BTreeMap<i64, Producer>,
    /// Last offset and id of each producer. `seen` never falls along this order.
    order: BTreeSet<(Offset, i64)>,
}

const FORMAT: u8 = 2;

fn next_sequence(last: i32) -> i32 {
    if last == i32::MAX { 0 } else { last + 1 }
}

impl ProducerTable {
    /// Number of producers known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// All known producers, by id.
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

    /// Judges a batch before it is appended. A batch without a producer id is always fresh.
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

    /// Takes in a batch of the log, at the offsets in its head. The store uses this form, which keeps no time.
    pub fn apply(&mut self, head: &BatchHead) {
        self.apply_at(head, Millis::default());
    }

    /// Takes in a batch that comes to this replica now.
    pub fn apply_at(&mut self, head: &BatchHead, now: Millis) {
        if !head.has_producer() || head.is_control() {
            return;
        }
        let id = head.producer_id;
        let producer = self.producers.entry(id).or_insert_with(|| Producer {
            epoch: head.producer_epoch,
            last_timestamp: head.max_timestamp,
            batches: VecDeque::new(),
            seen: now,
        });
        self.order.remove(&(producer.last_offset(), id));
        if producer.epoch != head.producer_epoch {
            producer.epoch = head.producer_epoch;
            producer.batches.clear();
        }
        producer.seen = now;
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
        self.order.insert((producer.last_offset(), id));
        self.keep_the_bound();
    }

    fn keep_the_bound(&mut self) {
        while self.producers.len() > PRODUCERS_PER_PARTITION && self.take_lowest().is_some() {}
    }

    /// Removes the producer whose last batch lies lowest, and gives that batch's last offset.
    fn take_lowest(&mut self) -> Option<Offset> {
        let (last_offset, id) = self.order.pop_first()?;
        self.producers.remove(&id);
        Some(last_offset)
    }

    /// Counts every producer as seen now: a new life or a new role of the replica begins.
    pub fn begin(&mut self, now: Millis) {
        self.producers.values_mut().for_each(|producer| producer.seen = now);
    }

    /// Forgets the producers that were idle for `after_ms` (Kafka: `producer.id.expiration.ms`).
    ///
    /// Gives the offset behind their last batches, if any was forgotten. No producer whose last batch ended below it
    /// is left.
    pub fn expire(&mut self, now: Millis, after_ms: i64) -> Option<Offset> {
        let after_ms = u64::try_from(after_ms).unwrap_or(0);
        let mut below = None;
        while let Some(lowest) = self.order.first().and_then(|(_, id)| self.producers.get(id)) {
            if now.0.saturating_sub(lowest.seen.0) < after_ms {
                break;
            }
            below = self.take_lowest().map(|last| last.saturating_add(1));
        }
        below
    }

    /// Forgets the producers whose last batch ended below an offset.
    pub fn forget_below(&mut self, below: Offset) {
        while self.order.first().is_some_and(|(last, _)| *last < below) {
            self.take_lowest();
        }
    }

    /// Checks the order and the bound; both hold after every change.
    pub fn check(&self) {
        assert_eq!(self.order.len(), self.producers.len(), "each producer has one place in the order");
        assert!(self.producers.len() <= PRODUCERS_PER_PARTITION, "more producers than a partition keeps");
    }

    /// Encodes the table for its snapshot row. The caller adds the checksum.
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

    /// Reads the output of [`ProducerTable::encode`].
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
            let producer = Producer { epoch, last_timestamp, batches, seen: Millis::default() };
            table.order.insert((producer.last_offset(), id));
            if table.producers.insert(id, producer).is_some() {
                return Err(ProducersError::Malformed);
            }
        }
        // A snapshot of an earlier build may hold more producers than the bound.
        table.keep_the_bound();
        if rest.is_empty() { Ok(table) } else { Err(ProducersError::Malformed) }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ProducersError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(ProducersError::Malformed)?;
    *rest = tail;
    Ok(*head)
}
