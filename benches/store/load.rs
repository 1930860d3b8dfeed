//! The load on the store: a closed loop through the port of a shard, as the partitions' actors drive it.
//!
//! ```text
//!   this thread:  a lump of batches ─ admitted ─ patch ─ submit ─> journal thread ─ write ─ fdatasync ─> sinks
//!                    └───── the next lump, while this one syncs <──────────────────────┘
//! ```
//!
//! Two lumps are in flight. The writer finds one waiting whenever it has synced the other, so a group is a lump. The load
//! therefore waits until a lump is written: two lumps that met once would otherwise stay one group for ever.

use crate::meter::Meter;
use anyhow::{Context, bail};
use bytes::Bytes;
use callboard::storage::ShardHandle;
use callboard_actors::permit::Permit;
use callboard_actors::ports::{Admission, Journal, Persisted, ReplicaSink, ShardError, Submission};
use callboard_core::records::{self, BatchBuilder, NewRecord};
use callboard_core::storage::{Durability, Entry};
use callboard_core::{ReplicaId, Seq, TopicId, TopicPartition};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of the batches that are taken in turn: more than the processor's caches hold.
pub const POOL_BYTES: usize = 16 << 20;
const EPOCH: i32 = 3;

#[derive(Default)]
struct State {
    in_flight: usize,
    latencies: Vec<f64>,
    failed: Option<ShardError>,
}

/// Batches that are under way.
struct Flow {
    state: Mutex<State>,
    done: Condvar,
}

/// One partition's end of the port.
struct Sink {
    flow: Arc<Flow>,
    sent: Mutex<VecDeque<(Seq, Instant)>>,
}

impl ReplicaSink for Sink {
    fn persisted(&self, persisted: Persisted) {
        let now = Instant::now();
        let mut sent = self.sent.lock();
        let acked = sent.iter().take_while(|(seq, _)| *seq <= persisted.synced).count();
        let mut state = self.flow.state.lock();
        state.latencies.extend(sent.drain(..acked).map(|(_, at)| (now - at).as_secs_f64()));
        state.in_flight -= acked;
        if acked > 0 && state.in_flight == 0 {
            self.flow.done.notify_one();
        }
    }

    fn failed(&self, error: ShardError) {
        self.flow.state.lock().failed = Some(error);
        self.flow.done.notify_one();
    }
    fn rotted(&self, _: String) {}
}

struct Partition {
    replica: ReplicaId,
    seq: Seq,
    next: i64,
    sink: Arc<Sink>,
}

/// Sizes and numbers of the load.
#[derive(Clone, Copy)]
pub struct Shape {
    pub partitions: usize,
    /// Bytes of a batch, about.
    pub batch: usize,
    pub records: usize,
    /// Batches submitted at a time; two of these are in flight.
    pub lump: usize,
}

/// Measurements of one lap.
pub struct Driven {
    pub batches: u64,
    pub seconds: f64,
    /// Seconds that the gate was closed, because the settler was behind.
    pub gated: f64,
    /// Seconds from a batch's submission to its notice.
    pub latencies: Vec<f64>,
}

/// The load on one shard.
pub struct Load {
    shard: Arc<ShardHandle>,
    runtime: tokio::runtime::Runtime,
    meter: Meter,
    shape: Shape,
    flow: Arc<Flow>,
    /// Entries, in the meter's count.
    submitted: u64,
    partitions: Vec<Partition>,
    turn: usize,
    pool: VecDeque<Bytes>,
}

impl Load {
    /// Opens the partitions and makes the pool of batches.
    pub fn new(shard: Arc<ShardHandle>, meter: Meter, shape: Shape, batch: &[u8]) -> anyhow::Result<Load> {
        let flow = Arc::new(Flow { state: Mutex::default(), done: Condvar::new() });
        let submitted = meter.counts().entries + shape.partitions as u64;
        let mut partitions = Vec::new();
        for partition in 0..shape.partitions {
            let sink = Arc::new(Sink { flow: Arc::clone(&flow), sent: Mutex::default() });
            let id = TopicPartition { topic: TopicId([7; 16]), partition: partition as i32 };
            let replica = shard.open(id, Durability::Fsync, sink.clone())?;
            partitions.push(Partition { replica, seq: Seq(1), next: 0, sink });
        }
        let buffers = (POOL_BYTES / batch.len()).max(4 * shape.lump);
        let pool = (0..buffers).map(|_| Bytes::from(batch.to_vec())).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().context("a runtime")?;
        Ok(Load { shard, runtime, meter, shape, flow, submitted, partitions, turn: 0, pool })
    }

    /// Submits while `more` says so (asked once a lump, with the time and the batches so far), then waits for the rest.
    pub fn drive(&mut self, more: impl Fn(Duration, u64) -> bool) -> anyhow::Result<Driven> {
        let (began, mut gated, mut batches) = (Instant::now(), 0.0, 0);
        while more(began.elapsed(), batches) {
            while !self.meter.wait_written(self.submitted) {
                self.check(&self.flow.state.lock())?;
            }
            let asked = Instant::now();
            self.runtime.block_on(self.shard.admitted());
            gated += asked.elapsed().as_secs_f64();
            for _ in 0..self.shape.lump {
                self.submit()?;
            }
            batches += self.shape.lump as u64;
            self.submitted += self.shape.lump as u64;
        }
        let mut state = self.flow.state.lock();
        while state.in_flight > 0 {
            self.check(&state)?;
            self.flow.done.wait(&mut state);
        }
        drop(state);
        let latencies = std::mem::take(&mut self.flow.state.lock().latencies);
        Ok(Driven { batches, seconds: began.elapsed().as_secs_f64(), gated, latencies })
    }

    fn check(&self, state: &State) -> anyhow::Result<()> {
        match &state.failed {
            Some(error) => bail!("the store failed: {error}"),
            None => Ok(()),
        }
    }

    fn submit(&mut self) -> anyhow::Result<()> {
        let partition = &mut self.partitions[self.turn];
        self.turn = (self.turn + 1) % self.shape.partitions;
        let buffer = self.pool.pop_front().context("a buffer")?;
        // The batch is long acknowledged and the store holds no part of it, so this does not copy.
        let mut batch = buffer.try_into_mut().map_err(|_| anyhow::anyhow!("a batch is still held"))?;
        records::patch(&mut batch, partition.next, EPOCH);
        let bytes = batch.freeze();
        let (seq, base) = (partition.seq.next(), partition.next);
        (partition.seq, partition.next) = (seq, base + self.shape.records as i64);
        self.pool.push_back(bytes.clone());
        self.flow.state.lock().in_flight += 1;
        partition.sink.sent.lock().push_back((seq, Instant::now()));
        let entry = Entry::Append { base, epoch: EPOCH };
        let (replica, durability) = (partition.replica, Durability::Fsync);
        self.shard.submit(Submission { replica, seq, entry, bytes, durability, permit: Permit::free() })?;
        Ok(())
    }
}

/// A valid batch of an idempotent producer, of about these bytes: noise, so that no layer below can compress it.
pub fn batch(shape: Shape) -> anyhow::Result<Vec<u8>> {
    // The batch's head and each record's other fields take the rest of the bytes.
    let value = (shape.batch - 61) / shape.records - if shape.records > 1 { 11 } else { 10 };
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    let mut builder = BatchBuilder::new(0).producer(5, 0, 0);
    for _ in 0..shape.records {
        let bytes = (0..value)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise as u8
            })
            .collect();
        let timestamp = 1_700_000_000_000;
        builder = builder.record(NewRecord { timestamp, value: Some(bytes), ..NewRecord::default() });
    }
    let batch = builder.build()?;
    records::verify(&batch).context("the bench's own batch")?;
    Ok(batch)
}
