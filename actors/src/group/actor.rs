//! The actor of one group: `callboard_core::group::GroupMachine`, and the replies that it names by ticket.
//!
//! A group is a mailbox and a machine. The machine's records go to the coordinator, which stores them; its answers go to
//! whoever asked. The actor decides nothing, and it does not end by itself: it says that nothing is left.

use super::messages::{CoordinatorMsg, GroupAnswer, GroupMsg, Summaries};
use crate::clock::Clock;
use crate::reply::Reply;
use crate::shell::{Perform, Shell};
use crate::tickets::Tickets;
use callboard_core::ErrorCode;
use callboard_core::group::{Effect, GroupConfig, GroupMachine, GroupRecord, GroupState, Input};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;

/// What a group starts with.
pub(super) struct GroupArgs {
    pub group: String,
    pub config: GroupConfig,
    pub records: Vec<GroupRecord>,
    pub coordinator: ActorRef<CoordinatorMsg>,
    pub summaries: Summaries,
    pub clock: Arc<dyn Clock>,
}

/// Steps a group's machine, and lives until its coordinator lets it go.
pub(super) struct GroupActor;

type GroupShell = Shell<GroupMachine, GroupIo>;

/// What a group's machine acts through.
pub(super) struct GroupIo {
    group: String,
    me: ActorRef<GroupMsg>,
    coordinator: ActorRef<CoordinatorMsg>,
    summaries: Summaries,
    replies: Tickets<Reply<GroupAnswer>>,
    /// Messages of the coordinator so far. If it sent no more, nothing is under way when the group is gone.
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
                if let Some(reply) = self.replies.take(ticket) {
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
            replies: Tickets::default(),
            handled: 0,
        };
        let mut shell = Shell::new(machine, io, args.clock);
        if replayed {
            shell.step(Input::Loaded);
            shell.rearm(&me, || GroupMsg::Tick);
        }
        Ok(shell)
    }

    async fn handle(
        &self,
        me: ActorRef<GroupMsg>,
        message: GroupMsg,
        shell: &mut GroupShell,
    ) -> Result<(), ActorProcessingErr> {
        let input = match message {
            GroupMsg::Ask(make, reply) => {
                shell.io.handled += 1;
                make(shell.io.replies.keep(reply))
            }
            GroupMsg::Tell(input) => {
                shell.io.handled += 1;
                input
            }
            GroupMsg::Stored(write, result) => Input::Stored(write, result),
            GroupMsg::Tick => Input::Tick,
        };
        shell.step(input);
        shell.rearm(&me, || GroupMsg::Tick);
        Ok(())
    }

    async fn post_stop(
        &self,
        _me: ActorRef<GroupMsg>,
        shell: &mut GroupShell,
    ) -> Result<(), ActorProcessingErr> {
        for reply in shell.io.replies.drain() {
            reply.send(Err(ErrorCode::NotCoordinator));
        }
        Ok(())
    }
}
