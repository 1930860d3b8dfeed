//! The leader: batches in over TCP, into the journal and into the feeds of two followers, answers out at the high watermark.
//!
//! ```text
//!   TCP ─> prove ─> offset ─┬─> journal ─────────────── own ends ─┐
//!                           └─> tail ─> feed ─> QUIC ─> acks ─────┴─> high watermark ─> answers
//! ```
//!
//! A feed takes up to 256 KiB a turn from the partitions that have something new, while the frame before is being written.
//! So frames become fuller the slower the network is. It sends a batch at once, before the leader's own journal has it.

use crate::report::Counters;
use crate::store::{Disk, EPOCH, Ends, Log, Sink, TOPIC};
use crate::wire::read_frame;
use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use callboard::storage::ShardHandle;
use callboard_actors::permit::{Permit, Pool};
use callboard_actors::ports::{Admission, Journal, Submission};
use callboard_core::records::{self, Budget, Rules};
use callboard_core::storage::{Durability, Entry};
use callboard_core::time::UnixMillis;
use callboard_core::{ReplicaId, limits};
use parking_lot::Mutex;
use callboard::transport::frame::{Items, LogEnd, Opened, Packer, Part, Subject, encode, open};
use quinn::{Connection, RecvStream, SendStream};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};

/// Followers of each partition.
pub const FOLLOWERS: usize = 2;
/// A high watermark that moved without data goes out after this time.
const LAZY: Duration = Duration::from_millis(100);
/// Bytes before a batch on TCP: its length, its partition, the client's number of it.
pub const PRODUCE_HEAD: usize = 16;

struct Batch {
    base: i64,
    bytes: Bytes,
}

#[derive(Clone, Copy, Default)]
struct Follower {
    /// Number of its accepted Position; 0 before that.
    n: u64,
    ends: Ends,
    /// Batches sent, counted from the first of the log.
    cursor: usize,
    /// The high watermark it was told last.
    told: i64,
}

struct Waiting {
    until: i64,
    number: u64,
    answers: mpsc::UnboundedSender<u64>,
}

#[derive(Default)]
struct State {
    log: Log,
    tail: VecDeque<Batch>,
    /// Batches that left the tail.
    gone: usize,
    followers: [Follower; FOLLOWERS],
    high_watermark: i64,
    waiting: VecDeque<Waiting>,
}

#[derive(Default)]
struct Led {
    replica: OnceLock<ReplicaId>,
    state: Mutex<State>,
}

/// The partitions that have something for one follower, each once.
struct Feed {
    dirty: Mutex<VecDeque<usize>>,
    queued: Vec<AtomicBool>,
    wake: Notify,
}

impl Feed {
    fn push(&self, n: usize) {
        if !self.queued[n].swap(true, Ordering::AcqRel) {
            self.dirty.lock().push_back(n);
            self.wake.notify_one();
        }
    }

    fn pop(&self) -> Option<usize> {
        let n = self.dirty.lock().pop_front()?;
        self.queued[n].store(false, Ordering::Release);
        Some(n)
    }
}

/// All led partitions.
pub struct Leader {
    shard: Arc<ShardHandle>,
    durability: Durability,
    led: Vec<Led>,
    feeds: [Feed; FOLLOWERS],
    produce: Pool,
    replication: Pool,
    pub counters: Counters,
}

impl Leader {
    /// Opens the partitions.
    pub fn start(disk: &Disk, partitions: usize, durability: Durability) -> anyhow::Result<Arc<Leader>> {
        let feed = || Feed {
            dirty: Mutex::default(),
            queued: (0..partitions).map(|_| AtomicBool::default()).collect(),
            wake: Notify::new(),
        };
        let opened =
            || Led { state: Mutex::new(State { log: Log::opened(), ..State::default() }), ..Led::default() };
        let leader = Arc::new(Leader {
            shard: Arc::clone(&disk.shard),
            durability,
            led: (0..partitions).map(|_| opened()).collect(),
            feeds: [feed(), feed()],
            produce: Pool::new(limits::Budgets::default().produce),
            replication: Pool::new(64 * limits::MIB),
            counters: Counters::default(),
        });
        for n in 0..partitions {
            let told = Arc::clone(&leader);
            let sink = Sink(move |persisted| {
                let mut state = told.led[n].state.lock();
                state.log.persisted(persisted);
                told.advance(&mut state);
            });
            let replica = disk.replica(n, durability, Arc::new(sink))?;
            let _ = leader.led[n].replica.set(replica);
        }
        Ok(leader)
    }

    /// Moves the high watermark to the smallest end that counts, and answers what waited for it (R3).
    fn advance(&self, state: &mut State) {
        let counted = |ends: Ends| ends.counted(self.durability);
        let followers = state.followers.iter().map(|follower| counted(follower.ends)).min();
        let least = counted(state.log.ends).min(followers.unwrap_or(0));
        state.high_watermark = state.high_watermark.max(least);
        while state.waiting.front().is_some_and(|first| first.until <= state.high_watermark) {
            let Some(first) = state.waiting.pop_front() else { break };
            let _ = first.answers.send(first.number);
        }
    }

    /// Serves one client.
    pub async fn client(self: Arc<Self>, socket: tokio::net::TcpStream) -> anyhow::Result<()> {
        socket.set_nodelay(true)?;
        let (mut from, to) = socket.into_split();
        let (answers, answered) = mpsc::unbounded_channel();
        tokio::spawn(answer(to, answered));
        while let Some((n, number, batch, permit)) = self.read_batch(&mut from).await? {
            self.append(n, batch, permit, number, &answers)?;
        }
        Ok(())
    }

    async fn read_batch(
        &self,
        from: &mut OwnedReadHalf,
    ) -> anyhow::Result<Option<(usize, u64, BytesMut, Permit)>> {
        let mut head = [0; PRODUCE_HEAD];
        if from.read_exact(&mut head).await.is_err() {
            return Ok(None);
        }
        let [a, b, c, d, e, f, g, h, number @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let n = u32::from_le_bytes([e, f, g, h]) as usize;
        if length > limits::MESSAGE_MAX_BYTES_DEFAULT || n >= self.led.len() {
            bail!("a batch of {length} bytes for partition {n}");
        }
        self.shard.admitted().await;
        let permit = self.produce.acquire(length).await;
        let mut batch = BytesMut::with_capacity(length);
        while batch.len() < length {
            let left = length - batch.len();
            if (&mut *from).take(left as u64).read_buf(&mut batch).await? == 0 {
                bail!("a batch cut short");
            }
        }
        Ok(Some((n, u64::from_le_bytes(number), batch, permit)))
    }

    fn append(
        &self,
        n: usize,
        mut batch: BytesMut,
        permit: Permit,
        number: u64,
        answers: &mpsc::UnboundedSender<u64>,
    ) -> anyhow::Result<()> {
        let rules = Rules { max_bytes: limits::MESSAGE_MAX_BYTES_DEFAULT, open: true, timestamps: None };
        let mut budget =
            Budget { batch: limits::UNPACKED_AT_ONCE, unpacked: limits::UNPACKED_AT_ONCE_SUM, named: 1 };
        let head = records::prove_head(&batch, &rules)?;
        let head = records::prove_records(&mut batch, &head, &rules, UnixMillis(0), &mut budget)?;
        let led = &self.led[n];
        let replica = *led.replica.get().context("the partition is not open")?;
        let mut state = led.state.lock();
        let (base, next) = (state.log.end, state.log.end + i64::from(head.last_offset_delta) + 1);
        records::patch(&mut batch, base, EPOCH);
        let bytes = batch.freeze();
        let seq = state.log.append(next);
        state.tail.push_back(Batch { base, bytes: bytes.clone() });
        state.waiting.push_back(Waiting { until: next, number, answers: answers.clone() });
        let (entry, durability) = (Entry::Append { base, epoch: EPOCH }, self.durability);
        self.shard.submit(Submission { replica, seq, entry, bytes, durability, permit })?;
        drop(state);
        self.feeds.iter().for_each(|feed| feed.push(n));
        Ok(())
    }

    /// Serves one follower: its subscription is the first stream of its connection.
    pub async fn follower(self: Arc<Self>, who: usize, connection: Connection) -> anyhow::Result<()> {
        let (to, mut from) = connection.accept_bi().await?;
        self.positions(who, &mut from).await?;
        let feeding = tokio::spawn(Arc::clone(&self).feed(who, to));
        while let Some(received) = read_frame(&mut from, &self.replication).await? {
            let Opened::Acks(acks) = open(received.lengths, &received.body)? else { bail!("no acks") };
            self.counters.acked(acks.len());
            for ack in acks {
                let n = ack.subject.partition.to_native() as usize;
                let mut state = self.led.get(n).context("an ack of no partition")?.state.lock();
                if ack.subject.n != state.followers[who].n || ack.subject.leader_epoch != EPOCH {
                    continue;
                }
                let ends = Ends { written: ack.written.to_native(), synced: ack.synced.to_native() };
                state.followers[who].ends.rise(ends);
                self.advance(&mut state);
            }
        }
        feeding.await?
    }

    /// Takes the follower's Position of each partition. The probe's followers begin with empty logs.
    async fn positions(&self, who: usize, from: &mut RecvStream) -> anyhow::Result<()> {
        let first = read_frame(from, &self.replication).await?.context("no positions")?;
        let Opened::Positions(positions) = open(first.lengths, &first.body)? else { bail!("no positions") };
        for position in positions {
            let n = position.subject.partition.to_native() as usize;
            let mut state = self.led.get(n).context("a position of no partition")?.state.lock();
            state.followers[who] = Follower { n: position.subject.n.to_native(), ..Follower::default() };
        }
        Ok(())
    }

    async fn feed(self: Arc<Self>, who: usize, mut to: SendStream) -> anyhow::Result<()> {
        let feed = &self.feeds[who];
        let mut packer = Packer::default();
        let mut lazy = tokio::time::interval(LAZY);
        loop {
            self.fill(who, &mut packer)?;
            if packer.is_empty() {
                tokio::select! {
                    () = feed.wake.notified() => {}
                    _ = lazy.tick() => self.moved(who, &mut packer)?,
                }
            }
            if !packer.is_empty() {
                let mut chunks = packer.finish()?;
                to.write_all_chunks(&mut chunks).await?;
            }
        }
    }

    /// Fills one frame from the partitions with new batches, in turn.
    fn fill(&self, who: usize, packer: &mut Packer) -> anyhow::Result<()> {
        let feed = &self.feeds[who];
        let (mut parts, mut batches) = (0, 0);
        while packer.takes(1) {
            let Some(n) = feed.pop() else { break };
            let mut state = self.led[n].state.lock();
            let mut at = state.followers[who].cursor - state.gone;
            let Some(first) = state.tail.get(at) else { continue };
            if !packer.takes(first.bytes.len()) {
                // It goes first in the next frame.
                feed.queued[n].store(true, Ordering::Release);
                feed.dirty.lock().push_front(n);
                break;
            }
            packer.part(part(&state, who, n, first.base))?;
            parts += 1;
            while let Some(batch) = state.tail.get(at).filter(|batch| packer.takes(batch.bytes.len())) {
                packer.batch(batch.bytes.clone())?;
                (at, batches) = (at + 1, batches + 1);
            }
            state.followers[who].cursor = at + state.gone;
            state.followers[who].told = state.high_watermark;
            if at < state.tail.len() {
                feed.push(n);
            }
            while state.followers.iter().all(|follower| follower.cursor > state.gone) {
                state.tail.pop_front();
                state.gone += 1;
            }
        }
        self.counters.sent(parts, batches);
        Ok(())
    }

    /// Parts without bytes, for partitions whose high watermark moved.
    fn moved(&self, who: usize, packer: &mut Packer) -> anyhow::Result<()> {
        for (n, led) in self.led.iter().enumerate() {
            let mut state = led.state.lock();
            if state.followers[who].n > 0 && state.followers[who].told < state.high_watermark {
                state.followers[who].told = state.high_watermark;
                let end = state.tail.front().map_or(state.log.end, |batch| batch.base);
                packer.part(part(&state, who, n, end))?;
            }
        }
        Ok(())
    }
}

fn part(state: &State, who: usize, n: usize, previous: i64) -> Part {
    let subject =
        Subject { topic: TOPIC, partition: n as i32, leader_epoch: EPOCH, n: state.followers[who].n };
    let previous = LogEnd { epoch: if previous > 0 { EPOCH } else { -1 }, offset: previous };
    Part { subject, previous, high_watermark: state.high_watermark, log_start: 0, bytes: 0 }
}

/// Sends a client the numbers of its acknowledged batches, as many at a time as there are.
async fn answer(mut to: OwnedWriteHalf, mut answered: mpsc::UnboundedReceiver<u64>) -> std::io::Result<()> {
    let mut numbers = Vec::new();
    while answered.recv_many(&mut numbers, 1024).await > 0 {
        let bytes: Vec<u8> = numbers.drain(..).flat_map(u64::to_le_bytes).collect();
        to.write_all(&bytes).await?;
    }
    Ok(())
}

/// Sends one frame without payload.
pub async fn write_items(to: &mut SendStream, items: Items) -> anyhow::Result<()> {
    Ok(to.write_chunk(encode(items)?).await?)
}
