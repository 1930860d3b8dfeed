//! The controller's actor: the shell round `ControllerMachine`.
//!
//! ```text
//!   MetadataLog ── stream ──> Log ─┐                    ┌─> Propose ──> MetadataLog ── result ──> Proposed
//!   requests ── ControllerHandle ──┴─> machine (core) ──┼─> Publish ──> Images
//!                                                       └─> Answer ───> the asker
//! ```
//!
//! One task carries the log's ordered stream into the mailbox, so leadership and commits arrive as the log said them.
//! The actor decides nothing.
//!
//! A controller that fails ends its process, because a new one would not know the old one's proposals (R43).
//! `NodeActor` ends the process.

use super::messages::ControllerMsg;
use crate::clock::Clock;
use crate::cluster::{Door, SessionsMsg};
use crate::images::Images;
use crate::metrics;
use crate::ports::{MetadataLog, OpenLog};
use crate::reply::Reply;
use crate::shell::{Perform, Shell};
use crate::tickets::Tickets;
use callboard_core::BrokerId;
use callboard_core::metadata::controller::{Effect, Input, Reply as Said};
use callboard_core::metadata::{
    Committed, ControllerMachine, TopicDefaults, event_lines, returned_unclean, unclean_elections,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;

/// Everything that a controller starts with.
pub struct ControllerArgs {
    pub log: OpenLog,
    pub images: Arc<Images>,
    pub clock: Arc<dyn Clock>,
    pub defaults: TopicDefaults,
    /// In a cluster: the door behind which the judge of sessions and the proposer hear of each image and leadership.
    pub door: Option<Arc<Door>>,
}

/// The shell's actor. Its state is [`ControllerState`].
pub struct ControllerActor;

/// The controller's machine in its shell.
pub struct ControllerState {
    shell: Shell<ControllerMachine, ControllerIo>,
}

struct ControllerIo {
    me: ActorRef<ControllerMsg>,
    log: Arc<dyn MetadataLog>,
    images: Arc<Images>,
    door: Option<Arc<Door>>,
    replies: Tickets<Reply<Said>>,
    node: BrokerId,
    /// The line about replicas that this process brought back unclean, until its registration is known to be the last one.
    returned: Option<String>,
}

impl ControllerIo {
    /// Tells the operator of a cluster what a batch changes about nodes and leaders, and what may be lost by it.
    fn say(&mut self, message: &ControllerMsg) {
        let ControllerMsg::Log(Committed::Batch { index, proposal, records }) = message else { return };
        let image = self.images.current();
        let live = self.door.as_ref().is_some_and(|door| door.is_live());
        if !live && let Some(returned) = returned_unclean(&image, self.node, records) {
            // Until this process is registered, the newest registration may still be that of a former one.
            self.returned = returned;
        }
        if !live {
            return;
        }
        if let Some(line) = self.returned.take() {
            tracing::warn!("{line}");
        }
        event_lines(&image, *index, records).iter().for_each(|line| tracing::info!("{line}"));
        let lines = unclean_elections(&image, records);
        lines.iter().for_each(|line| tracing::error!("{line}"));
        // The node whose proposal it was counts it, so that the sum over all nodes is the number of elections.
        if proposal.is_some_and(|id| id.node == self.node) {
            metrics::elected_uncleanly(lines.len());
        }
    }
}

impl Perform<Effect> for ControllerIo {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Propose { leadership, id, records } => {
                let (proposed, me) = (self.log.propose(leadership, id, records), self.me.clone());
                tokio::spawn(async move {
                    let _ = me.cast(ControllerMsg::Proposed(id, proposed.await));
                });
            }
            Effect::Publish(image) => {
                self.images.publish(Arc::clone(&image));
                if let Some(door) = &self.door {
                    door.tell(SessionsMsg::Image(image));
                }
            }
            Effect::Dropped(records) => metrics::dropped(records),
            Effect::Answer(ticket, said) => {
                if let Some(reply) = self.replies.take(ticket) {
                    reply.send(said);
                }
            }
        }
    }
}

impl Actor for ControllerActor {
    type Msg = ControllerMsg;
    type State = ControllerState;
    type Arguments = ControllerArgs;

    async fn pre_start(
        &self,
        me: ActorRef<ControllerMsg>,
        args: ControllerArgs,
    ) -> Result<ControllerState, ActorProcessingErr> {
        let OpenLog { log, mut committed, first } = args.log;
        let to = me.clone();
        // This task ends with the log or with the actor.
        tokio::spawn(async move {
            while let Some(event) = committed.recv().await {
                if to.cast(ControllerMsg::Log(event)).is_err() {
                    return;
                }
            }
        });
        if let Some(door) = &args.door {
            door.open(me.clone());
        }
        let io = ControllerIo {
            me,
            log,
            images: args.images,
            door: args.door,
            replies: Tickets::default(),
            node: first.node,
            returned: None,
        };
        let machine = ControllerMachine::new(first, args.defaults);
        Ok(ControllerState { shell: Shell::new(machine, io, args.clock) })
    }

    async fn handle(
        &self,
        me: ActorRef<ControllerMsg>,
        message: ControllerMsg,
        state: &mut ControllerState,
    ) -> Result<(), ActorProcessingErr> {
        state.shell.io.say(&message);
        let led = match &message {
            ControllerMsg::Log(Committed::Lead(leadership)) => Some(*leadership),
            _ => None,
        };
        let input = match message {
            ControllerMsg::Ask(ask, reply) => Input::Ask { ticket: state.shell.io.replies.keep(reply), ask },
            ControllerMsg::Log(event) => Input::Log(event),
            ControllerMsg::Proposed(id, result) => Input::Proposed(id, result),
            ControllerMsg::Judged(judgement) => Input::Judged(judgement),
            ControllerMsg::Tick => Input::Tick,
        };
        state.shell.step(input);
        // Behind the images that the log showed before this leadership (R35).
        if let (Some(leadership), Some(door)) = (led, &state.shell.io.door) {
            door.leads(leadership);
        }
        state.shell.rearm(&me, || ControllerMsg::Tick);
        Ok(())
    }

    /// Tells each waiting asker that the outcome is unknown (R44), because its change may be on its way.
    async fn post_stop(
        &self,
        _me: ActorRef<ControllerMsg>,
        state: &mut ControllerState,
    ) -> Result<(), ActorProcessingErr> {
        for reply in state.shell.io.replies.drain() {
            reply.send(Said::Unknown("the controller is ending".to_owned()));
        }
        Ok(())
    }
}
