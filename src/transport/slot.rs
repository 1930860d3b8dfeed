//! A slot: the one control link to a target, dialled when it is needed and by one task at a time.
//!
//! ```text
//!   up ──> the link        dialling ──> all who ask wait for the one dial        resting ──> the last words, at once
//!   after a failed dial: rests 100 ms, 200 ms … 1 s
//! ```
//! The dial runs in a task of its own, so that an asker with little time left does not end it for all others. A link that
//! ended is dialled again at once: its loss says nothing about the next one.

use super::dial::{self, Target};
use super::hello::Kind;
use super::link::{Link, Side};
use super::shared::Shared;
use callboard_core::NodeUuid;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);

type Outcome = Result<Arc<Link>, String>;
type Dial = watch::Receiver<Option<Outcome>>;

/// The place of one target's link, whether it is up or not.
#[derive(Default)]
pub(super) struct Slot(Mutex<State>);

#[derive(Default)]
struct State {
    link: Option<Arc<Link>>,
    dialling: Option<Dial>,
    resting: Option<Rest>,
    /// The address that proved the node last.
    last: Option<SocketAddr>,
}

struct Rest {
    pause: Duration,
    until: Instant,
    words: String,
}

impl Slot {
    /// The link, if it is up and leads to this node, or to any if none is meant.
    pub(super) fn up(&self, expected: Option<NodeUuid>) -> Option<Arc<Link>> {
        self.0.lock().link.clone().filter(|link| leads_to(link, expected))
    }

    pub(super) fn last(&self) -> Option<SocketAddr> {
        self.0.lock().last
    }

    /// Whether anything may still come of it.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.0.lock();
        state.dialling.is_none() && !state.link.as_ref().is_some_and(|link| link.is_up())
    }

    /// The link, dialled if need be.
    pub(super) async fn link(
        self: &Arc<Slot>,
        shared: &Arc<Shared>,
        target: Target,
    ) -> Result<Arc<Link>, String> {
        let expected = target.expected;
        let mut dialling = match self.look(shared, target) {
            Look::Known(outcome) => return outcome,
            Look::Wait(dialling) => dialling,
        };
        let outcome = match dialling.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        let link = outcome.unwrap_or_else(|| Err("the dial was given up".to_owned()))?;
        match leads_to(&link, expected) {
            true => Ok(link),
            false => Err(format!("{} leads to node {}", link.address(), link.uuid())),
        }
    }

    fn look(self: &Arc<Slot>, shared: &Arc<Shared>, mut target: Target) -> Look {
        let mut state = self.0.lock();
        if let Some(link) = state.link.clone() {
            if leads_to(&link, target.expected) {
                return Look::Known(Ok(link));
            }
            if link.is_up() {
                link.close("another node is expected here");
            }
            state.link = None;
        }
        if let Some(dialling) = state.dialling.clone() {
            return Look::Wait(dialling);
        }
        if let Some(rest) = state.resting.as_ref().filter(|rest| Instant::now() < rest.until) {
            return Look::Known(Err(rest.words.clone()));
        }
        target.first = target.first.or(state.last);
        let (tell, dialling) = watch::channel(None);
        state.dialling = Some(dialling.clone());
        drop(state);
        let (slot, shared) = (Arc::clone(self), Arc::clone(shared));
        tokio::spawn(async move {
            // Its drop ends the dial's state, should the task be cancelled.
            let mut dial = Dialling { slot, outcome: None, last: None };
            let outcome = match dial::reach(&shared, &target, Kind::Control).await {
                Ok(reached) => {
                    dial.last = Some(reached.address);
                    let link = Arc::new(Link::new(reached.met, Side::Dialled, reached.connection));
                    shared.keep(Arc::clone(&link));
                    Ok(link)
                }
                Err(words) => Err(words),
            };
            dial.outcome = Some(outcome.clone());
            drop(dial);
            tell.send_replace(Some(outcome));
        });
        Look::Wait(dialling)
    }
}

enum Look {
    Known(Outcome),
    Wait(Dial),
}

fn leads_to(link: &Link, expected: Option<NodeUuid>) -> bool {
    link.is_up() && expected.is_none_or(|expected| expected == link.uuid())
}

struct Dialling {
    slot: Arc<Slot>,
    outcome: Option<Outcome>,
    last: Option<SocketAddr>,
}

impl Drop for Dialling {
    fn drop(&mut self) {
        let mut state = self.slot.0.lock();
        state.dialling = None;
        match self.outcome.take() {
            Some(Ok(link)) => {
                state.link = Some(link);
                state.resting = None;
                state.last = self.last;
            }
            Some(Err(words)) => {
                let pause = state.resting.as_ref().map_or(SHORTEST, |rest| (rest.pause * 2).min(LONGEST));
                state.resting = Some(Rest { pause, until: Instant::now() + pause, words });
            }
            None => {}
        }
    }
}
