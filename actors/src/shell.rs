//! The one shell round every machine.
//!
//! ```text
//!   message ─> step ─> check (debug) ─> perform each effect, in order ─> re-arm the one timer, if it has to ring earlier
//! ```
//!
//! An actor adds only the way its effects are performed. The shell waits for nothing and looks at no state of the
//! machine.

use crate::clock::Clock;
use callboard_core::{Effects, Machine, Millis};
use ractor::{ActorRef, Message};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Performs a machine's effects, for one actor.
pub trait Perform<E> {
    /// Performs one effect, without waiting.
    fn perform(&mut self, effect: E);
}

/// A machine, and the performer of its effects.
pub struct Shell<M: Machine, P> {
    machine: M,
    /// The performer, with the state that its actor needs.
    pub io: P,
    clock: Arc<dyn Clock>,
    effects: Effects<M::Effect>,
    armed: Option<(Millis, JoinHandle<()>)>,
}

impl<M: Machine, P: Perform<M::Effect>> Shell<M, P> {
    /// A shell round this machine. No timer is set yet.
    pub fn new(machine: M, io: P, clock: Arc<dyn Clock>) -> Shell<M, P> {
        Shell { machine, io, clock, effects: Vec::new(), armed: None }
    }

    /// The machine, for reading only.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The time at this moment, for deadlines in inputs.
    pub fn now(&self) -> callboard_core::Now {
        self.clock.now()
    }

    /// Steps the machine with one input and performs the effects.
    pub fn step(&mut self, input: M::Input) {
        let now = self.clock.now();
        self.machine.step(now, input, &mut self.effects);
        #[cfg(debug_assertions)]
        self.machine.check();
        for effect in self.effects.drain(..) {
            self.io.perform(effect);
        }
    }

    /// Sets the timer no later than the machine's deadline. A timer that rings early is harmless, because it is set
    /// again then.
    pub fn rearm<A: Message>(&mut self, me: &ActorRef<A>, tick: fn() -> A) {
        let Some(wanted) = self.machine.next_deadline() else { return };
        let now = self.clock.now().mono;
        if self.armed.as_ref().is_some_and(|(at, _)| *at <= wanted && *at > now) {
            return;
        }
        if let Some((_, timer)) = self.armed.take() {
            timer.abort();
        }
        let (me, wait) = (me.clone(), Duration::from_millis(wanted.0.saturating_sub(now.0) + 1));
        let timer = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let _ = me.cast(tick());
        });
        self.armed = Some((wanted, timer));
    }
}

impl<M: Machine, P> Drop for Shell<M, P> {
    fn drop(&mut self) {
        if let Some((_, timer)) = self.armed.take() {
            timer.abort();
        }
    }
}
