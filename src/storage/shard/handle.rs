//! A shard with its threads: the [`Shard`] port over an [`Engine`].
//!
//! ```text
//!   submit ─> queue ─> journal thread: drain ≤ 4 MiB, one group, one sync        settling thread: when it is due
//!                      idle: sync what is only written within 1 s,                maker thread: the next segment, ahead
//!                            100 ms later an empty group that proves the sync     scrub thread: what nobody looks at
//!                                                                                  readers: shared by all shards
//! ```
//!
//! The queue is bounded by the permits inside it. At `unsettled_bytes_max` the gate closes: `admitted` waits until
//! settling has made room, producers slow down, nothing fails. What the threads do stands in `threads.rs`.

use crate::storage::disk::fault::ShardFault;
use crate::storage::metrics::{self, ShardSample};
use crate::storage::readers::Readers;
use crate::storage::shard::engine::Engine;
use crate::storage::shard::gate::Gate;
use crate::storage::shard::threads;
use callboard_actors::permit::Permit;
use callboard_actors::ports::{
    Admission, Journal, ReadError, ReadRequest, Reading, ReplicaSink, ReplicaState, ShardError, ShardStats,
    Slices, Submission, TimeHit,
};
use callboard_core::limits;
use callboard_core::partition::Forgotten;
use callboard_core::storage::{Durability, Entry, Retention, Room};
use callboard_core::{Offset, ReplicaId, Seq, TopicPartition};
use futures_util::future::BoxFuture;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};

/// Called when a shard stops for good.
pub type OnFault = Box<dyn Fn(u16, &ShardFault) + Send + Sync>;

/// What waits for the journal thread.
enum Item {
    /// With when it came.
    Entry(Box<Submission>, Instant),
    /// Told when everything before it is written.
    Barrier(oneshot::Sender<()>),
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    stopped: bool,
}

/// What the threads share.
pub(in crate::storage) struct Inner {
    pub engine: Arc<Engine>,
    queue: Mutex<Queue>,
    queued: Condvar,
    /// Wakes settler and maker; the flag says that they are to end.
    pub work: Mutex<bool>,
    pub woken: Condvar,
    pub last_append: Mutex<Instant>,
    gate: Gate,
    on_fault: OnFault,
    /// Whether `on_fault` was called.
    told: Mutex<bool>,
}

/// A running shard.
pub struct ShardHandle {
    inner: Arc<Inner>,
    readers: Arc<Readers>,
    states: Vec<ReplicaState>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Retention asks for all partitions at about the same time: one after the other, or it would fill the readers' queue.
    retention: Arc<Semaphore>,
}

impl ShardHandle {
    /// Starts a shard's threads. `on_fault` is called once, from one of them, when the shard stops for good.
    pub fn start(
        engine: Arc<Engine>,
        states: Vec<ReplicaState>,
        readers: Arc<Readers>,
        on_fault: OnFault,
    ) -> std::io::Result<ShardHandle> {
        let shard = engine.shard();
        let inner = Arc::new(Inner {
            engine,
            queue: Mutex::default(),
            queued: Condvar::new(),
            work: Mutex::new(false),
            woken: Condvar::new(),
            last_append: Mutex::new(Instant::now()),
            gate: Gate::default(),
            on_fault,
            told: Mutex::new(false),
        });
        let mut threads = Vec::new();
        for (name, body) in [
            ("journal", threads::journal as fn(&Inner)),
            ("settle", threads::settle),
            ("maker", threads::maker),
            ("watch", threads::watch),
            ("scrub", threads::scrub),
        ] {
            let inner = Arc::clone(&inner);
            let builder = std::thread::Builder::new().name(format!("{name}-{shard}"));
            threads.push(builder.spawn(move || {
                // A panic ends the shard in words, as any other fault does, instead of a thread in silence.
                if catch_unwind(AssertUnwindSafe(|| body(&inner))).is_err() {
                    inner
                        .faulted(&ShardFault(format!("its {name} thread panicked: a fault of this program")));
                }
            })?);
        }
        Ok(ShardHandle {
            inner,
            readers,
            states,
            threads: Mutex::new(threads),
            retention: Arc::new(Semaphore::new(1)),
        })
    }

    /// Ends the threads after what is queued, settles everything and proves the last sync.
    pub fn close(&self) -> Result<(), ShardFault> {
        self.inner.queue.lock().stopped = true;
        self.inner.queued.notify_all();
        *self.inner.work.lock() = true;
        self.inner.woken.notify_all();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            let _ = thread.join();
        }
        self.inner.engine.close()
    }

    /// Why it has stopped, if it has.
    #[must_use]
    pub fn fault(&self) -> Option<ShardFault> {
        self.inner.engine.fault().cloned()
    }

    /// Age of the journal sync that is running; zero, if none is.
    #[must_use]
    pub fn sync_age(&self) -> Duration {
        self.inner.engine.sync_age()
    }

    /// What a scrape sees of it.
    pub(in crate::storage) fn sample(&self) -> ShardSample {
        self.inner.engine.sample(self.inner.gate.closed_for())
    }

    fn on_reader<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Engine) -> Result<T, ReadError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, ReadError>> {
        on_reader(&self.inner, &self.readers, job)
    }
}

fn on_reader<T: Send + 'static>(
    inner: &Inner,
    readers: &Readers,
    job: impl FnOnce(&Engine) -> Result<T, ReadError> + Send + 'static,
) -> BoxFuture<'static, Result<T, ReadError>> {
    let (tx, rx) = oneshot::channel();
    let engine = Arc::clone(&inner.engine);
    let queued = readers.submit(move || {
        // Nobody waits any more: nothing is read.
        if !tx.is_closed() {
            let _ = tx.send(job(&engine));
        }
    });
    if !queued {
        metrics::read_refused(inner.engine.shard());
    }
    Box::pin(async move {
        let unread = || match queued {
            true => ReadError::Gone("the read ended without an answer: it panicked, or the node ends".into()),
            false => ReadError::Busy,
        };
        rx.await.unwrap_or_else(|_| Err(unread()))
    })
}

impl Inner {
    fn stopped(&self) -> ShardError {
        let stopped =
            |fault: &ShardFault| ShardError::Stopped { shard: self.engine.shard(), reason: fault.0.clone() };
        self.engine.fault().map_or(ShardError::Ending, stopped)
    }

    /// The shard stops for good; the first of its threads to see it says so.
    pub fn faulted(&self, fault: &ShardFault) {
        self.engine.fail(fault);
        let told = std::mem::replace(&mut *self.told.lock(), true);
        {
            let mut queue = self.queue.lock();
            queue.stopped = true;
            queue.items.clear();
        }
        self.queued.notify_all();
        *self.work.lock() = true;
        self.woken.notify_all();
        self.open_gate();
        if !told {
            (self.on_fault)(self.engine.shard(), fault);
        }
    }

    /// Removes what nobody can see any more, until a settle is due or the end comes.
    pub fn sweep(&self, unsettled_max: u64) -> Result<(), ShardFault> {
        while self.engine.sweep()? {
            if *self.work.lock() || self.engine.settleable() >= unsettled_max / 2 {
                break;
            }
        }
        Ok(())
    }

    /// Moves what has to leave its segment, until a settle is due or the end comes; then segments go.
    pub fn give_room(&self) -> Result<(), ShardFault> {
        let max = self.engine.options().unsettled_bytes_max;
        while self.engine.make_room()? {
            if *self.work.lock() || self.engine.settleable() >= max / 2 {
                break;
            }
        }
        self.engine.remove_surplus()
    }

    /// Whoever waits looks again.
    pub fn open_gate(&self) {
        self.gate.look_again(self.over_limit());
    }

    /// Whether producers wait. Where the disk is full they do not: they are refused.
    fn over_limit(&self) -> bool {
        let room = self.engine.room();
        (self.engine.is_full() || room == Room::Held) && !room.refuses() && self.engine.fault().is_none()
    }

    /// Waits for submissions or for `until`. None: the end.
    pub fn next_batch(&self, until: Option<Instant>) -> Option<Vec<Submission>> {
        let mut queue = self.queue.lock();
        while queue.items.is_empty() {
            if queue.stopped {
                return None;
            }
            match until {
                None => self.queued.wait(&mut queue),
                Some(until) => {
                    if self.queued.wait_until(&mut queue, until).timed_out() {
                        break;
                    }
                }
            }
        }
        let oldest = match queue.items.front() {
            Some(Item::Entry(_, came)) => Some(came.elapsed()),
            _ => None,
        };
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(item) = queue.items.pop_front() {
            match item {
                Item::Entry(next, came) => {
                    if bytes + next.bytes.len() > limits::GROUP_BYTES_MAX && !batch.is_empty() {
                        queue.items.push_front(Item::Entry(next, came));
                        break;
                    }
                    bytes += next.bytes.len();
                    batch.push(*next);
                }
                Item::Barrier(told) if batch.is_empty() => {
                    let _ = told.send(());
                }
                barrier => {
                    queue.items.push_front(barrier);
                    break;
                }
            }
        }
        drop(queue);
        if let Some(oldest) = oldest {
            metrics::queued(self.engine.shard(), oldest);
        }
        Some(batch)
    }
}

impl Journal for ShardHandle {
    fn recovered(&self) -> Vec<ReplicaState> {
        self.states.clone()
    }

    fn open(
        &self,
        id: TopicPartition,
        durability: Durability,
        sink: Arc<dyn ReplicaSink>,
    ) -> Result<ReplicaId, ShardError> {
        let replica = self.inner.engine.mint(sink).map_err(|_| self.inner.stopped())?;
        let entry = Entry::Open { id };
        let bytes = bytes::Bytes::new();
        self.submit(Submission { replica, seq: Seq(1), entry, bytes, durability, permit: Permit::free() })?;
        Ok(replica)
    }

    fn attach(&self, replica: ReplicaId, sink: Arc<dyn ReplicaSink>) {
        self.inner.engine.attach(replica, sink);
    }

    fn submit(&self, submission: Submission) -> Result<(), ShardError> {
        let mut queue = self.inner.queue.lock();
        if queue.stopped {
            return Err(self.inner.stopped());
        }
        queue.items.push_back(Item::Entry(Box::new(submission), Instant::now()));
        drop(queue);
        self.inner.queued.notify_one();
        Ok(())
    }

    fn forget(&self, replica: ReplicaId, forgotten: Forgotten) {
        self.inner.engine.forget(replica, forgotten);
    }

    fn rebuild(&self, replica: ReplicaId) -> BoxFuture<'static, Result<ReplicaState, ShardError>> {
        let fence = Submission {
            replica,
            seq: Seq(0),
            entry: Entry::Fence,
            bytes: bytes::Bytes::new(),
            durability: Durability::Fsync,
            permit: Permit::free(),
        };
        let (told, written) = oneshot::channel();
        {
            let mut queue = self.inner.queue.lock();
            if queue.stopped {
                let error = self.inner.stopped();
                return Box::pin(async move { Err(error) });
            }
            queue.items.push_back(Item::Entry(Box::new(fence), Instant::now()));
            queue.items.push_back(Item::Barrier(told));
        }
        self.inner.queued.notify_one();
        let (inner, readers) = (Arc::clone(&self.inner), Arc::clone(&self.readers));
        Box::pin(async move {
            if written.await.is_err() {
                return Err(inner.stopped());
            }
            let (tx, rx) = oneshot::channel();
            let engine = Arc::clone(&inner.engine);
            let queued = readers.submit(move || {
                let _ = tx.send(engine.rebuild(replica));
            });
            match rx.await {
                Ok(state) if queued => state,
                _ => Err(ShardError::Refused("too many reads wait for the replica to be read again".into())),
            }
        })
    }
}

impl Reading for ShardHandle {
    fn read(&self, request: ReadRequest) -> BoxFuture<'static, Result<Slices, ReadError>> {
        self.on_reader(move |engine| engine.read_on(request))
    }

    fn find_time(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        timestamp: i64,
    ) -> BoxFuture<'static, Result<Option<TimeHit>, ReadError>> {
        self.on_reader(move |engine| engine.find_time(replica, from, until, timestamp))
    }

    fn max_time(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
    ) -> BoxFuture<'static, Result<Option<TimeHit>, ReadError>> {
        self.on_reader(move |engine| engine.max_time(replica, from, until))
    }

    fn expired(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        rules: Retention,
    ) -> BoxFuture<'static, Result<Option<Offset>, ReadError>> {
        let (inner, readers) = (Arc::clone(&self.inner), Arc::clone(&self.readers));
        let turns = Arc::clone(&self.retention);
        Box::pin(async move {
            let _turn = turns.acquire_owned().await;
            on_reader(&inner, &readers, move |engine| engine.expired(replica, from, until, &rules)).await
        })
    }

    fn size(&self, replica: ReplicaId) -> BoxFuture<'static, Result<u64, ReadError>> {
        self.on_reader(move |engine| engine.size(replica))
    }

    fn sizes(&self) -> BoxFuture<'static, Result<BTreeMap<ReplicaId, u64>, ReadError>> {
        self.on_reader(Engine::sizes)
    }
}

impl Admission for ShardHandle {
    fn index(&self) -> u16 {
        self.inner.engine.shard()
    }

    fn stats(&self) -> ShardStats {
        self.inner.engine.stats()
    }

    fn admitted(&self) -> BoxFuture<'static, ()> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            inner.gate.pass(|| inner.over_limit(), || _ = inner.woken.notify_all()).await;
            let slower = inner.engine.slow_by();
            if !slower.is_zero() {
                tokio::time::sleep(slower).await;
            }
        })
    }

    fn room(&self) -> Room {
        self.inner.engine.room()
    }
}
