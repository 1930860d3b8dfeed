//! The coordinator of one partition of `__consumer_offsets`: loads its log, spawns its groups, appends what they store.
//!
//! Its machine (`callboard_core::coordinator`) says when it serves, what goes into one batch, when the log is written
//! anew. A request for a group passes through here, so that the coordinator knows whether the group's actor may go.
//!
//! ```text
//!   Ask ──> the group's actor, spawned if need be ──> Store ──> machine ──> io.rs: one batch ──> Appended ──> Stored
//! ```
//!
//! What groups do is not known here, and their records are only encoded.

use super::actor::{GroupActor, GroupArgs};
use super::io::{CoordinatorIo, Group, Storing};
use super::messages::{CoordinatorMsg, GroupAnswer, GroupMsg, MakeInput, Summaries, Unloaded};
use super::table::Coordinators;
use crate::clock::Clock;
use crate::partition::PartitionHandle;
use crate::reply::Reply;
use crate::shell::Shell;
use callboard_core::ErrorCode;
use callboard_core::coordinator::epoch::State;
use callboard_core::coordinator::epoch::Tenure;
use callboard_core::coordinator::gather::parts_of;
use callboard_core::coordinator::load::Replay;
use callboard_core::coordinator::{CoordinatorConfig, CoordinatorMachine, Input};
use callboard_core::group::{GroupConfig, GroupRecord, Input as GroupInput, topics};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What a coordinator starts with.
pub(super) struct CoordinatorArgs {
    pub handle: Arc<PartitionHandle>,
    pub tenure: Tenure,
    pub clock: Arc<dyn Clock>,
    pub groups: GroupConfig,
    pub config: CoordinatorConfig,
    pub summaries: Summaries,
    /// Set while requests may come.
    pub loaded: Arc<AtomicBool>,
    /// Told when that becomes so.
    pub table: Arc<Coordinators>,
    /// Topics that exist: offsets of others are let go.
    pub topics: BTreeSet<String>,
}

/// Coordinates the groups of one partition, in one tenure.
pub(super) struct CoordinatorActor;

/// A coordinator's machine, and what its groups start with.
pub(super) struct CoordinatorState {
    shell: Shell<CoordinatorMachine, CoordinatorIo>,
    clock: Arc<dyn Clock>,
    groups: GroupConfig,
    summaries: Summaries,
    topics: BTreeSet<String>,
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
        let io = CoordinatorIo::new(me, (args.handle, args.tenure), args.loaded, args.table);
        io.mark();
        let shell = Shell::new(CoordinatorMachine::new(args.config), io, Arc::clone(&args.clock));
        Ok(CoordinatorState {
            shell,
            clock: args.clock,
            groups: args.groups,
            summaries: args.summaries,
            topics: args.topics,
        })
    }

    async fn handle(
        &self,
        me: ActorRef<CoordinatorMsg>,
        message: CoordinatorMsg,
        state: &mut CoordinatorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CoordinatorMsg::Marked(end, high_watermark) => {
                state.shell.step(Input::Marked { end, high_watermark });
            }
            CoordinatorMsg::Advanced(high_watermark) => state.shell.step(Input::Advanced(high_watermark)),
            CoordinatorMsg::Loaded(Ok(replay)) => state.loaded(&me, *replay).await?,
            CoordinatorMsg::Loaded(Err(Unloaded::NotLed(reject))) => {
                tracing::info!(partition = %state.shell.io.handle.id, "group state is not read: {reject}");
                state.shell.step(Input::NotLed);
            }
            CoordinatorMsg::Loaded(Err(Unloaded::Failed(why))) => {
                return Err(format!("{} cannot be replayed: {why}", state.shell.io.handle.id).into());
            }
            CoordinatorMsg::Ask { group, make, reply } => state.ask(&me, group, make, reply).await?,
            CoordinatorMsg::Store { from, write, records } => state.store(from, write, &records),
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
            CoordinatorMsg::Close => state.shell.step(Input::Close),
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
            // Its mailbox is lost, and with it the order of its writes: all groups start over from the log.
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
        replay: Replay<GroupRecord>,
    ) -> Result<(), ActorProcessingErr> {
        if self.shell.machine().state() != State::Loading {
            return Ok(());
        }
        let (bytes, live) = replay.sizes();
        for (group, records) in replay.entities() {
            let gone = topics::unknown(&records, &self.topics);
            let started = self.spawn(me, &group, records).await?;
            gone.into_iter().for_each(|topic| started.tell(GroupMsg::Tell(GroupInput::TopicDeleted(topic))));
        }
        tracing::info!(
            partition = %self.shell.io.handle.id,
            groups = self.shell.io.groups.len(),
            bytes,
            "group state replayed"
        );
        self.topics.clear();
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
        Ok(groups.entry(group.to_owned()).insert_entry(Group::new(actor)).into_mut())
    }

    async fn ask(
        &mut self,
        me: &ActorRef<CoordinatorMsg>,
        group: String,
        make: MakeInput,
        reply: Reply<GroupAnswer>,
    ) -> Result<(), ActorProcessingErr> {
        if self.shell.machine().state() != State::Serving {
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

    fn store(&mut self, from: ActorRef<GroupMsg>, write: u64, records: &[GroupRecord]) {
        let encoded = records.iter().map(GroupRecord::encode);
        let (parts, sizes) = parts_of(encoded, self.shell.now().wall.0);
        let ticket = self.shell.io.storing.keep(Storing { from, write, parts });
        self.shell.step(Input::Store(ticket, sizes));
    }

    /// Lets a group's actor go, unless something was sent to it meanwhile.
    fn gone(&mut self, group: &str, handled: u64) {
        if self.shell.io.groups.get(group).is_some_and(|found| found.has_handled(handled))
            && let Some(gone) = self.shell.io.groups.remove(group)
        {
            self.summaries.lock().remove(group);
            gone.drain();
        }
    }
}
