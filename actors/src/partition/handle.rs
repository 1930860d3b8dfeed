//! A partition from outside: its published view, its tail, its waiting fetches, and the way for a batch to its actor.
//!
//! A fetch never enters an actor. It reads the view, then the tail or the store, below the high watermark, and then looks
//! whether a truncation overtook it.
//!
//! A replica has one handle for its whole life on this node. Its role changes in the view, and the actor behind it
//! may fail and be started again. Requests that hold the handle see both without looking the partition up anew. The
//! handle decides no offset and no epoch: the replica's machine and the supervisors above it do.

use super::messages::{Appending, Heard, ReplicaMsg, Trimming};
use super::tail::Tail;
use super::waiters::{Waiter, Waiters};
use crate::changes::Changes;
use crate::ports::{Part, ReadError, ReadRequest, Shard, Slices, TimeHit};
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
            shard,
            replica: OnceLock::new(),
            serving: ArcSwapOption::empty(),
            lives: Mutex::new(0),
            roles,
        }
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
    pub(super) fn begin(&self, replica: ReplicaId, actor: ActorRef<ReplicaMsg>) {
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

    /// Shows new boundaries, and wakes the fetches that wait for them.
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
    fn found<T>(&self, view: &View, read: Result<T, ReadError>) -> Result<T, ReadError> {
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
    fn home(&self, view: &View) -> Result<(&Arc<dyn Shard>, ReplicaId), Reject> {
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
mod tests {
    use super::*;
    use bytes::Bytes;
    use callboard_core::TopicId;
    use ractor::{Actor, ActorProcessingErr};

    struct Nobody;

    impl Actor for Nobody {
        type Msg = ReplicaMsg;
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, _me: ActorRef<ReplicaMsg>, _args: ()) -> Result<(), ActorProcessingErr> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_former_actor_that_ends_late_takes_nothing_from_the_next() {
        let id = TopicPartition { topic: TopicId([1; 16]), partition: 0 };
        let roles = Arc::new(Changes::default());
        let handle = PartitionHandle::new(id, None, Arc::clone(&roles));
        let leader = || View::unknown(Role::Leader, 3);
        let (former, _) = Actor::spawn(None, Nobody, ()).await.unwrap();
        let (next, _) = Actor::spawn(None, Nobody, ()).await.unwrap();
        handle.begin(ReplicaId(1), former.clone());
        handle.publish(leader());
        let mut watch = roles.watch();
        // The same role in the same epoch, yet another life: its coordinator has to be another one.
        handle.begin(ReplicaId(1), next.clone());
        handle.publish(leader());
        assert!(watch.has_changed().unwrap());
        watch.mark_unchanged();
        handle.ended(former.get_id());
        assert_eq!((handle.life(), &handle.view().role), (2, &Role::Leader));
        assert!(!watch.has_changed().unwrap());
        let tenure = |life| Tenure { leader_epoch: 3, life };
        let late = handle.compacted(tenure(1), 5).get().await;
        assert_eq!(late, Err(Reject::Unavailable), "the former coordinator trims nothing");
        handle.ended(next.get_id());
        assert_eq!(handle.view().role, Role::Idle);
        assert!(watch.has_changed().unwrap());
        former.stop(None);
        next.stop(None);
    }

    /// A leader's handle whose tail holds the batches 0 to 9, 10 to 19 and so on up to 40, committed up to 30.
    fn held() -> PartitionHandle {
        let id = TopicPartition { topic: TopicId([1; 16]), partition: 0 };
        let handle = PartitionHandle::new(id, None, Arc::default());
        for n in 0..4 {
            handle.tail.lock().push(n * 10, n * 10 + 10, Bytes::from(vec![n as u8; 100]));
        }
        handle.publish(View { end: 40, high_watermark: 30, ..View::unknown(Role::Leader, 3) });
        handle
    }

    #[tokio::test]
    async fn a_consumer_reads_below_the_high_watermark_of_its_view_alone() {
        let handle = held();
        let view = handle.view();
        for until in [30, 40, Offset::MAX] {
            assert_eq!(handle.read(0, until, 1_000).await.unwrap().next, 30, "{until}");
            assert_eq!(handle.read_to_send(&view, 10, until, 1_000).await.unwrap().next, 30, "{until}");
        }
        handle.publish(View { high_watermark: 40, ..View::clone(&view) });
        assert_eq!(handle.read_to_send(&view, 10, 40, 1_000).await.unwrap().next, 30, "its own view");
        assert_eq!(handle.read(10, 40, 1_000).await.unwrap().next, 40);
        let follower = View { role: Role::Follower { leader: 2 }, ..View::clone(&view) };
        let refused = handle.read_to_send(&follower, 0, 30, 1_000).await.unwrap_err();
        assert_eq!(refused, ReadError::Refused(Reject::NotLeader));
    }

    #[tokio::test]
    async fn a_read_that_a_truncation_overtook_is_asked_for_again() {
        let storage = || Role::Offline("EIO".into());
        // Each row: the role and the log id after the read; the answer to a read that went well, and to one that did not.
        let lost = || Some(Reject::NotLeader);
        let rows = [
            (Role::Leader, 0, None, None),
            (Role::Leader, 1, lost(), lost()),
            (Role::Follower { leader: 2 }, 0, None, lost()),
            (Role::Follower { leader: 2 }, 1, lost(), lost()),
            (Role::Idle, 1, Some(Reject::Unavailable), Some(Reject::Unavailable)),
            (storage(), 0, None, Some(Reject::Storage("EIO".into()))),
        ];
        for (role, log_id, well, badly) in rows {
            let handle = held();
            let view = handle.view();
            handle.publish(View { role: role.clone(), log_id, ..View::clone(&view) });
            let said =
                |reject: Option<Reject>, otherwise| reject.map_or(otherwise, |r| Err(ReadError::Refused(r)));
            assert_eq!(handle.found(&view, Ok(7)), said(well.clone(), Ok(7)), "{role:?} {log_id}");
            let error = Err(ReadError::OutOfRange(5));
            assert_eq!(handle.found::<i32>(&view, error.clone()), said(badly, error), "{role:?} {log_id}");
            let read = handle.read_to_send(&view, 0, 30, 1_000).await;
            assert_eq!(read.err(), well.map(ReadError::Refused), "from the tail: {role:?} {log_id}");
        }
    }

    #[tokio::test]
    async fn the_tail_is_cut_with_the_log() {
        let left = |entry: Entry| {
            let handle = held();
            handle.cut(&entry);
            (handle.tail_bytes(0, 40), handle)
        };
        let rows = [
            (Entry::Truncate { to: 40 }, Some(400)),
            (Entry::Truncate { to: 20 }, Some(200)),
            (Entry::Truncate { to: 15 }, Some(100)),
            (Entry::Truncate { to: 0 }, None),
            (Entry::Reset { at: 40 }, None),
            (Entry::Reset { at: 15 }, None),
            (Entry::Fence, Some(400)),
        ];
        for (entry, bytes) in rows {
            assert_eq!(left(entry).0, bytes, "{entry:?}");
        }
        // A leader's next batch may lie behind a gap, exactly where the former log ended.
        let (_, handle) = left(Entry::Truncate { to: 20 });
        handle.tail.lock().push(40, 50, Bytes::from(vec![9; 100]));
        handle.publish(View { log_id: 1, end: 50, high_watermark: 50, ..View::unknown(Role::Leader, 4) });
        assert_eq!(handle.tail_bytes(20, 50), None, "bytes of the former log");
        assert_eq!(handle.read(40, 50, 1_000).await.unwrap().bytes, 100);
    }
}
