//! The contract between a machine and its shell (`shell.rs` in `callboard-actors`).
//!
//! A machine decides and a shell acts: it performs the effects of each step in list order, and calls again at the
//! deadline. Neither knows the other's inside.

use crate::time::{Millis, Now};

/// Effects of one step, in the order in which they are performed.
pub type Effects<E> = Vec<E>;

/// A pure decision-maker. It never panics on an input and never waits, because "later" is an input.
pub trait Machine {
    /// All that can happen to this machine.
    type Input;
    /// All that this machine can ask its shell to do.
    type Effect;

    /// Takes one input at one moment, and appends the effects that follow.
    fn step(&mut self, now: Now, input: Self::Input, out: &mut Effects<Self::Effect>);

    /// The moment of its next tick, if it needs one.
    fn next_deadline(&self) -> Option<Millis>;

    /// Checks the invariants; debug builds run it after every step.
    ///
    /// # Panics
    /// If an invariant does not hold. That is a bug of ours, never the fault of an input.
    fn check(&self);
}
