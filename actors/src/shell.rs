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
use std::sync::atomic::{AtomicBool, Ordering};
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
    armed: Option<Timer>,
}

/// A timer on its way.
struct Timer {
    at: Millis,
    /// The tick is in the mailbox.
    rang: Arc<AtomicBool>,
    task: JoinHandle<()>,
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
    /// again then. A timer that is due and has not rung yet is left alone: a busy actor would start it anew for ever.
    pub fn rearm<A: Message>(&mut self, me: &ActorRef<A>, tick: fn() -> A) {
        let Some(wanted) = self.machine.next_deadline() else { return };
        let now = self.clock.now().mono;
        if self.armed.as_ref().is_some_and(|timer| timer.at <= wanted && !timer.rang.load(Ordering::Acquire))
        {
            return;
        }
        if let Some(timer) = self.armed.take() {
            timer.task.abort();
        }
        let rang = Arc::new(AtomicBool::new(false));
        let rings = Arc::clone(&rang);
        let (me, wait) = (me.clone(), Duration::from_millis(wanted.0.saturating_sub(now.0) + 1));
        let task = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            rings.store(true, Ordering::Release);
            let _ = me.cast(tick());
        });
        self.armed = Some(Timer { at: wanted, rang, task });
    }
}

impl<M: Machine, P> Drop for Shell<M, P> {
    fn drop(&mut self) {
        if let Some(timer) = self.armed.take() {
            timer.task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use callboard_core::Now;
    use ractor::{Actor, ActorProcessingErr};
    use std::time::Duration;

    /// Waits for a tick, whatever else it hears.
    #[derive(Default)]
    struct Waits {
        ticked: bool,
    }

    impl Machine for Waits {
        type Input = bool;
        type Effect = ();

        fn step(&mut self, now: Now, tick: bool, out: &mut Effects<()>) {
            if tick && now.mono >= Millis(5) {
                self.ticked = true;
                out.push(());
            }
        }

        fn next_deadline(&self) -> Option<Millis> {
            (!self.ticked).then_some(Millis(5))
        }

        fn check(&self) {}
    }

    struct Io(Option<tokio::sync::oneshot::Sender<()>>);

    impl Perform<()> for Io {
        fn perform(&mut self, (): ()) {
            let _ = self.0.take().map(|done| done.send(()));
        }
    }

    #[derive(Debug)]
    enum Msg {
        Work,
        Tick,
    }

    /// Gives itself more to do with every message.
    struct Busy;

    impl Actor for Busy {
        type Msg = Msg;
        type State = Shell<Waits, Io>;
        type Arguments = tokio::sync::oneshot::Sender<()>;

        async fn pre_start(
            &self,
            me: ActorRef<Msg>,
            done: Self::Arguments,
        ) -> Result<Self::State, ActorProcessingErr> {
            me.cast(Msg::Work)?;
            Ok(Shell::new(Waits::default(), Io(Some(done)), Arc::new(SystemClock::default())))
        }

        async fn handle(
            &self,
            me: ActorRef<Msg>,
            message: Msg,
            shell: &mut Self::State,
        ) -> Result<(), ActorProcessingErr> {
            if matches!(message, Msg::Work) {
                me.cast(Msg::Work)?;
            }
            shell.step(matches!(message, Msg::Tick));
            shell.rearm(&me, || Msg::Tick);
            Ok(())
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_timer_of_a_busy_actor_rings() {
        let (done, ticked) = tokio::sync::oneshot::channel();
        let (actor, task) = Actor::spawn(None, Busy, done).await.unwrap();
        let ticked = tokio::time::timeout(Duration::from_secs(20), ticked).await;
        actor.stop(None);
        task.await.unwrap();
        assert!(ticked.is_ok(), "no tick came in 20 s");
    }
}
