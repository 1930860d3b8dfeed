//! A partition from outside: its published view, its tail, its waiting fetches, and the way for a batch to its actor.
//!
//! A fetch never enters an actor. It reads the view, then the tail or the store, below the high watermark, and then looks
//! whether a truncation overtook it.
//!
//! A replica has one handle for its whole life on this node. Its role changes in the view, and the actor behind it
//! may fail and be started again. Requests that hold the handle see both without looking the partition up anew. The
//! handle decides no offset and no epoch: the replica's machine and the supervisors above it do.

use super::feeds::Feeds;
use super::messages::{Appending, Heard, ReplicaMsg, Trimming};
use super::tail::Tail;
use super::waiters::{Waiter, Waiters};
use crate::changes::Changes;
use crate::ports::{Admission, Part, ReadError, ReadRequest, Shard, Slices, TimeHit};
use crate::reply::{Answer, Reply};
use arc_swap::{ArcSwap, ArcSwapOption};
use callboard_core::coordinator::epoch::Tenure;
use callboard_core::partition::{ActiveProducer, Appended, Role, TrimTo, View};
use callboard_core::storage::{Entry, Room};
use callboard_core::{LeaderEpoch, Offset, Reject, ReplicaId, TopicPartition};
use parking_lot::Mutex;
use ractor::{ActorId, ActorRef};
use std::sync::{Arc, OnceLock};

/// Milliseconds for which the broker's own trim waits.
const OWN_TRIM_MS: u64 = 30_000;

/// One replica of a partition on this node, for as long as it lives here. Roles and actors come and go meanwhile.
pub struct PartitionHandle {
    pub id: TopicPartition,
    view: ArcSwap<View>,
    pub(super) tail: Mutex<Tail>,
    /// Fetches that wait for bytes of this partition.
    pub waiters: Waiters,
    /// The feeds of followers that read this partition.
    pub(super) feeds: Feeds,
    /// None if no working shard has a replica.
    shard: Option<Arc<dyn Shard>>,
    /// Set once the replica is open.
    replica: OnceLock<ReplicaId>,
    /// None while no actor works for the replica.
    serving: ArcSwapOption<Serving>,
    /// Number of actors that have served the replica so far. Its lock is held while one begins or ends, because the end of
    /// a former actor may come after the beginning of the next.
    lives: Mutex<u64>,
    /// Rings when role or leader epoch change.
    roles: Arc<Changes>,
}

/// The actor of the replica, and its number.
struct Serving {
    life: u64,
    actor: ActorRef<ReplicaMsg>,
}

impl std::fmt::Debug for PartitionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionHandle").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PartitionHandle {
    /// An idle replica, whose log is not known yet. `roles` rings at each change of its role.
    #[must_use]
    pub fn new(id: TopicPartition, shard: Option<Arc<dyn Shard>>, roles: Arc<Changes>) -> PartitionHandle {
        PartitionHandle {
            id,
            view: ArcSwap::from_pointee(View::unknown(Role::Idle, 0)),
            tail: Mutex::default(),
            waiters: Waiters::default(),
            feeds: Feeds::default(),
            shard,
            replica: OnceLock::new(),
            serving: ArcSwapOption::empty(),
            lives: Mutex::new(0),
            roles,
        }
    }

    /// A replica that is open already, with this actor behind it. Tests of what talks to replicas use it.
    #[must_use]
    pub fn with_actor(
        id: TopicPartition,
        shard: Option<Arc<dyn Shard>>,
        actor: ActorRef<ReplicaMsg>,
    ) -> PartitionHandle {
        let handle = PartitionHandle::new(id, shard, Arc::default());
        handle.begin(ReplicaId(1), actor);
        handle
    }

    /// The number of its shard; none if no working shard has the replica.
    #[must_use]
    pub fn shard_index(&self) -> Option<u16> {
        Some(self.shard.as_ref()?.index())
    }

    /// How much more its shard takes; none if no working shard has the replica.
    #[must_use]
    pub fn admission(&self) -> Option<Arc<dyn Admission>> {
        Some(Arc::clone(self.shard.as_ref()?) as Arc<dyn Admission>)
    }

    /// The replica's id in its shard; none before it is open.
    #[must_use]
    pub fn replica(&self) -> Option<ReplicaId> {
        self.replica.get().copied()
    }

    /// The number of its shard, and the replica's id there. None if the replica is not open yet, or was given up.
    #[must_use]
    pub fn home_shard(&self) -> Option<(u16, ReplicaId)> {
        if self.serving.load().is_none() && matches!(self.view.load().role, Role::Offline(_)) {
            return None;
        }
        Some((self.shard.as_ref()?.index(), self.replica()?))
    }

    /// Begins the life of an actor. The tail is cleared, because a batch that a former actor left there may be in no
    /// log.
    pub(crate) fn begin(&self, replica: ReplicaId, actor: ActorRef<ReplicaMsg>) {
        let mut lives = self.lives.lock();
        let _ = self.replica.set(replica);
        self.tail.lock().clear();
        *lives += 1;
        self.serving.store(Some(Arc::new(Serving { life: *lives, actor })));
        // A coordinator follows lives, and the view of this one may look like that of the former.
        if *lives > 1 {
            self.roles.ring();
        }
    }

    /// Number of the replica's current actor. A new actor knows only the journaled batches of its former ones.
    #[must_use]
    pub fn life(&self) -> u64 {
        *self.lives.lock()
    }

    /// Shows the partition as offline, because no actor serves it.
    pub fn offline(&self, leader_epoch: LeaderEpoch, why: String) {
        let last = self.view();
        self.publish(View { role: Role::Offline(why), leader_epoch, ..View::clone(&last) });
    }

    /// The role and the boundaries at this moment.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Shows new boundaries, and wakes the feeds and the fetches that wait for them.
    pub fn publish(&self, view: View) {
        let before = self.view.swap(Arc::new(view));
        let now = self.view.load();
        self.feeds.moved(self.id, &before, &now);
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

    /// Notes that an actor of the replica has ended. After a failure of the actor, the replica is idle until the next
    /// one starts. An orderly end and a failure of the disk were shown before.
    pub(crate) fn ended(&self, actor: ActorId) {
        let _alone = self.lives.lock();
        if self.serving.load().as_ref().is_none_or(|now| now.actor.get_id() != actor) {
            return;
        }
        self.serving.store(None);
        let last = self.view();
        if matches!(last.role, Role::Leader | Role::Follower { .. }) {
            self.publish(View { role: Role::Idle, ..View::clone(&last) });
        }
    }

    /// Sends a batch to the leader. The answer comes when the batch is as durable as its request asked.
    #[must_use]
    pub fn append(&self, appending: Appending) -> Answer<Result<Appended, Reject>> {
        self.append_to(None, None, appending)
    }

    /// Sends a batch that belongs to one leadership. Another one refuses it, because its coordinator does not know it.
    #[must_use]
    pub fn append_in(&self, tenure: Tenure, appending: Appending) -> Answer<Result<Appended, Reject>> {
        self.append_to(Some(tenure.life), Some(tenure.leader_epoch), appending)
    }

    fn append_to(
        &self,
        life: Option<u64>,
        epoch: Option<LeaderEpoch>,
        appending: Appending,
    ) -> Answer<Result<Appended, Reject>> {
        // The rest of the reserve is kept for work that frees space.
        if self.shard.as_ref().is_some_and(|shard| shard.room() == Room::Spent) {
            return refused(Reject::DiskFull);
        }
        self.ask(life, |reply| ReplicaMsg::Append(Box::new(appending), epoch, reply))
    }

    /// Tells the replica's actor a word of another node. False if no actor works for the replica now.
    pub fn hear(&self, heard: Heard) -> bool {
        self.tell(ReplicaMsg::Heard(heard))
    }

    /// Sends the replica's actor a message, whatever its role is.
    pub(crate) fn tell(&self, message: ReplicaMsg) -> bool {
        self.serving.load().as_ref().is_some_and(|serving| serving.actor.cast(message).is_ok())
    }

    /// Sends the replica's actor a message, if the role allows it. An actor that ends meanwhile drops the message,
    /// and so the reply in it answers.
    fn ask<T>(
        &self,
        life: Option<u64>,
        message: impl FnOnce(Reply<Result<T, Reject>>) -> ReplicaMsg,
    ) -> Answer<Result<T, Reject>> {
        let (reply, answer) = Reply::new();
        let serving = self.serving.load();
        let serving = serving.as_ref().filter(|serving| life.is_none_or(|life| life == serving.life));
        match (self.view.load().role.serves(), serving) {
            (Ok(()), Some(serving)) => {
                let _ = serving.actor.cast(message(reply));
            }
            (Ok(()), None) => reply.send(Err(Reject::Unavailable)),
            (Err(reject), _) => reply.send(Err(reject)),
        }
        answer
    }

    /// The refusal of clients' batches while the disk is full; none while there is room.
    #[must_use]
    pub fn refuses(&self) -> Option<Reject> {
        self.shard.as_ref().filter(|shard| shard.room().refuses()).map(|_| Reject::DiskFull)
    }

    /// Moves the log start up. The answer comes when the move is durable, and holds the log start.
    #[must_use]
    pub fn trim(&self, to: TrimTo, timeout_ms: u64) -> Answer<Result<Appended, Reject>> {
        self.ask(None, |reply| ReplicaMsg::Trim(Trimming { to, own: false, timeout_ms }, reply))
    }

    /// Moves the log start up for the broker itself, which has written the live records anew. The topic's policy does
    /// not count.
    #[must_use]
    pub fn compacted(&self, tenure: Tenure, to: Offset) -> Answer<Result<Appended, Reject>> {
        if self.view.load().leader_epoch != tenure.leader_epoch {
            return refused(Reject::NotLeader);
        }
        let trimming = Trimming { to: TrimTo::Offset(to), own: true, timeout_ms: OWN_TRIM_MS };
        self.ask(Some(tenure.life), |reply| ReplicaMsg::Trim(trimming, reply))
    }

    /// The producers that the leader knows.
    #[must_use]
    pub fn producers(&self) -> Answer<Result<Vec<ActiveProducer>, Reject>> {
        self.ask(None, ReplicaMsg::Producers)
    }

    /// The log end and the high watermark behind everything that any actor of this tenure's life was sent before (R34).
    #[must_use]
    pub fn ends(&self, tenure: Tenure) -> Answer<Result<(Offset, Offset), Reject>> {
        self.ask(Some(tenure.life), ReplicaMsg::Ends)
    }

    /// Waits until the high watermark lies above this offset, and gives it. None if another leadership or life has begun.
    pub async fn committed_above(&self, tenure: Tenure, offset: Offset) -> Option<Offset> {
        loop {
            let waiter = Waiter::new(1);
            self.waiters.hang(&waiter, offset);
            let view = self.view();
            let holds = Tenure::of(&view.role, view.leader_epoch, self.life()) == Some(tenure);
            let moved = view.high_watermark > offset;
            if holds && !moved && !self.waiters.is_closed() {
                waiter.woken().await;
            }
            self.waiters.unhang(&waiter);
            if !holds || self.waiters.is_closed() {
                return None;
            }
            if moved {
                return Some(view.high_watermark);
            }
        }
    }

    /// Bytes of the tail's batches in `from .. until`; none if the tail does not reach back. The question counts as a
    /// read.
    #[must_use]
    pub fn tail_bytes(&self, from: Offset, until: Offset) -> Option<usize> {
        let mut tail = self.tail.lock();
        tail.wanted();
        tail.bytes_between(from, until)
    }

    /// Reads whole committed batches in `from .. until` into memory: from the tail without I/O, else from the store.
    pub async fn read(&self, from: Offset, until: Offset, max_bytes: usize) -> Result<Slices, ReadError> {
        self.read_as(&self.view(), from, until, max_bytes, false).await
    }

    /// Reads whole committed batches to be sent to a consumer that was shown this view. Parts may be files.
    pub async fn read_to_send(
        &self,
        view: &View,
        from: Offset,
        until: Offset,
        max_bytes: usize,
    ) -> Result<Slices, ReadError> {
        self.read_as(view, from, until, max_bytes, true).await
    }

    async fn read_as(
        &self,
        view: &View,
        from: Offset,
        until: Offset,
        max_bytes: usize,
        files: bool,
    ) -> Result<Slices, ReadError> {
        view.role.serves()?;
        let until = until.min(view.high_watermark);
        let held = {
            let mut tail = self.tail.lock();
            tail.wanted();
            tail.read(from, until, max_bytes)
        };
        if let Some((parts, bytes, next)) = held {
            let parts = parts.into_iter().map(Part::Bytes).collect();
            return self.found(view, Ok(Slices { parts, bytes, next }));
        }
        let (shard, replica) = self.home(view)?;
        let request = ReadRequest { replica, from, until, max_bytes, files };
        self.found(view, shard.read(request).await)
    }

    /// The first committed record at or after a timestamp, below `until`.
    pub async fn find_time(&self, timestamp: i64, until: Offset) -> Result<Option<TimeHit>, ReadError> {
        let view = self.view();
        let (shard, replica) = self.home(&view)?;
        let until = until.min(view.high_watermark);
        self.found(&view, shard.find_time(replica, view.log_start, until, timestamp).await)
    }

    /// The committed record with the largest timestamp below `until`.
    pub async fn max_time(&self, until: Offset) -> Result<Option<TimeHit>, ReadError> {
        let view = self.view();
        let (shard, replica) = self.home(&view)?;
        let until = until.min(view.high_watermark);
        self.found(&view, shard.max_time(replica, view.log_start, until).await)
    }

    /// The outcome of a read under this view. If a truncation overtook it, other bytes may lie at its offsets by now.
    ///
    /// A leader never truncates, so the answer is that this node does not lead. The client keeps its offset and asks again;
    /// after OFFSET_OUT_OF_RANGE it would go to another one, and could skip records.
    pub(super) fn found<T>(&self, view: &View, read: Result<T, ReadError>) -> Result<T, ReadError> {
        let now = self.view.load();
        let cut = now.log_id != view.log_id;
        match now.role.serves() {
            Ok(()) if cut => Err(Reject::NotLeader.into()),
            Err(reject) if cut || read.is_err() => Err(reject.into()),
            _ => read,
        }
    }

    /// Takes out of the tail what an entry takes out of the log. The view of the shorter log is shown later.
    pub(super) fn cut(&self, entry: &Entry) {
        match entry {
            Entry::Truncate { to } => self.tail.lock().cut(*to),
            Entry::Reset { .. } => self.tail.lock().clear(),
            _ => {}
        }
    }

    /// Bytes of the replica's batches in the store.
    pub async fn size(&self) -> Result<u64, ReadError> {
        let (shard, replica) = self.home(&self.view())?;
        self.read_ended(shard.size(replica).await)
    }

    /// Explains a read that failed because the role ended: the replica was let go, and no storage is broken.
    pub(super) fn read_ended<T>(&self, read: Result<T, ReadError>) -> Result<T, ReadError> {
        read.map_err(|error| match self.view.load().role.serves() {
            Ok(()) => error,
            Err(reject) => ReadError::Refused(reject),
        })
    }

    /// The shard and the replica in it, if this view's role lets them be read.
    pub(super) fn home(&self, view: &View) -> Result<(&Arc<dyn Shard>, ReplicaId), Reject> {
        view.role.serves()?;
        self.shard.as_ref().zip(self.replica()).ok_or(Reject::Unavailable)
    }
}

/// An answer that is there already.
fn refused<T>(reject: Reject) -> Answer<Result<T, Reject>> {
    let (reply, answer) = Reply::new();
    reply.send(Err(reject));
    answer
}

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
