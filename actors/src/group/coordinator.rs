//! The coordinator of one partition of `__consumer_offsets`: replays it, spawns its groups, appends what they store.
//!
//! Its machine gathers and compacts (`callboard_core::coordinator`). Answers of the partition's leader come back
//! in the order of the batches: one task waits for them, one after the other.

use super::actor::{GroupActor, GroupArgs, GroupMsg};
use super::table::{Coordinators, GroupAnswer, Summaries};
use crate::clock::Clock;
use crate::partition::{Appending, PartitionHandle};
use crate::permit::Permit;
use crate::ports::ReadError;
use crate::reply::{Answer, Reply};
use crate::shell::{Perform, Shell};
use bytes::BytesMut;
use callboard_core::coordinator::load::Replay;
use callboard_core::coordinator::machine::{
    CoordinatorConfig, CoordinatorMachine, Effect, Input, PART_BYTES_MAX,
};
use callboard_core::group::{Answer as Said, GroupConfig, GroupRecord, Input as GroupInput};
use callboard_core::partition::{Acks, Appended};
use callboard_core::records::{BatchBuilder, NewRecord};
use callboard_core::{ErrorCode, Offset, Reject, Ticket};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// A batch of group state waits so long for its replicas (Kafka: `offsets.commit.timeout.ms`).
const COMMIT_TIMEOUT_MS: u64 = 5_000;
/// What a record adds to a batch beside key and value, at most.
const RECORD_OVERHEAD: usize = 40;

/// Makes a group's input, given who waits.
pub(super) type MakeInput = Box<dyn FnOnce(Ticket) -> GroupInput + Send>;

/// Why a log was not read.
pub(super) enum Unloaded {
    /// Nothing failed: the partition is not led here now, and its next handle gets a coordinator of its own.
    NotLed(Reject),
    /// A failure.
    Failed(String),
}

/// What a coordinator is told.
pub(super) enum CoordinatorMsg {
    /// The log was read, or could not be.
    Loaded(Result<Box<Replay>, Unloaded>),
    /// A request for a group.
    Ask { group: String, make: MakeInput, reply: Reply<GroupAnswer> },
    /// A group's records.
    Store { from: ActorRef<GroupMsg>, write: u64, records: Vec<GroupRecord> },
    /// A batch is committed, or is not.
    Appended { batch: u64, bytes: u64, result: Result<Offset, Reject> },
    /// Every group has written its live state again, or one could not.
    Rewritten(bool),
    /// The log start has moved, or could not.
    Trimmed(bool),
    /// Nothing is left of a group that had handled so many messages then.
    Gone { group: String, handled: u64 },
    /// A topic was deleted.
    TopicDeleted(String),
    /// The node ends.
    Close,
    /// A deadline may have passed.
    Tick,
}

/// What a coordinator starts with.
pub(super) struct CoordinatorArgs {
    pub handle: Arc<PartitionHandle>,
    pub clock: Arc<dyn Clock>,
    pub groups: GroupConfig,
    pub config: CoordinatorConfig,
    pub summaries: Summaries,
    pub loaded: Arc<AtomicBool>,
    /// Told when that is so.
    pub table: Arc<Coordinators>,
    /// Topics that exist: offsets of others are let go.
    pub topics: BTreeSet<String>,
}

/// The actor.
pub(super) struct CoordinatorActor;

struct Group {
    actor: ActorRef<GroupMsg>,
    /// Messages sent to it.
    sent: u64,
}

/// Its state.
pub(super) struct CoordinatorState {
    shell: Shell<CoordinatorMachine, CoordinatorIo>,
    clock: Arc<dyn Clock>,
    groups: GroupConfig,
    summaries: Summaries,
    topics: BTreeSet<String>,
    table: Arc<Coordinators>,
    next_ticket: u64,
}

/// Records of one store, in parts, and whose they are.
struct Storing {
    from: ActorRef<GroupMsg>,
    write: u64,
    parts: Vec<Vec<NewRecord>>,
}

type Waiting = (u64, u64, Answer<Result<Appended, Reject>>);

struct CoordinatorIo {
    me: ActorRef<CoordinatorMsg>,
    handle: Arc<PartitionHandle>,
    loaded: Arc<AtomicBool>,
    groups: HashMap<String, Group>,
    storing: HashMap<Ticket, Storing>,
    answers: mpsc::UnboundedSender<Waiting>,
}

impl Group {
    fn tell(&mut self, message: GroupMsg) {
        self.sent += 1;
        let _ = self.actor.cast(message);
    }
}

impl CoordinatorIo {
    fn append(&mut self, batch: u64, parts: &[(Ticket, usize)]) {
        let mut builder = BatchBuilder::new(0);
        for (ticket, part) in parts {
            let part = self.storing.get_mut(ticket).and_then(|s| s.parts.get_mut(*part));
            for record in part.map(std::mem::take).unwrap_or_default() {
                builder = builder.record(record);
            }
        }
        let built = builder.build_with_head();
        let (bytes, head) = match built {
            Ok(built) => built,
            Err(error) => {
                let result = Err(Reject::InvalidRecord(error.to_string()));
                let _ = self.me.cast(CoordinatorMsg::Appended { batch, bytes: 0, result });
                return;
            }
        };
        let size = bytes.len();
        let answer = self.handle.append(Appending {
            batch: BytesMut::from(&bytes[..]),
            pinned: size,
            head,
            acks: Acks::All,
            timeout_ms: COMMIT_TIMEOUT_MS,
            permit: Permit::free(),
        });
        let _ = self.answers.send((batch, size as u64, answer));
    }

    fn stored(&mut self, ticket: Ticket, result: Result<(), Reject>) {
        if let Some(Storing { from, write, .. }) = self.storing.remove(&ticket) {
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

    /// No group takes anything new; whoever waits is told so.
    fn close(&mut self) {
        self.loaded.store(false, Ordering::Release);
        self.groups.drain().for_each(|(_, group)| {
            let _ = group.actor.drain();
        });
    }

    fn trim(&self, to: Offset) {
        let (answer, me) = (self.handle.compacted(to), self.me.clone());
        tokio::spawn(async move {
            let done = answer.get().await.is_ok();
            let _ = me.cast(CoordinatorMsg::Trimmed(done));
        });
    }
}

impl Perform<Effect> for CoordinatorIo {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Append(batch, parts) => self.append(batch, &parts),
            Effect::Stored(ticket, result) => self.stored(ticket, result),
            Effect::Rewrite => self.rewrite(),
            Effect::Trim(to) => self.trim(to),
            Effect::Retire => {
                tracing::warn!(partition = %self.handle.id, "its leader is gone: groups are not served until it is back");
                self.close();
            }
        }
    }
}

/// Reads the whole partition and folds it.
async fn load(handle: Arc<PartitionHandle>) -> Result<Box<Replay>, Unloaded> {
    let (mut replay, view) = (Box::<Replay>::default(), handle.view());
    let mut from = view.log_start;
    while from < view.high_watermark {
        let slices = handle.read(from, view.high_watermark, 1 << 20).await.map_err(|error| match error {
            ReadError::Refused(reject) => Unloaded::NotLed(reject),
            error => Unloaded::Failed(error.to_string()),
        })?;
        if slices.next <= from {
            return Err(Unloaded::Failed(format!("nothing can be read at offset {from}")));
        }
        for part in slices.in_memory() {
            replay.take(part).map_err(|error| Unloaded::Failed(error.to_string()))?;
        }
        from = slices.next;
    }
    Ok(replay)
}

/// The records of a store, cut into parts that a batch can hold.
fn parts_of(records: Vec<GroupRecord>, timestamp: i64) -> (Vec<Vec<NewRecord>>, Vec<usize>) {
    let (mut parts, mut sizes): (Vec<Vec<NewRecord>>, Vec<usize>) = (Vec::new(), Vec::new());
    for record in records {
        let (key, value) = record.encode();
        let size = key.len() + value.as_ref().map_or(0, Vec::len) + RECORD_OVERHEAD;
        let record = NewRecord { timestamp, key: Some(key), value, headers: Vec::new() };
        match (parts.last_mut(), sizes.last_mut()) {
            (Some(part), Some(bytes)) if *bytes + size <= PART_BYTES_MAX => {
                part.push(record);
                *bytes += size;
            }
            _ => {
                parts.push(vec![record]);
                sizes.push(size);
            }
        }
    }
    (parts, sizes)
}

impl Actor for CoordinatorActor {
    type Msg = CoordinatorMsg;
    type State = CoordinatorState;
    type Arguments = CoordinatorArgs;

    async fn pre_start(
        &self,
        me: ActorRef<CoordinatorMsg>,
        args: CoordinatorArgs,
    ) -> Result<CoordinatorState, ActorProcessingErr> {
        let (answers, mut waiting) = mpsc::unbounded_channel::<Waiting>();
        let (to, handle) = (me.clone(), Arc::clone(&args.handle));
        tokio::spawn(async move {
            let _ = to.cast(CoordinatorMsg::Loaded(load(handle).await));
            while let Some((batch, bytes, answer)) = waiting.recv().await {
                let result = answer.get().await.map(|appended| appended.base_offset);
                if to.cast(CoordinatorMsg::Appended { batch, bytes, result }).is_err() {
                    return;
                }
            }
        });
        let io = CoordinatorIo {
            me,
            handle: args.handle,
            loaded: args.loaded,
            groups: HashMap::new(),
            storing: HashMap::new(),
            answers,
        };
        Ok(CoordinatorState {
            shell: Shell::new(CoordinatorMachine::new(args.config), io, Arc::clone(&args.clock)),
            clock: args.clock,
            groups: args.groups,
            summaries: args.summaries,
            topics: args.topics,
            table: args.table,
            next_ticket: 0,
        })
    }

    async fn handle(
        &self,
        me: ActorRef<CoordinatorMsg>,
        message: CoordinatorMsg,
        state: &mut CoordinatorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CoordinatorMsg::Loaded(Ok(replay)) => state.loaded(&me, *replay).await?,
            CoordinatorMsg::Loaded(Err(Unloaded::NotLed(reject))) => {
                tracing::info!(partition = %state.shell.io.handle.id, "group state is not read: {reject}");
            }
            CoordinatorMsg::Loaded(Err(Unloaded::Failed(why))) => {
                return Err(format!("{} cannot be replayed: {why}", state.shell.io.handle.id).into());
            }
            CoordinatorMsg::Ask { group, make, reply } => state.ask(&me, group, make, reply).await?,
            CoordinatorMsg::Store { from, write, records } => state.store(from, write, records),
            CoordinatorMsg::Appended { batch, bytes, result } => {
                state.shell.step(Input::Appended { batch, bytes, result });
            }
            CoordinatorMsg::Rewritten(all) => state.shell.step(Input::Rewritten(all)),
            CoordinatorMsg::Trimmed(done) => state.shell.step(Input::Trimmed(done)),
            CoordinatorMsg::Gone { group, handled } => state.gone(&group, handled),
            CoordinatorMsg::TopicDeleted(topic) => {
                for group in state.shell.io.groups.values_mut() {
                    group.tell(GroupMsg::Tell(GroupInput::TopicDeleted(topic.clone())));
                }
            }
            CoordinatorMsg::Close => state.shell.io.close(),
            CoordinatorMsg::Tick => state.shell.step(Input::Tick),
        }
        state.shell.rearm(&me, || CoordinatorMsg::Tick);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _me: ActorRef<CoordinatorMsg>,
        event: SupervisionEvent,
        _state: &mut CoordinatorState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            // What it had in its mailbox is lost, and with it the order of its writes: all start over from the log.
            SupervisionEvent::ActorFailed(_, error) => Err(format!("a group failed: {error}").into()),
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ProcessGroupChanged(_) => Ok(()),
        }
    }

    async fn post_stop(
        &self,
        me: ActorRef<CoordinatorMsg>,
        _state: &mut CoordinatorState,
    ) -> Result<(), ActorProcessingErr> {
        me.drain_children_and_wait(Some(Duration::from_secs(10))).await;
        Ok(())
    }
}

impl CoordinatorState {
    async fn loaded(
        &mut self,
        me: &ActorRef<CoordinatorMsg>,
        replay: Replay,
    ) -> Result<(), ActorProcessingErr> {
        let (bytes, live) = replay.sizes();
        for (group, records) in replay.groups() {
            let gone: BTreeSet<String> = records
                .iter()
                .filter_map(|record| match record {
                    GroupRecord::Offset { topic, .. } if !self.topics.contains(topic) => Some(topic.clone()),
                    _ => None,
                })
                .collect();
            let started = self.spawn(me, &group, records).await?;
            // Deleted while nobody coordinated the group.
            gone.into_iter().for_each(|topic| started.tell(GroupMsg::Tell(GroupInput::TopicDeleted(topic))));
        }
        tracing::info!(
            partition = %self.shell.io.handle.id,
            groups = self.shell.io.groups.len(),
            bytes,
            "group state replayed"
        );
        self.topics.clear();
        self.shell.io.loaded.store(true, Ordering::Release);
        self.table.changed();
        self.shell.step(Input::Loaded { bytes, live });
        Ok(())
    }

    async fn spawn(
        &mut self,
        me: &ActorRef<CoordinatorMsg>,
        group: &str,
        records: Vec<GroupRecord>,
    ) -> Result<&mut Group, ActorProcessingErr> {
        let args = GroupArgs {
            group: group.to_owned(),
            config: self.groups,
            records,
            coordinator: me.clone(),
            summaries: Arc::clone(&self.summaries),
            clock: Arc::clone(&self.clock),
        };
        let (actor, _) = Actor::spawn_linked(None, GroupActor, args, me.get_cell()).await?;
        let groups = &mut self.shell.io.groups;
        Ok(groups.entry(group.to_owned()).insert_entry(Group { actor, sent: 0 }).into_mut())
    }

    async fn ask(
        &mut self,
        me: &ActorRef<CoordinatorMsg>,
        group: String,
        make: MakeInput,
        reply: Reply<GroupAnswer>,
    ) -> Result<(), ActorProcessingErr> {
        if !self.shell.io.loaded.load(Ordering::Acquire) {
            reply.send(Err(ErrorCode::NotCoordinator));
            return Ok(());
        }
        if !self.shell.io.groups.contains_key(&group) {
            self.spawn(me, &group, Vec::new()).await?;
        }
        if let Some(found) = self.shell.io.groups.get_mut(&group) {
            found.tell(GroupMsg::Ask(make, reply));
        }
        Ok(())
    }

    fn store(&mut self, from: ActorRef<GroupMsg>, write: u64, records: Vec<GroupRecord>) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let (parts, sizes) = parts_of(records, self.clock.now().wall.0);
        self.shell.io.storing.insert(ticket, Storing { from, write, parts });
        self.shell.step(Input::Store(ticket, sizes));
    }

    /// Lets a group's actor go, unless something was sent to it meanwhile.
    fn gone(&mut self, group: &str, handled: u64) {
        if self.shell.io.groups.get(group).is_some_and(|g| g.sent == handled)
            && let Some(gone) = self.shell.io.groups.remove(group)
        {
            self.summaries.lock().remove(group);
            let _ = gone.actor.drain();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::records::head;

    #[test]
    fn a_store_is_cut_into_parts_that_a_batch_can_hold() {
        let record = |n: i32| GroupRecord::Offset {
            group: "g".into(),
            topic: "t".repeat(200),
            partition: n,
            value: None,
        };
        let (parts, sizes) = parts_of((0..5_000).map(record).collect(), 1);
        assert!(parts.len() > 1 && sizes.iter().all(|size| *size <= PART_BYTES_MAX));
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 5_000);
        let mut builder = BatchBuilder::new(0);
        for record in &parts[0] {
            builder = builder.record(record.clone());
        }
        let batch = builder.build().unwrap();
        assert!(batch.len() <= sizes[0] + 61 && head(&batch).is_ok());
    }
}
