//! A partition from outside: what it shows (`View`), its tail, who waits for it, and where to send a batch.
//!
//! A fetch never enters an actor: it reads the view, then the tail or the store, below the high watermark.

use super::leader::LeaderMsg;
use super::tail::Tail;
use super::waiters::Waiters;
use crate::permit::Permit;
use crate::ports::{Part, ReadError, ReadRequest, Shard, Slices, TimeHit};
use crate::reply::{Answer, Reply};
use arc_swap::ArcSwap;
use bytes::BytesMut;
use callboard_core::partition::{Acks, ActiveProducer, Appended, LeaderConfig, Role, View};
use callboard_core::records::BatchHead;
use callboard_core::storage::Room;
use callboard_core::{LeaderEpoch, Offset, Reject, ReplicaId, TopicPartition};
use parking_lot::Mutex;
use ractor::ActorRef;
use std::sync::Arc;

/// Where a partition's bytes are, and who leads it.
#[derive(Clone)]
struct Home {
    shard: Arc<dyn Shard>,
    replica: ReplicaId,
    leader: ActorRef<LeaderMsg>,
}

/// A batch on its way in.
#[derive(Debug)]
pub struct Appending {
    /// The batch, writable in place.
    pub batch: BytesMut,
    /// Memory that the batch holds on to.
    pub pinned: usize,
    /// Its head.
    pub head: BatchHead,
    /// When to answer.
    pub acks: Acks,
    /// How long to wait, in milliseconds.
    pub timeout_ms: u64,
    /// Its bytes' permit.
    pub permit: Permit,
}

/// One partition.
pub struct PartitionHandle {
    /// Which.
    pub id: TopicPartition,
    view: ArcSwap<View>,
    pub(crate) tail: Mutex<Tail>,
    /// Who waits for bytes.
    pub waiters: Waiters,
    home: Option<Home>,
}

impl std::fmt::Debug for PartitionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionHandle").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PartitionHandle {
    /// A partition that is served.
    #[must_use]
    pub fn new(
        id: TopicPartition,
        view: View,
        shard: Arc<dyn Shard>,
        replica: ReplicaId,
        leader: ActorRef<LeaderMsg>,
    ) -> PartitionHandle {
        let home = Some(Home { shard, replica, leader });
        let view = ArcSwap::from_pointee(view);
        PartitionHandle { id, view, tail: Mutex::default(), waiters: Waiters::default(), home }
    }

    /// A partition that cannot be served, and why.
    #[must_use]
    pub fn offline(id: TopicPartition, leader_epoch: LeaderEpoch, why: String) -> PartitionHandle {
        let view = View {
            role: Role::Offline(why),
            leader_epoch,
            log_start: 0,
            end: 0,
            high_watermark: 0,
            last_stable_offset: 0,
            log_id: 0,
            rules: LeaderConfig::default().rules(),
            epochs: Arc::default(),
        };
        let view = ArcSwap::from_pointee(view);
        PartitionHandle { id, view, tail: Mutex::default(), waiters: Waiters::default(), home: None }
    }

    /// Its replica in the store, if it is served.
    #[must_use]
    pub fn replica(&self) -> Option<ReplicaId> {
        self.home.as_ref().map(|home| home.replica)
    }

    /// Its shard's number, and its replica there, if it is served.
    #[must_use]
    pub fn home_shard(&self) -> Option<(u16, ReplicaId)> {
        self.home.as_ref().map(|home| (home.shard.index(), home.replica))
    }

    /// Its boundaries now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Shows new boundaries and wakes who waits for them.
    pub fn publish(&self, view: View) {
        let before = self.view.swap(Arc::new(view));
        let now = self.view.load();
        if before.role != now.role
            || before.leader_epoch != now.leader_epoch
            || before.log_start != now.log_start
        {
            self.waiters.wake_all();
        } else if before.high_watermark != now.high_watermark {
            let tail = self.tail.lock();
            self.waiters.advanced(|from| tail.bytes_between(from, now.high_watermark));
        }
    }

    /// Its leader has ended. An orderly end and a failure were shown before; after any other the partition is idle
    /// until the next leader's handle takes this one's place.
    pub(super) fn leader_ended(&self) {
        let last = self.view();
        if last.role == Role::Leader {
            self.publish(View { role: Role::Idle, ..View::clone(&last) });
        }
    }

    /// Sends a batch to the leader.
    #[must_use]
    pub fn append(&self, appending: Appending) -> Answer<Result<Appended, Reject>> {
        // What is left of the reserve is for what frees space.
        if self.home.as_ref().is_some_and(|home| home.shard.room() == Room::Spent) {
            let (reply, answer) = Reply::new();
            reply.send(Err(Reject::DiskFull));
            return answer;
        }
        self.ask(|reply| LeaderMsg::Append(Box::new(appending), reply))
    }

    /// Sends the leader a message, if the role allows it. A leader that ends meanwhile drops the message, and the reply in
    /// it answers.
    fn ask<T>(
        &self,
        message: impl FnOnce(Reply<Result<T, Reject>>) -> LeaderMsg,
    ) -> Answer<Result<T, Reject>> {
        let (reply, answer) = Reply::new();
        match self.home() {
            Ok(home) => {
                let _ = home.leader.cast(message(reply));
            }
            Err(reject) => reply.send(Err(reject)),
        }
        answer
    }

    /// Why it takes no batch of a client now: its disk is full.
    #[must_use]
    pub fn refuses(&self) -> Option<Reject> {
        self.home.as_ref().filter(|home| home.shard.room().refuses()).map(|_| Reject::DiskFull)
    }

    /// Moves the log start up to an offset (−1: the high watermark); answered when that is durable, with the log start.
    #[must_use]
    pub fn trim(&self, to: Offset) -> Answer<Result<Appended, Reject>> {
        self.move_log_start(to, false)
    }

    /// The same, by the broker itself, which has written anew what is live: whatever the topic's policy.
    #[must_use]
    pub fn compacted(&self, to: Offset) -> Answer<Result<Appended, Reject>> {
        self.move_log_start(to, true)
    }

    fn move_log_start(&self, to: Offset, own: bool) -> Answer<Result<Appended, Reject>> {
        self.ask(|reply| LeaderMsg::Trim(to, own, reply))
    }

    /// The producers that the leader knows.
    #[must_use]
    pub fn producers(&self) -> Answer<Result<Vec<ActiveProducer>, Reject>> {
        self.ask(LeaderMsg::Producers)
    }

    /// Bytes to read from `from` on, as far as the tail knows; none where it does not reach back.
    #[must_use]
    pub fn tail_bytes(&self, from: Offset, until: Offset) -> Option<usize> {
        let mut tail = self.tail.lock();
        tail.wanted();
        tail.bytes_between(from, until)
    }

    /// Whole batches in `from .. until`, in memory: from the tail without I/O, else from the store.
    pub async fn read(&self, from: Offset, until: Offset, max_bytes: usize) -> Result<Slices, ReadError> {
        self.read_as(from, until, max_bytes, false).await
    }

    /// The same to be sent: parts may be files.
    pub async fn read_to_send(
        &self,
        from: Offset,
        until: Offset,
        max_bytes: usize,
    ) -> Result<Slices, ReadError> {
        self.read_as(from, until, max_bytes, true).await
    }

    async fn read_as(
        &self,
        from: Offset,
        until: Offset,
        max_bytes: usize,
        files: bool,
    ) -> Result<Slices, ReadError> {
        let held = {
            let mut tail = self.tail.lock();
            tail.wanted();
            tail.read(from, until, max_bytes)
        };
        if let Some((parts, bytes, next)) = held {
            let parts = parts.into_iter().map(Part::Bytes).collect();
            return Ok(Slices { parts, bytes, next });
        }
        let home = self.home()?;
        let request = ReadRequest { replica: home.replica, from, until, max_bytes, files };
        self.read_ended(home.shard.read(request).await)
    }

    /// The first record at or after a timestamp.
    pub async fn find_time(&self, timestamp: i64, until: Offset) -> Result<Option<TimeHit>, ReadError> {
        let (home, from) = (self.home()?, self.view().log_start);
        self.read_ended(home.shard.find_time(home.replica, from, until, timestamp).await)
    }

    /// The record with the largest timestamp.
    pub async fn max_time(&self, until: Offset) -> Result<Option<TimeHit>, ReadError> {
        let (home, from) = (self.home()?, self.view().log_start);
        self.read_ended(home.shard.max_time(home.replica, from, until).await)
    }

    /// Bytes of its batches in the store.
    pub async fn size(&self) -> Result<u64, ReadError> {
        let home = self.home()?;
        self.read_ended(home.shard.size(home.replica).await)
    }

    /// A read that failed while the role ended tells the role's end: its replica was let go, and nothing is broken.
    pub(super) fn read_ended<T>(&self, read: Result<T, ReadError>) -> Result<T, ReadError> {
        read.map_err(|error| match self.view.load().role.serves() {
            Ok(()) => error,
            Err(reject) => ReadError::Refused(reject),
        })
    }

    /// Resolves when the store takes more: at its limit producers wait here, before their bytes do.
    pub async fn admitted(&self) {
        if let Some(home) = &self.home {
            home.shard.admitted().await;
        }
    }

    /// Its home; a partition without one is told by its role.
    fn home(&self) -> Result<&Home, Reject> {
        self.view.load().role.serves().and(self.home.as_ref().ok_or(Reject::Unavailable))
    }
}
