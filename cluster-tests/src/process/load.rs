//! Producers under fire. Each record is unique and can be made again from its number. Each producer keeps a ledger with
//! the fate of every record that it sent.
//!
//! ```text
//!   payload(producer, n)  =  producer · n · filler of a length that follows from them · CRC-32C
//! ```
//! An *idempotent* producer sends a batch again, byte for byte, until it is answered: at the end each of its records is
//! acknowledged. A *plain* producer sends nothing twice, so each of its records may be in the log at most once. Records that
//! a lost connection leaves unanswered are `Unknown`. Up to five batches are under way on a connection. This module judges
//! nothing: `verdict.rs` does.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use parking_lot::{Condvar, Mutex};

use super::HANG;
use super::wire::{RETRY, Wire, code};

/// Time between two looks of a waiting test whether the broker is still there.
const LOOK: Duration = Duration::from_millis(500);
/// Batches under way: as many as the broker remembers of a producer, and as the Java client allows.
const UNDER_WAY: usize = 5;

/// A generator that gives the same numbers every time: xorshift64*.
#[derive(Clone)]
pub struct Rng(u64);

impl Rng {
    /// A stream of numbers that follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..4).for_each(|_| rng.0 = rng.any() | 1);
        rng
    }

    /// The next 64-bit number of the stream.
    pub fn any(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.any() >> 16) % end.max(1)
    }
}

/// The seed and the time from which all records of one load are made.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// All bytes and choices follow from it.
    pub seed: u64,
    /// The timestamp of record 0. It is recent, because brokers delete records by the age of their timestamps.
    pub epoch: i64,
    /// Whether all records are small, so that a long load fits into memory.
    pub small: bool,
}

impl Script {
    /// A script for a load that begins now.
    pub fn now(seed: u64) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { seed, epoch: since.as_millis() as i64, small: false }
    }

    /// A script for a long load that begins now, with small records only.
    pub fn small(seed: u64) -> Self {
        Self { small: true, ..Self::now(seed) }
    }

    /// Record `n` of `producer`. Most are small; one in forty is large enough to make a run of its own in the journal.
    pub fn payload(self, producer: u32, n: u64) -> Bytes {
        let mut rng = Rng::new(self.seed ^ (u64::from(producer) << 40) ^ n);
        let filler = match rng.below(40) {
            _ if self.small => rng.below(160),
            0 => 20_000 + rng.below(80_000),
            _ => rng.below(2_000),
        };
        let mut bytes = BytesMut::new();
        bytes.put_u32(producer);
        bytes.put_u64(n);
        for _ in 0..filler.div_ceil(8) {
            bytes.put_u64(rng.any());
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.put_u32(crc);
        bytes.freeze()
    }

    /// The timestamp of record `n`.
    pub fn timestamp(self, n: u64) -> i64 {
        self.epoch + (n % 1_000) as i64
    }
}

/// The fate of a record that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Acknowledged, at this offset.
    Acked(i64),
    /// Acknowledged as a duplicate, without its offset.
    AckedSomewhere,
    /// Sent and never answered, or refused: the log may hold it or not.
    Unknown,
}

/// One record that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub partition: i32,
    /// Number of the record; a producer counts up.
    pub n: u64,
    pub fate: Fate,
}

/// All records that one producer sent, and their fates.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub producer: u32,
    /// Whether it sends again, so that each record must be there exactly once.
    pub idempotent: bool,
    /// The record of number n stands at n.
    pub sent: Vec<Sent>,
    /// Batches that were sent again.
    pub resent: u64,
    /// Batches that the broker refused for now.
    pub refused: u64,
}

/// State that the producers of one load share with the test that drives them.
pub struct Load {
    addr: SocketAddr,
    topic: String,
    partitions: i32,
    script: Script,
    stop: AtomicBool,
    abandon: AtomicBool,
    acked: Mutex<u64>,
    progress: Condvar,
}

impl Load {
    /// A load on `topic`, which exists and has `partitions`.
    pub fn new(addr: SocketAddr, topic: &str, partitions: i32, script: Script) -> Arc<Self> {
        let (stop, abandon) = (AtomicBool::new(false), AtomicBool::new(false));
        let (acked, progress) = (Mutex::new(0), Condvar::new());
        Arc::new(Self { addr, topic: topic.to_owned(), partitions, script, stop, abandon, acked, progress })
    }

    /// Starts a producer on a thread of its own.
    pub fn producer(
        self: &Arc<Self>,
        producer: u32,
        idempotent: bool,
    ) -> std::thread::JoinHandle<Result<Ledger>> {
        let load = Arc::clone(self);
        std::thread::spawn(move || {
            let result = Producer::new(&load, producer, idempotent).and_then(Producer::run);
            if result.is_err() {
                // A test that waits for progress must not wait for this producer.
                load.stop();
                load.progress.notify_all();
            }
            result.with_context(|| format!("producer {producer} (idempotent: {idempotent})"))
        })
    }

    /// Lets the producers make no new records; they bring batches under way to their end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Ends the producers at once, whatever is under way, because the broker will not come back.
    pub fn abandon(&self) {
        self.abandon.store(true, Ordering::SeqCst);
        self.stop();
    }

    /// Whether the end was asked for, or a producer has failed.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Batches acknowledged so far.
    pub fn acked(&self) -> u64 {
        *self.acked.lock()
    }

    /// Waits until `more` batches have been acknowledged from now on, as long as the broker is `alive`.
    pub fn wait_acked(&self, more: u64, mut alive: impl FnMut() -> bool) -> Result<()> {
        let until = Instant::now() + HANG;
        let mut acked = self.acked.lock();
        let (begun, goal) = (*acked, *acked + more);
        while *acked < goal {
            if self.stopped() {
                bail!("a producer has ended early");
            }
            self.progress.wait_until(&mut acked, until.min(Instant::now() + LOOK));
            let answered = *acked - begun;
            if !alive() {
                bail!("the broker ended by itself; {answered} of {more} batches were acknowledged");
            }
            if Instant::now() > until {
                bail!("no progress: {answered} of {more} batches acknowledged");
            }
        }
        Ok(())
    }
}

/// A batch that is not answered yet.
struct UnderWay {
    partition: i32,
    first: usize,
    count: usize,
    acks: i16,
    bytes: Bytes,
}

struct Producer<'a> {
    load: &'a Load,
    rng: Rng,
    identity: (i64, i16),
    sequences: Vec<i32>,
    ledger: Ledger,
    under_way: VecDeque<UnderWay>,
}

impl<'a> Producer<'a> {
    fn new(load: &'a Load, producer: u32, idempotent: bool) -> Result<Self> {
        let identity = if idempotent { Wire::connect(load.addr)?.init_producer_id()? } else { (-1, -1) };
        Ok(Self {
            load,
            rng: Rng::new(load.script.seed.wrapping_add(u64::from(producer) * 7_919)),
            identity,
            sequences: vec![0; load.partitions as usize],
            ledger: Ledger { producer, idempotent, sent: Vec::new(), resent: 0, refused: 0 },
            under_way: VecDeque::new(),
        })
    }

    fn run(mut self) -> Result<Ledger> {
        let mut absent_since = Instant::now();
        while !self.load.stopped() || !self.under_way.is_empty() {
            if self.load.abandon.load(Ordering::SeqCst) {
                bail!("given up with the broker");
            }
            if let Ok(wire) = Wire::connect(self.load.addr) {
                absent_since = Instant::now();
                self.connected(wire)?;
            } else if absent_since.elapsed() > HANG {
                bail!("the broker has not come back");
            }
            std::thread::sleep(RETRY);
        }
        Ok(self.ledger)
    }

    /// Produces until the connection breaks (or is given up) or the load stops. Only a broken promise is an error.
    fn connected(&mut self, mut wire: Wire) -> Result<()> {
        for index in 0..self.under_way.len() {
            // Only idempotent producers come here with batches under way.
            self.ledger.resent += 1;
            if self.send(&mut wire, index).is_err() {
                return Ok(());
            }
        }
        loop {
            while self.under_way.len() < UNDER_WAY && !self.load.stopped() {
                self.make_batch()?;
                if self.send(&mut wire, self.under_way.len() - 1).is_err() {
                    self.give_up();
                    return Ok(());
                }
            }
            if self.under_way.is_empty() {
                return Ok(());
            }
            let go_on = match wire.receive_batch() {
                Ok((error, base)) => self.answered(error, base)?,
                Err(error) if hung(&error) => {
                    let to: Vec<i32> = self.under_way.iter().map(|batch| batch.partition).collect();
                    bail!("not answered for {HANG:?}: batches to partitions {to:?}, in this order");
                }
                Err(error) if error.downcast_ref::<std::io::Error>().is_none() => return Err(error),
                Err(_) => false,
            };
            if !go_on {
                self.give_up();
                return Ok(());
            }
        }
    }

    fn send(&self, wire: &mut Wire, index: usize) -> Result<()> {
        let batch = &self.under_way[index];
        wire.send_batch(&self.load.topic, batch.partition, batch.acks, batch.bytes.clone())
    }

    /// Notes the answer to the oldest batch under way. False: this connection is to be given up.
    fn answered(&mut self, error: i16, base: i64) -> Result<bool> {
        let retry = code::retriable(error);
        if retry {
            self.ledger.refused += 1;
            if self.ledger.idempotent {
                // A new connection sends the batch again, in order with all that follow it.
                return Ok(false);
            }
        }
        let batch = self.under_way.pop_front().context("an answer without a request")?;
        for (index, sent) in self.ledger.sent[batch.first..batch.first + batch.count].iter_mut().enumerate() {
            sent.fate = match error {
                code::NONE if base >= 0 => Fate::Acked(base + index as i64),
                code::DUPLICATE_SEQUENCE_NUMBER if self.ledger.idempotent => Fate::AckedSomewhere,
                _ if retry => Fate::Unknown,
                _ => bail!(
                    "batch at record {} to partition {}: error {error}, base {base}",
                    sent.n,
                    batch.partition
                ),
            };
        }
        if !retry {
            *self.load.acked.lock() += 1;
            self.load.progress.notify_all();
        }
        Ok(true)
    }

    /// The connection is gone: a plain producer never learns the fate of batches under way.
    fn give_up(&mut self) {
        if !self.ledger.idempotent {
            self.under_way.clear();
        }
    }

    fn make_batch(&mut self) -> Result<()> {
        let partition = self.rng.below(self.load.partitions as u64) as i32;
        let goal = if self.rng.below(8) == 0 { 40 } else { 1 + self.rng.below(6) };
        let (first, sequence) = (self.ledger.sent.len(), self.sequences[partition as usize]);
        let (mut records, mut size) = (Vec::new(), 0);
        while (records.len() as u64) < goal && size < 150_000 {
            let n = self.ledger.sent.len() as u64;
            let value = self.load.script.payload(self.ledger.producer, n);
            size += value.len();
            let index = records.len() as i32;
            let sequence = if self.ledger.idempotent { sequence + index } else { -1 + index };
            let timestamp = self.load.script.timestamp(n);
            records.push(record(self.identity, index, sequence, timestamp, value));
            self.ledger.sent.push(Sent { partition, n, fate: Fate::Unknown });
        }
        if self.ledger.idempotent {
            self.sequences[partition as usize] += records.len() as i32;
        }
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut bytes, &records, &options)?;
        // A plain producer's acks=1 promises the same on a single node: on disk at the leader.
        let acks = if !self.ledger.idempotent && self.rng.below(2) == 0 { 1 } else { -1 };
        let count = records.len();
        self.under_way.push_back(UnderWay { partition, first, count, acks, bytes: bytes.freeze() });
        Ok(())
    }
}

/// A batch of `count` records of an idempotent producer from number `first` on.
pub fn batch(
    script: Script,
    producer: u32,
    first: u64,
    count: u64,
    identity: (i64, i16),
    sequence: i32,
) -> Result<Bytes> {
    let records = (0..count).map(|at| {
        let (n, index) = (first + at, at as i32);
        record(identity, index, sequence + index, script.timestamp(n), script.payload(producer, n))
    });
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &records.collect::<Vec<_>>(), &options)?;
    Ok(bytes.freeze())
}

fn record(identity: (i64, i16), index: i32, sequence: i32, timestamp: i64, value: Bytes) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: identity.0,
        producer_epoch: identity.1,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(index),
        sequence,
        timestamp,
        key: None,
        value: Some(value),
        headers: Default::default(),
    }
}

fn hung(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    error.downcast_ref::<std::io::Error>().is_some_and(|e| matches!(e.kind(), WouldBlock | TimedOut))
}
