//! A shard with its threads: the port [`Shard`](callboard_actors::ports::Shard) over an [`Engine`].
//!
//! ```text
//!   submit ─> queue ─> journal thread: drain ≤ 4 MiB, one group, one sync        settling thread: when it is due
//!                      idle: sync what is only written within 1 s,                maker thread: the next segment, ahead
//!                            100 ms later an empty group that proves the sync     scrub thread: a little every second
//!   read ─> a reader thread, shared by all shards
//! ```
//!
//! At `unsettled_bytes_max` the gate closes: `admitted` waits until settling has made room, producers slow down and nothing
//! fails. The handle adds no decision of its own; the threads' loops stand in `threads.rs`.

use crate::storage::disk::fault::ShardFault;
use crate::storage::metrics;
use crate::storage::readers::Readers;
use crate::storage::sample::ShardSample;
use crate::storage::shard::engine::Engine;
use crate::storage::shard::inner::{Inner, OnFault};
use crate::storage::shard::threads;
use callboard_actors::permit::Permit;
use callboard_actors::ports::{
    Admission, Hint, Journal, ReadError, ReadRequest, Reading, ReplicaSink, ReplicaState, ShardError,
    ShardStats, Slices, Submission, TimeHit,
};
use callboard_core::partition::Forgotten;
use callboard_core::storage::{Durability, Entry, Retention, Room};
use callboard_core::{Offset, ReplicaId, Seq, TopicPartition};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// A shard whose threads run.
pub struct ShardHandle {
    inner: Arc<Inner>,
    readers: Arc<Readers>,
    /// Handed out once, by `recovered`.
    states: Mutex<Vec<ReplicaState>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Lets retention ask for one partition at a time, because all of them together would fill the readers' queue.
    retention: Arc<Semaphore>,
}

impl ShardHandle {
    /// Starts a shard's threads. One of them calls `on_fault` once, when the shard stops for good.
    pub fn start(
        engine: Arc<Engine>,
        states: Vec<ReplicaState>,
        readers: Arc<Readers>,
        on_fault: OnFault,
    ) -> std::io::Result<ShardHandle> {
        let shard = engine.shard();
        let inner = Arc::new(Inner::new(engine, on_fault));
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
            states: Mutex::new(states),
            threads: Mutex::new(threads),
            retention: Arc::new(Semaphore::new(1)),
        })
    }

    /// Ends the threads after what is queued, settles everything and proves the last sync.
    pub fn close(&self) -> Result<(), ShardFault> {
        self.inner.stop();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            let _ = thread.join();
        }
        self.inner.engine.close()
    }

    /// The fault that stopped the shard, if one did.
    #[must_use]
    pub fn fault(&self) -> Option<ShardFault> {
        self.inner.engine.fault().cloned()
    }

    /// Age of the journal sync that is running; zero if none is.
    #[must_use]
    pub fn sync_age(&self) -> Duration {
        self.inner.engine.sync_age()
    }

    /// The numbers for a scrape.
    pub(in crate::storage) fn sample(&self) -> ShardSample {
        self.inner.engine.sample(self.inner.gate.closed_for())
    }

    /// Reads of one replica: what does not prove itself is told to the replica as well.
    fn on_reader_of<T: Send + 'static>(
        &self,
        replica: ReplicaId,
        job: impl FnOnce(&Engine) -> Result<T, ReadError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, ReadError>> {
        on_reader(&self.inner, &self.readers, telling(replica, job))
    }
}

/// A job that tells the replica of rotten bytes. A database that has run out of space, or has stopped, proves nothing.
fn telling<T>(
    replica: ReplicaId,
    job: impl FnOnce(&Engine) -> Result<T, ReadError>,
) -> impl FnOnce(&Engine) -> Result<T, ReadError> {
    move |engine| {
        let done = job(engine);
        if let Err(ReadError::Corrupt(why)) = &done
            && engine.may_judge_reads()
        {
            engine.tell_rot(replica, why);
        }
        done
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
        // Nothing is read for a caller that has gone.
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

impl Journal for ShardHandle {
    fn recovered(&self) -> Vec<ReplicaState> {
        std::mem::take(&mut *self.states.lock())
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
        self.inner.engine.coming(submission.replica, &submission.entry);
        self.inner.push(submission)
    }

    fn forget(&self, replica: ReplicaId, forgotten: Forgotten) {
        self.inner.engine.forget(replica, forgotten);
    }

    fn hint(&self, replica: ReplicaId) -> Arc<Hint> {
        self.inner.engine.hint(replica)
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
        let written = match self.inner.push_and_hear(fence) {
            Ok(written) => written,
            Err(error) => return Box::pin(async move { Err(error) }),
        };
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
        self.on_reader_of(request.replica, move |engine| engine.read_on(request))
    }

    fn find_time(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        timestamp: i64,
    ) -> BoxFuture<'static, Result<Option<TimeHit>, ReadError>> {
        self.on_reader_of(replica, move |engine| engine.find_time(replica, from, until, timestamp))
    }

    fn max_time(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
    ) -> BoxFuture<'static, Result<Option<TimeHit>, ReadError>> {
        self.on_reader_of(replica, move |engine| engine.max_time(replica, from, until))
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
            let job = move |engine: &Engine| engine.expired(replica, from, until, &rules);
            on_reader(&inner, &readers, telling(replica, job)).await
        })
    }

    fn size(&self, replica: ReplicaId) -> BoxFuture<'static, Result<u64, ReadError>> {
        self.on_reader_of(replica, move |engine| engine.size(replica))
    }

    fn sizes(&self) -> BoxFuture<'static, Result<BTreeMap<ReplicaId, u64>, ReadError>> {
        on_reader(&self.inner, &self.readers, Engine::sizes)
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
