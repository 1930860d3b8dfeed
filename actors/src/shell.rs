//! The one shell round every machine.
//!
//! ```text
//!   message ─> step ─> check (debug) ─> perform each effect, in order ─> re-arm the one timer, if it has to ring earlier
//! ```
//!
//! An actor adds only how its effects are performed. No `.await`, no branch on domain state.

use crate::clock::Clock;
use callboard_core::{Effects, Machine, Millis};
use ractor::{ActorRef, Message};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How an actor performs what its machine wants.
pub trait Perform<E> {
    /// Does it, without waiting.
    fn perform(&mut self, effect: E);
}

/// A machine and who performs for it.
pub struct Shell<M: Machine, P> {
    machine: M,
    /// Who performs.
    pub io: P,
    clock: Arc<dyn Clock>,
    effects: Effects<M::Effect>,
    armed: Option<(Millis, JoinHandle<()>)>,
}

impl<M: Machine, P: Perform<M::Effect>> Shell<M, P> {
    /// Round this machine.
    pub fn new(machine: M, io: P, clock: Arc<dyn Clock>) -> Shell<M, P> {
        Shell { machine, io, clock, effects: Vec::new(), armed: None }
    }

    /// The machine, to be looked at.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The time, for deadlines in inputs.
    pub fn now(&self) -> callboard_core::Now {
        self.clock.now()
    }

    /// One step, and its effects.
    pub fn step(&mut self, input: M::Input) {
        let now = self.clock.now();
        self.machine.step(now, input, &mut self.effects);
        #[cfg(debug_assertions)]
        self.machine.check();
        for effect in self.effects.drain(..) {
            self.io.perform(effect);
        }
    }

    /// Makes the timer ring no later than the machine wants. One that rings early is harmless: it is re-armed then.
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
