//! The way of a question to the controller, whichever node leads the metadata log.
//!
//! ```text
//!   ask ──> leadership known? ── this node ──> ControllerActor
//!             │                └ another ────> Calls ──> its Door
//!             └─ not yet, moved, not sent: again, until the time is up      (core/…/forward.rs judges each attempt)
//! ```
//! A question waits for a new leadership instead of asking the old leader again and again.

use super::door::Door;
use crate::ports::{CallError, Calls, Service};
use crate::reply::{Answer, Reply};
use bytes::Bytes;
use callboard_core::BrokerId;
use callboard_core::metadata::controller::forward::{Attempt, Forwarded, Step};
use callboard_core::metadata::controller::{Ask, Reply as Said};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Time for one attempt. A controller that is paused longer is asked again.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Time until a question is asked again, unless a new leadership shows earlier.
const AGAIN: Duration = Duration::from_millis(100);

/// The way to the controller for this node's requests, its leaders and its registration.
pub struct Router {
    me: BrokerId,
    door: Arc<Door>,
    calls: Arc<dyn Calls>,
}

impl Router {
    /// A router of this node.
    #[must_use]
    pub fn new(me: BrokerId, door: Arc<Door>, calls: Arc<dyn Calls>) -> Router {
        Router { me, door, calls }
    }

    /// Asks until there is an answer, or the time is up.
    #[must_use]
    pub fn ask(self: &Arc<Self>, ask: Ask, within: Duration) -> Answer<Said> {
        let (reply, answer) = Reply::new();
        let (router, until) = (Arc::clone(self), Instant::now() + within);
        tokio::spawn(async move { reply.send(router.persist(ask, until).await) });
        answer
    }

    /// Asks once. A question that did not leave is answered NOT_CONTROLLER, a lost one with Unknown.
    #[must_use]
    pub fn ask_once(self: &Arc<Self>, ask: Ask) -> Answer<Said> {
        let (reply, answer) = Reply::new();
        let router = Arc::clone(self);
        tokio::spawn(async move {
            reply.send(match router.attempt(&ask, ATTEMPT).await {
                Attempt::Said(said) => said,
                Attempt::NotSent(_) => crate::reply::Unavailable::unavailable(),
                Attempt::Lost(why) => Said::Unknown(why),
            });
        });
        answer
    }

    async fn persist(&self, ask: Ask, until: Instant) -> Said {
        let mut forwarded = Forwarded::new(&ask);
        let mut lead = self.door.lead();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let attempt = self.attempt(&ask, left.min(ATTEMPT)).await;
            let why = match forwarded.judge(attempt) {
                Step::Answer(said) => return said,
                Step::Again(why) => why,
            };
            if Instant::now() >= until {
                return forwarded.too_late(&why);
            }
            let _ = timeout_at(until.min(Instant::now() + AGAIN), lead.changed()).await;
        }
    }

    async fn attempt(&self, ask: &Ask, within: Duration) -> Attempt {
        let lead = *self.door.lead().borrow();
        let Some(lead) = lead else {
            return Attempt::NotSent("no controller is known yet".to_owned());
        };
        if lead.node == self.me {
            return match timeout(within, self.door.ask(ask.clone())).await {
                Ok(said) => Attempt::Said(said),
                Err(_) => Attempt::Lost("this node's controller has not answered yet".to_owned()),
            };
        }
        let question = match serde_json::to_vec(ask) {
            Ok(question) => Bytes::from(question),
            Err(error) => return Attempt::NotSent(error.to_string()),
        };
        let answer = match self.calls.call(lead.node, Service::Ask, question, within).await {
            Ok(answer) => answer,
            Err(CallError::NotSent(why) | CallError::Refused(why)) => {
                return Attempt::NotSent(format!("controller {}: {why}", lead.node));
            }
            Err(CallError::Lost(why)) => return Attempt::Lost(format!("controller {}: {why}", lead.node)),
        };
        match serde_json::from_slice(&answer) {
            Ok(said) => Attempt::Said(said),
            Err(error) => Attempt::Lost(format!("controller {}: no answer: {error}", lead.node)),
        }
    }
}
