//! A partition from outside: what it shows (`View`), its tail, who waits for it, and where to send a batch.
//!
//! A fetch never enters an actor: it reads the view, then the tail or the store, below the high watermark.
//!
//! There is one handle for a replica's whole life on this node. Roles change in its view; the actor behind it may fail and
//! be started again. Requests that hold the handle see both without looking the partition up anew.

use super::messages::{Appending, ReplicaMsg};
use super::tail::Tail;
use super::waiters::Waiters;
use crate::changes::Changes;
use crate::ports::{Part, ReadError, ReadRequest, Shard, Slices, TimeHit};
use crate::reply::{Answer, Reply};
use arc_swap::{ArcSwap, ArcSwapOption};
use callboard_core::partition::{ActiveProducer, Appended, Role, TrimTo, View};
use callboard_core::storage::Room;
use callboard_core::{LeaderEpoch, Offset, Reject, ReplicaId, TopicPartition};
use parking_lot::Mutex;
use ractor::{ActorId, ActorRef};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// One replica of a partition on this node, for as long as it lives here: its roles and actors come and go.
pub struct PartitionHandle {
    pub id: TopicPartition,
    view: ArcSwap<View>,
    pub(super) tail: Mutex<Tail>,
    /// Fetches that wait for bytes.
    pub waiters: Waiters,
    /// None where no shard has a replica that works.
    shard: Option<Arc<dyn Shard>>,
    /// Known once the replica is open.
    replica: OnceLock<ReplicaId>,
    /// None while the actor is being started again.
    actor: ArcSwapOption<ActorRef<ReplicaMsg>>,
    /// Actors that have served the replica so far.
    lives: AtomicU64,
    /// Rung when role or leader epoch change.
    roles: Arc<Changes>,
}

impl std::fmt::Debug for PartitionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionHandle").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PartitionHandle {
    /// An idle replica, whose log is not known yet. `roles` is rung at each change of its role.
    #[must_use]
    pub fn new(id: TopicPartition, shard: Option<Arc<dyn Shard>>, roles: Arc<Changes>) -> PartitionHandle {
        PartitionHandle {
            id,
            view: ArcSwap::from_pointee(View::unknown(Role::Idle, 0)),
            tail: Mutex::default(),
            waiters: Waiters::default(),
            shard,
            replica: OnceLock::new(),
            actor: ArcSwapOption::empty(),
            lives: AtomicU64::new(0),
            roles,
        }
    }

    /// The replica's id in its shard, once it is open.
    #[must_use]
    pub fn replica(&self) -> Option<ReplicaId> {
        self.replica.get().copied()
    }

    /// Its shard's number, and its replica there, unless it is offline.
    #[must_use]
    pub fn home_shard(&self) -> Option<(u16, ReplicaId)> {
        if let Role::Offline(_) = self.view.load().role {
            return None;
        }
        Some((self.shard.as_ref()?.index(), self.replica()?))
    }

    /// A life of the replica's actor begins. What a former one left in the tail may be in no log.
    pub(super) fn begin(&self, replica: ReplicaId, actor: ActorRef<ReplicaMsg>) {
        let _ = self.replica.set(replica);
        self.tail.lock().clear();
        self.lives.fetch_add(1, Ordering::AcqRel);
        self.actor.store(Some(Arc::new(actor)));
    }

    /// Grows with each actor of the replica. Of what a former one had taken in, its next one knows only what is journaled.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.lives.load(Ordering::Acquire)
    }

    /// Shows the partition as offline: no actor serves it.
    pub fn offline(&self, leader_epoch: LeaderEpoch, why: String) {
        let last = self.view();
        self.publish(View { role: Role::Offline(why), leader_epoch, ..View::clone(&last) });
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
        let role = before.role != now.role || before.leader_epoch != now.leader_epoch;
        if role || before.log_start != now.log_start {
            self.waiters.wake_all();
        } else if before.high_watermark != now.high_watermark {
            let tail = self.tail.lock();
            self.waiters.advanced(|from| tail.bytes_between(from, now.high_watermark));
        }
        if role {
            self.roles.ring();
        }
    }

    /// An actor of the replica has ended. An orderly end and a failure of the disk were shown before; after any other the
    /// replica is idle until its actor is started again.
    pub(super) fn ended(&self, actor: ActorId) {
        if self.actor.load().as_ref().is_none_or(|now| now.get_id() != actor) {
            return;
        }
        self.actor.store(None);
        let last = self.view();
        if last.role == Role::Leader {
            self.publish(View { role: Role::Idle, ..View::clone(&last) });
        }
    }

    /// Sends a batch to the leader.
    #[must_use]
    pub fn append(&self, appending: Appending) -> Answer<Result<Appended, Reject>> {
        // What is left of the reserve is for what frees space.
        if self.shard.as_ref().is_some_and(|shard| shard.room() == Room::Spent) {
            let (reply, answer) = Reply::new();
            reply.send(Err(Reject::DiskFull));
            return answer;
        }
        self.ask(|reply| ReplicaMsg::Append(Box::new(appending), reply))
    }

    /// Sends the replica's actor a message, if the role allows it. An actor that ends meanwhile drops the message, and the
    /// reply in it answers.
    fn ask<T>(
        &self,
        message: impl FnOnce(Reply<Result<T, Reject>>) -> ReplicaMsg,
    ) -> Answer<Result<T, Reject>> {
        let (reply, answer) = Reply::new();
        match (self.view.load().role.serves(), &*self.actor.load()) {
            (Ok(()), Some(actor)) => {
                let _ = actor.cast(message(reply));
            }
            (Ok(()), None) => reply.send(Err(Reject::Unavailable)),
            (Err(reject), _) => reply.send(Err(reject)),
        }
        answer
    }

    /// Why it takes no batch of a client now: its disk is full.
    #[must_use]
    pub fn refuses(&self) -> Option<Reject> {
        self.shard.as_ref().filter(|shard| shard.room().refuses()).map(|_| Reject::DiskFull)
    }

    /// Moves the log start up; answered when that is durable, with the log start.
    #[must_use]
    pub fn trim(&self, to: TrimTo) -> Answer<Result<Appended, Reject>> {
        self.ask(|reply| ReplicaMsg::Trim(to, false, reply))
    }

    /// The same, by the broker itself, which has written anew what is live: whatever the topic's policy.
    #[must_use]
    pub fn compacted(&self, to: Offset) -> Answer<Result<Appended, Reject>> {
        self.ask(|reply| ReplicaMsg::Trim(TrimTo::Offset(to), true, reply))
    }

    /// The producers that the leader knows.
    #[must_use]
    pub fn producers(&self) -> Answer<Result<Vec<ActiveProducer>, Reject>> {
        self.ask(ReplicaMsg::Producers)
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
        let (shard, replica) = self.home()?;
        let request = ReadRequest { replica, from, until, max_bytes, files };
        self.read_ended(shard.read(request).await)
    }

    /// The first record at or after a timestamp.
    pub async fn find_time(&self, timestamp: i64, until: Offset) -> Result<Option<TimeHit>, ReadError> {
        let ((shard, replica), from) = (self.home()?, self.view().log_start);
        self.read_ended(shard.find_time(replica, from, until, timestamp).await)
    }

    /// The record with the largest timestamp.
    pub async fn max_time(&self, until: Offset) -> Result<Option<TimeHit>, ReadError> {
        let ((shard, replica), from) = (self.home()?, self.view().log_start);
        self.read_ended(shard.max_time(replica, from, until).await)
    }

    /// Bytes of its batches in the store.
    pub async fn size(&self) -> Result<u64, ReadError> {
        let (shard, replica) = self.home()?;
        self.read_ended(shard.size(replica).await)
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
        if let Some(shard) = &self.shard {
            shard.admitted().await;
        }
    }

    /// Where its bytes are, if its role lets them be read.
    fn home(&self) -> Result<(&Arc<dyn Shard>, ReplicaId), Reject> {
        self.view.load().role.serves()?;
        self.shard.as_ref().zip(self.replica()).ok_or(Reject::Unavailable)
    }
}
