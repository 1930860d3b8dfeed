//! The contract between a machine (here) and its shell (`callboard-actors`, `shell.rs`).

use crate::time::{Millis, Now};

/// Effects of one step. Their order in the list is the order of execution.
pub type Effects<E> = Vec<E>;

/// A pure decision-maker: total, synchronous, never panics on any input, never waits ("later" is an input).
pub trait Machine {
    /// What can happen to it.
    type Input;
    /// What it wants done.
    type Effect;

    /// Takes one input at one moment and appends what is to be done.
    fn step(&mut self, now: Now, input: Self::Input, out: &mut Effects<Self::Effect>);

    /// When it wants a tick next, if at all.
    fn next_deadline(&self) -> Option<Millis>;

    /// Its invariants; run after every step in debug builds.
    ///
    /// # Panics
    /// If one does not hold: that is a bug of ours, never of an input.
    fn check(&self);
}
