//! The actor of one group: `callboard_core::group::GroupMachine`, and the replies it names by ticket.

use super::coordinator::{CoordinatorMsg, MakeInput};
use super::table::{GroupAnswer, Summaries};
use crate::clock::Clock;
use crate::reply::Reply;
use crate::shell::{Perform, Shell};
use callboard_core::group::{Effect, GroupConfig, GroupMachine, GroupRecord, GroupState, Input};
use callboard_core::{ErrorCode, Reject, Ticket};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::HashMap;
use std::sync::Arc;

/// What a group is told.
pub(super) enum GroupMsg {
    /// A request.
    Ask(MakeInput, Reply<GroupAnswer>),
    /// What nobody waits for.
    Tell(Input),
    /// A write is committed, or was refused.
    Stored(u64, Result<(), Reject>),
    /// A deadline may have passed.
    Tick,
}

/// What a group starts with.
pub(super) struct GroupArgs {
    pub group: String,
    pub config: GroupConfig,
    pub records: Vec<GroupRecord>,
    pub coordinator: ActorRef<CoordinatorMsg>,
    pub summaries: Summaries,
    pub clock: Arc<dyn Clock>,
}

/// The actor.
pub(super) struct GroupActor;

/// Its state.
pub(super) struct GroupShell {
    shell: Shell<GroupMachine, GroupIo>,
    next_ticket: u64,
}

struct GroupIo {
    group: String,
    me: ActorRef<GroupMsg>,
    coordinator: ActorRef<CoordinatorMsg>,
    summaries: Summaries,
    replies: HashMap<Ticket, Reply<GroupAnswer>>,
    /// Messages of the coordinator so far: with as many sent, nothing is under way when the group is gone.
    handled: u64,
}

impl Perform<Effect> for GroupIo {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Store(write, records) => {
                let store = CoordinatorMsg::Store { from: self.me.clone(), write, records };
                let _ = self.coordinator.cast(store);
            }
            Effect::Answer(ticket, answer) => {
                if let Some(reply) = self.replies.remove(&ticket) {
                    reply.send(Ok(answer));
                }
            }
            Effect::Show(summary) if summary.state == GroupState::Dead => {
                self.summaries.lock().remove(&self.group);
            }
            Effect::Show(summary) => {
                self.summaries.lock().insert(self.group.clone(), summary);
            }
            Effect::Gone => {
                let gone = CoordinatorMsg::Gone { group: self.group.clone(), handled: self.handled };
                let _ = self.coordinator.cast(gone);
            }
        }
    }
}

impl Actor for GroupActor {
    type Msg = GroupMsg;
    type State = GroupShell;
    type Arguments = GroupArgs;

    async fn pre_start(
        &self,
        me: ActorRef<GroupMsg>,
        args: GroupArgs,
    ) -> Result<GroupShell, ActorProcessingErr> {
        let mut machine = GroupMachine::new(args.group.clone(), args.config);
        let replayed = !args.records.is_empty();
        args.records.into_iter().for_each(|record| machine.replay(record));
        let io = GroupIo {
            group: args.group,
            me: me.clone(),
            coordinator: args.coordinator,
            summaries: args.summaries,
            replies: HashMap::new(),
            handled: 0,
        };
        let mut shell = Shell::new(machine, io, args.clock);
        if replayed {
            shell.step(Input::Loaded);
            shell.rearm(&me, || GroupMsg::Tick);
        }
        Ok(GroupShell { shell, next_ticket: 0 })
    }

    async fn handle(
        &self,
        me: ActorRef<GroupMsg>,
        message: GroupMsg,
        state: &mut GroupShell,
    ) -> Result<(), ActorProcessingErr> {
        let input = match message {
            GroupMsg::Ask(make, reply) => {
                let ticket = Ticket(state.next_ticket);
                state.next_ticket += 1;
                state.shell.io.handled += 1;
                state.shell.io.replies.insert(ticket, reply);
                make(ticket)
            }
            GroupMsg::Tell(input) => {
                state.shell.io.handled += 1;
                input
            }
            GroupMsg::Stored(write, result) => Input::Stored(write, result),
            GroupMsg::Tick => Input::Tick,
        };
        state.shell.step(input);
        state.shell.rearm(&me, || GroupMsg::Tick);
        Ok(())
    }

    async fn post_stop(
        &self,
        _me: ActorRef<GroupMsg>,
        state: &mut GroupShell,
    ) -> Result<(), ActorProcessingErr> {
        for (_, reply) in state.shell.io.replies.drain() {
            reply.send(Err(ErrorCode::NotCoordinator));
        }
        Ok(())
    }
}
