//! The judge of sessions on its own task: the shell round `Sessions`.
//!
//! An overloaded controller must not fence the living (KAFKA-15019), so the judge shares no mailbox with it.
//!
//! The machine judges only while this node leads the metadata log. The actor performs nothing but the way to the controller.

use super::door::Door;
use super::messages::SessionsMsg;
use crate::clock::Clock;
use crate::controller::ControllerMsg;
use crate::shell::{Perform, Shell};
use callboard_core::BrokerId;
use callboard_core::metadata::Verdict;
use callboard_core::sessions::{Effect, Input, Sessions};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;

/// Everything that the judge starts with.
pub struct SessionsArgs {
    pub me: BrokerId,
    /// The way to the controller, which is opened later.
    pub door: Arc<Door>,
    pub clock: Arc<dyn Clock>,
}

/// The judge's actor, which has a task of its own (KAFKA-15019).
pub struct SessionsActor;

/// Performs the judge's effects.
pub struct SessionsIo(Arc<Door>);

impl Perform<Effect> for SessionsIo {
    fn perform(&mut self, Effect::Judge(judgement): Effect) {
        for verdict in &judgement.verdicts {
            if let Verdict::Fence { peer, why, .. } = verdict {
                tracing::info!("{peer} is to be fenced: {why}");
            }
        }
        if let Some(controller) = self.0.controller() {
            let _ = controller.cast(ControllerMsg::Judged(judgement));
        }
    }
}

impl Actor for SessionsActor {
    type Msg = SessionsMsg;
    type State = Shell<Sessions, SessionsIo>;
    type Arguments = SessionsArgs;

    async fn pre_start(
        &self,
        _me: ActorRef<SessionsMsg>,
        args: SessionsArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(Shell::new(Sessions::new(args.me), SessionsIo(args.door), args.clock))
    }

    async fn handle(
        &self,
        me: ActorRef<SessionsMsg>,
        message: SessionsMsg,
        shell: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        shell.step(match message {
            SessionsMsg::Lead(leadership) => Input::Lead(Some(leadership)),
            SessionsMsg::Image(image) => Input::Image(image),
            SessionsMsg::Heartbeat(heartbeat) => Input::Heartbeat(heartbeat),
            SessionsMsg::Tick => Input::Tick,
        });
        shell.rearm(&me, || SessionsMsg::Tick);
        Ok(())
    }
}
