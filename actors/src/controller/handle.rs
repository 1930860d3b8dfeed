//! The handle to the controller, for requests and for this node's own actors.
//!
//! It sends a question and hands out the place of the answer. It does not wait.

use super::messages::ControllerMsg;
use crate::reply::{Answer, Reply};
use callboard_core::metadata::controller::{Ask, Reply as Said};
use ractor::ActorRef;

/// Sends questions to the controller of this node.
#[derive(Clone)]
pub struct ControllerHandle {
    actor: ActorRef<ControllerMsg>,
}

impl ControllerHandle {
    /// A handle to this actor.
    #[must_use]
    pub fn new(actor: ActorRef<ControllerMsg>) -> ControllerHandle {
        ControllerHandle { actor }
    }

    /// Asks, and gives the place where the answer arrives. An actor that has ended answers NOT_CONTROLLER.
    #[must_use]
    pub fn ask(&self, ask: Ask) -> Answer<Said> {
        let (reply, answer) = Reply::new();
        let _ = self.actor.cast(ControllerMsg::Ask(ask, reply));
        answer
    }
}
