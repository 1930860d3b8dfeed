//! The handle to the controller, for requests and for this node's own actors.
//!
//! It sends a question and hands out the place of the answer. It does not wait. On a single node the question goes to the
//! controller's actor; in a cluster a router finds the node that leads the metadata log.

use super::messages::ControllerMsg;
use crate::cluster::Router;
use crate::reply::{Answer, Reply};
use callboard_core::metadata::controller::{Ask, Reply as Said};
use ractor::ActorRef;
use std::sync::Arc;
use std::time::Duration;

/// Time for a question and all its attempts. Kafka's clients wait 30 s and more for an answer.
const WITHIN: Duration = Duration::from_secs(20);

/// Sends questions to the controller.
#[derive(Clone)]
pub struct ControllerHandle(Way);

#[derive(Clone)]
enum Way {
    Here(ActorRef<ControllerMsg>),
    Anywhere(Arc<Router>),
}

impl ControllerHandle {
    /// A handle to the controller of a single node.
    #[must_use]
    pub fn new(actor: ActorRef<ControllerMsg>) -> ControllerHandle {
        ControllerHandle(Way::Here(actor))
    }

    /// A handle to the controller of a cluster, wherever it is.
    #[must_use]
    pub fn routed(router: Arc<Router>) -> ControllerHandle {
        ControllerHandle(Way::Anywhere(router))
    }

    /// Asks, and gives the place where the answer arrives. An actor that has ended answers NOT_CONTROLLER.
    #[must_use]
    pub fn ask(&self, ask: Ask) -> Answer<Said> {
        match &self.0 {
            Way::Here(actor) => {
                let (reply, answer) = Reply::new();
                let _ = actor.cast(ControllerMsg::Ask(ask, reply));
                answer
            }
            Way::Anywhere(router) => router.ask(ask, WITHIN),
        }
    }
}
