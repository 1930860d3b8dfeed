//! A shard of batches in memory. Its gate and its reads can be held; it journals nothing.

use bytes::Bytes;
use callboard_actors::ports::{
    Admission, Hint, Journal, Part, ReadError, ReadRequest, Reading, ReplicaSink, ReplicaState, ShardError,
    ShardStats, Slices, Submission, TimeHit,
};
use callboard_core::partition::Forgotten;
use callboard_core::storage::{Durability, Retention, Room};
use callboard_core::{Offset, ReplicaId, TopicPartition, records};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// A shard with one replica.
#[derive(Clone)]
pub struct TestShard(Arc<State>);

pub struct State {
    /// Batches of the replica, by ascending offset.
    pub batches: Mutex<Vec<Bytes>>,
    /// The answer of a read, if not the bytes.
    pub fails: Mutex<Option<ReadError>>,
    /// Reads that may end, one for each permit. All may if it is closed.
    pub reads: Semaphore,
    pub gate: watch::Sender<bool>,
}

impl Deref for TestShard {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl TestShard {
    pub fn new() -> TestShard {
        let reads = Semaphore::new(0);
        reads.close();
        TestShard::held(reads)
    }

    /// A shard whose reads end as the semaphore says.
    pub fn held(reads: Semaphore) -> TestShard {
        let (batches, fails) = Default::default();
        TestShard(Arc::new(State { batches, fails, reads, gate: watch::Sender::new(true) }))
    }

    fn slices(&self, request: &ReadRequest) -> Result<Slices, ReadError> {
        if let Some(error) = self.fails.lock().clone() {
            return Err(error);
        }
        let mut slices = Slices { next: request.from, ..Slices::default() };
        let batches = self.batches.lock();
        let end = batches.last().map_or(0, |batch| records::head(batch).unwrap().next_offset());
        if request.from > end {
            return Err(ReadError::OutOfRange(request.from));
        }
        for batch in batches.iter() {
            let head = records::head(batch).unwrap();
            let full = slices.bytes > 0 && slices.bytes + batch.len() > request.max_bytes;
            if full || head.base_offset >= request.until {
                break;
            }
            if head.next_offset() > request.from {
                slices.bytes += batch.len();
                slices.next = head.next_offset();
                slices.parts.push(Part::Bytes(batch.clone()));
            }
        }
        Ok(slices)
    }
}

impl Journal for TestShard {
    fn recovered(&self) -> Vec<ReplicaState> {
        Vec::new()
    }

    fn open(
        &self,
        _id: TopicPartition,
        _durability: Durability,
        _sink: Arc<dyn ReplicaSink>,
    ) -> Result<ReplicaId, ShardError> {
        Err(ShardError::Ending)
    }

    fn attach(&self, _replica: ReplicaId, _sink: Arc<dyn ReplicaSink>) {}

    fn submit(&self, _submission: Submission) -> Result<(), ShardError> {
        Err(ShardError::Ending)
    }

    fn forget(&self, _replica: ReplicaId, _forgotten: Forgotten) {}

    fn hint(&self, _replica: ReplicaId) -> Arc<Hint> {
        Arc::default()
    }

    fn rebuild(&self, _replica: ReplicaId) -> BoxFuture<'static, Result<ReplicaState, ShardError>> {
        ready(Err(ShardError::Ending)).boxed()
    }
}

type Found<T> = BoxFuture<'static, Result<T, ReadError>>;

impl Reading for TestShard {
    fn read(&self, request: ReadRequest) -> Found<Slices> {
        let shard = self.clone();
        async move {
            if let Ok(permit) = shard.reads.acquire().await {
                permit.forget();
            }
            shard.slices(&request)
        }
        .boxed()
    }

    fn find_time(&self, _: ReplicaId, _: Offset, _: Offset, _: i64) -> Found<Option<TimeHit>> {
        ready(Ok(None)).boxed()
    }

    fn max_time(&self, _: ReplicaId, _: Offset, _: Offset) -> Found<Option<TimeHit>> {
        ready(Ok(None)).boxed()
    }

    fn expired(&self, _: ReplicaId, _: Offset, _: Offset, _: Retention) -> Found<Option<Offset>> {
        ready(Ok(None)).boxed()
    }

    fn size(&self, _: ReplicaId) -> Found<u64> {
        ready(Ok(0)).boxed()
    }

    fn sizes(&self) -> Found<BTreeMap<ReplicaId, u64>> {
        ready(Ok(BTreeMap::new())).boxed()
    }
}

impl Admission for TestShard {
    fn index(&self) -> u16 {
        0
    }

    fn stats(&self) -> ShardStats {
        ShardStats::default()
    }

    fn admitted(&self) -> BoxFuture<'static, ()> {
        let mut gate = self.gate.subscribe();
        async move { drop(gate.wait_for(|open| *open).await) }.boxed()
    }

    fn room(&self) -> Room {
        Room::Ample
    }
}
