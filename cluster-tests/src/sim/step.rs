//! The durable steps of a node's start, between any two of which a fault may end it.
//!
//! `stored.rs` draws their order, `start.rs` takes them. This file names them.

/// A place in the order of a start's durable steps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    MarkerTaken,
    VerdictsStored,
    LogDurable,
    BootStored,
    ProcessStored,
    /// The image shows the registration, and the broker epoch is not stored yet.
    Registered,
}

/// All steps, in order.
pub const STEPS: [Step; 6] = [
    Step::MarkerTaken,
    Step::VerdictsStored,
    Step::LogDurable,
    Step::BootStored,
    Step::ProcessStored,
    Step::Registered,
];

/// The way in which a start ends early: behind this step, and perhaps with the power.
pub type Crash = (Step, Option<u64>);
