//! Idempotence: what a partition remembers of each producer (KIP-98).
//!
//! For each producer id its epoch and its last five batches. A batch is judged before it is appended, taken in when
//! it is; replay takes batches as true. The table is a function of the log up to an offset: it is stored beside the
//! log as a snapshot, rebuilt from snapshot and batch heads, and truncated with them. At its bound the producer whose
//! last batch lies lowest goes first, so every replica of the partition keeps the same ones.
//!
//! A replica forgets who is idle, by its own monotonic time: a wall clock steps, and timestamps are the client's.
//!
//! ```text
//!   replica  batch ─> seen = now           idle for producer.id.expiration.ms ─> gone: a prefix, ordered by last offset
//!                                            └─ Forgotten { below, seq } ─> the store: out of its next snapshot
//!   store    batch ─> no time is kept        a start, a rebuild, a new role: every producer known counts as seen now
//! ```
//!
//! What is not told before a crash is only known for longer.
//!
//! Kafka's rules, as seen on 4.3: a producer id new to the partition may start at any sequence; a resend within the
//! last five batches is a duplicate; anything else that does not follow is out of order; a new epoch starts at 0.

use crate::Reject;
use crate::ids::{Offset, Seq};
use crate::limits::{PRODUCER_BATCHES_KEPT, PRODUCERS_PER_PARTITION};
use crate::records::BatchHead;
use crate::time::Millis;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    /// For DescribeProducers alone.
    last_timestamp: i64,
    batches: VecDeque<Written>,
    /// When its last batch came to this replica; zero in the store.
    seen: Millis,
}

impl Producer {
    fn last_offset(&self) -> Offset {
        self.batches.back().map_or(-1, |w| w.last_offset)
    }
}

/// Which producers a replica has forgotten: as of its entry `seq`, all whose last batch ended below an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// The offset.
    pub below: Offset,
    /// The replica's last entry at that moment.
    pub seq: Seq,
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
    /// Last offset and id of each. `seen` never falls along it.
    order: BTreeSet<(Offset, i64)>,
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

    /// Takes in a batch that is in the log, at the offsets its head says. The store's way: no time is kept.
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

    /// Removes the producer whose last batch lies lowest; that batch's last offset.
    fn take_lowest(&mut self) -> Option<Offset> {
        let (last_offset, id) = self.order.pop_first()?;
        self.producers.remove(&id);
        Some(last_offset)
    }

    /// A new life or a new role: the time of every producer begins now.
    pub fn begin(&mut self, now: Millis) {
        self.producers.values_mut().for_each(|producer| producer.seen = now);
    }

    /// Forgets producers that have been idle for so long (Kafka: `producer.id.expiration.ms`); the offset behind the
    /// last batch of theirs, if there were any. All whose last batch ended below it are gone then.
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

    /// Forgets producers whose last batch ended below an offset.
    pub fn forget_below(&mut self, below: Offset) {
        while self.order.first().is_some_and(|(last, _)| *last < below) {
            self.take_lowest();
        }
    }

    /// What holds after every change.
    pub fn check(&self) {
        assert_eq!(self.order.len(), self.producers.len(), "each producer has one place in the order");
        assert!(self.producers.len() <= PRODUCERS_PER_PARTITION, "more producers than a partition keeps");
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
            let producer = Producer { epoch, last_timestamp, batches, seen: Millis::default() };
            table.order.insert((producer.last_offset(), id));
            if table.producers.insert(id, producer).is_some() {
                return Err(ProducersError::Malformed);
            }
        }
        // One of an earlier build may hold more.
        table.keep_the_bound();
        if rest.is_empty() { Ok(table) } else { Err(ProducersError::Malformed) }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ProducersError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(ProducersError::Malformed)?;
    *rest = tail;
    Ok(*head)
}
