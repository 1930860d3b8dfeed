//! What a coordinator's machine acts through: the partition's handle, and the groups.
//!
//! The machine names records by ticket and batches by number; here are the records, the batches' answers and the actors.
//! Answers of the partition's leader come back in the order of the batches, because one task waits for them, one by one.

use super::messages::{CoordinatorMsg, GroupMsg, Unloaded};
use super::table::Coordinators;
use crate::partition::{Appending, PartitionHandle};
use crate::permit::Permit;
use crate::ports::ReadError;
use crate::reply::{Answer, Reply};
use crate::shell::Perform;
use crate::tickets::Tickets;
use bytes::BytesMut;
use callboard_core::coordinator::Effect;
use callboard_core::coordinator::epoch::Tenure;
use callboard_core::coordinator::load::Replay;
use callboard_core::group::{Answer as Said, GroupRecord, Input as GroupInput};
use callboard_core::partition::{Acks, Appended};
use callboard_core::records::{BatchBuilder, NewRecord};
use callboard_core::{ErrorCode, Offset, Reject, Ticket};
use ractor::ActorRef;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// A batch of group state waits so long for its replicas (Kafka: `offsets.commit.timeout.ms`).
const COMMIT_TIMEOUT_MS: u64 = 5_000;
/// Bytes that a load reads at once.
const READ_BYTES: usize = 1 << 20;

/// A group's actor, and how much it was told.
pub(super) struct Group {
    actor: ActorRef<GroupMsg>,
    /// Messages sent to it that it counts as handled.
    sent: u64,
}

impl Group {
    /// An actor that was told nothing yet.
    pub fn new(actor: ActorRef<GroupMsg>) -> Group {
        Group { actor, sent: 0 }
    }

    /// Sends a message that keeps the actor from going before it has handled it.
    pub fn tell(&mut self, message: GroupMsg) {
        self.sent += 1;
        let _ = self.actor.cast(message);
    }

    /// Whether the actor has handled all of its messages, if it has handled this many.
    pub fn has_handled(&self, handled: u64) -> bool {
        self.sent == handled
    }

    /// Lets the actor handle what it has, and end.
    pub fn drain(&self) {
        let _ = self.actor.drain();
    }
}

/// Records of one store, in parts, and the group that waits for them.
pub(super) struct Storing {
    pub from: ActorRef<GroupMsg>,
    pub write: u64,
    pub parts: Vec<Vec<NewRecord>>,
}

/// A batch on its way: its number, its bytes, and where its answer arrives.
type Waiting = (u64, u64, Answer<Result<Appended, Reject>>);

/// The partition and the groups of one coordinator.
pub(super) struct CoordinatorIo {
    me: ActorRef<CoordinatorMsg>,
    pub handle: Arc<PartitionHandle>,
    /// The leadership that this coordinator belongs to: another one takes nothing from it.
    tenure: Tenure,
    /// Whether requests may come, for those who ask without a message.
    loaded: Arc<AtomicBool>,
    /// Told when that changes to yes.
    table: Arc<Coordinators>,
    pub groups: HashMap<String, Group>,
    pub storing: Tickets<Storing>,
    answers: mpsc::UnboundedSender<Waiting>,
}

impl CoordinatorIo {
    /// A coordinator of no group yet. Starts the task that waits for answers.
    pub fn new(
        me: ActorRef<CoordinatorMsg>,
        (handle, tenure): (Arc<PartitionHandle>, Tenure),
        loaded: Arc<AtomicBool>,
        table: Arc<Coordinators>,
    ) -> CoordinatorIo {
        let (answers, waiting) = mpsc::unbounded_channel();
        tokio::spawn(pass_on(waiting, me.clone()));
        let (groups, storing) = (HashMap::new(), Tickets::default());
        CoordinatorIo { me, handle, tenure, loaded, table, groups, storing, answers }
    }

    /// Asks the replica for its log end, through its mailbox, and follows the high watermark up to there (R34).
    pub fn mark(&self) {
        let (handle, me, tenure) = (Arc::clone(&self.handle), self.me.clone(), self.tenure);
        tokio::spawn(async move {
            let (end, mut high_watermark) = match handle.ends(tenure).get().await {
                Ok(ends) => ends,
                Err(reject) => {
                    let _ = me.cast(CoordinatorMsg::Loaded(Err(Unloaded::NotLed(reject))));
                    return;
                }
            };
            let _ = me.cast(CoordinatorMsg::Marked(end, high_watermark));
            while high_watermark < end {
                let Some(now) = handle.committed_above(tenure, high_watermark).await else { return };
                high_watermark = now;
                if me.cast(CoordinatorMsg::Advanced(now)).is_err() {
                    return;
                }
            }
        });
    }

    fn read(&self, until: Offset) {
        let (handle, me) = (Arc::clone(&self.handle), self.me.clone());
        tokio::spawn(async move {
            let _ = me.cast(CoordinatorMsg::Loaded(load(&handle, until).await));
        });
    }

    fn append(&mut self, batch: u64, parts: &[(Ticket, usize)]) {
        let mut builder = BatchBuilder::new(0);
        for (ticket, part) in parts {
            let part = self.storing.get_mut(*ticket).and_then(|s| s.parts.get_mut(*part));
            for record in part.map(std::mem::take).unwrap_or_default() {
                builder = builder.record(record);
            }
        }
        let (bytes, head) = match builder.build_with_head() {
            Ok(built) => built,
            Err(error) => {
                let result = Err(Reject::InvalidRecord(error.to_string()));
                let _ = self.me.cast(CoordinatorMsg::Appended { batch, bytes: 0, result });
                return;
            }
        };
        let size = bytes.len();
        let appending = Appending {
            batch: BytesMut::from(&bytes[..]),
            pinned: size,
            head,
            acks: Acks::All,
            timeout_ms: COMMIT_TIMEOUT_MS,
            permit: Permit::free(),
        };
        let answer = self.handle.append_in(self.tenure, appending);
        let _ = self.answers.send((batch, size as u64, answer));
    }

    fn stored(&mut self, ticket: Ticket, result: Result<(), Reject>) {
        if let Some(Storing { from, write, .. }) = self.storing.take(ticket) {
            // Not by `Group::tell`: an unstored write keeps a group from being gone.
            let _ = from.cast(GroupMsg::Stored(write, result));
        }
    }

    /// Asks every group, and waits for all of them in a task.
    fn rewrite(&mut self) {
        tracing::info!(partition = %self.handle.id, groups = self.groups.len(), "writing all live group state again");
        let mut answers = Vec::with_capacity(self.groups.len());
        for group in self.groups.values_mut() {
            let (reply, answer) = Reply::new();
            group.tell(GroupMsg::Ask(Box::new(GroupInput::Rewrite), reply));
            answers.push(answer);
        }
        let me = self.me.clone();
        tokio::spawn(async move {
            let mut all = true;
            for answer in answers {
                all &= matches!(answer.get().await, Ok(Said::Done(ErrorCode::None)));
            }
            let _ = me.cast(CoordinatorMsg::Rewritten(all));
        });
    }

    fn trim(&self, to: Offset) {
        let (answer, me) = (self.handle.compacted(self.tenure, to), self.me.clone());
        tokio::spawn(async move {
            let done = answer.get().await.is_ok();
            let _ = me.cast(CoordinatorMsg::Trimmed(done));
        });
    }

    /// No group takes anything new; requests that wait are told so.
    fn close(&mut self) {
        self.loaded.store(false, Ordering::Release);
        self.groups.drain().for_each(|(_, group)| group.drain());
    }
}

impl Perform<Effect> for CoordinatorIo {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Read(until) => self.read(until),
            Effect::Serve => {
                self.loaded.store(true, Ordering::Release);
                self.table.changed();
            }
            Effect::Append(batch, parts) => self.append(batch, &parts),
            Effect::Stored(ticket, result) => self.stored(ticket, result),
            Effect::Rewrite => self.rewrite(),
            Effect::Trim(to) => self.trim(to),
            Effect::Retire => {
                tracing::warn!(partition = %self.handle.id, "its leader is gone: groups are not served until it is back");
                self.close();
            }
            Effect::Close => self.close(),
        }
    }
}

/// Passes the answers of the partition's leader on, in the order of the batches.
async fn pass_on(mut waiting: mpsc::UnboundedReceiver<Waiting>, to: ActorRef<CoordinatorMsg>) {
    while let Some((batch, bytes, answer)) = waiting.recv().await {
        let result = answer.get().await.map(|appended| appended.base_offset);
        if to.cast(CoordinatorMsg::Appended { batch, bytes, result }).is_err() {
            return;
        }
    }
}

/// Reads the partition up to an offset and folds it.
async fn load(handle: &PartitionHandle, until: Offset) -> Result<Box<Replay<GroupRecord>>, Unloaded> {
    let mut replay = Box::new(Replay::new(handle.view().log_start, until));
    while let Some((from, until)) = replay.wanted() {
        let slices = handle.read(from, until, READ_BYTES).await.map_err(|error| match error {
            ReadError::Refused(reject) => Unloaded::NotLed(reject),
            error => Unloaded::Failed(error.to_string()),
        })?;
        let mut taken = replay.took(slices.next);
        for part in slices.in_memory() {
            taken = taken.and_then(|()| replay.take(part));
        }
        taken.map_err(|error| Unloaded::Failed(error.to_string()))?;
    }
    Ok(replay)
}
