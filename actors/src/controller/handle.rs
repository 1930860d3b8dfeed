//! The way to ask the controller.

use super::messages::ControllerMsg;
use crate::reply::{Answer, Reply};
use callboard_core::metadata::controller::{Ask, Reply as Said};
use ractor::ActorRef;

/// Asks the controller of this node.
#[derive(Clone)]
pub struct ControllerHandle {
    actor: ActorRef<ControllerMsg>,
}

impl ControllerHandle {
    /// The way to this actor.
    #[must_use]
    pub fn new(actor: ActorRef<ControllerMsg>) -> ControllerHandle {
        ControllerHandle { actor }
    }

    /// Asks, and gives the place where the answer arrives. An actor that is gone answers NOT_CONTROLLER.
    #[must_use]
    pub fn ask(&self, ask: Ask) -> Answer<Said> {
        let (reply, answer) = Reply::new();
        let _ = self.actor.cast(ControllerMsg::Ask(ask, reply));
        answer
    }
}
