//! Sessions: which nodes of the cluster are alive, as the controller's node hears them.
//!
//! Each node sends heartbeats to the controller's node. Silence for a session means that the node is gone, and it is
//! fenced. The judge must never mistake its own pause for the silence of others, because it would fence the living:
//! a tick that comes late by d extends every session by d, and heartbeats that have queued up count before it judges.
//!
//! ```text
//!   heartbeats ──> Sessions ──> Judge(verdicts, silent) ──> ControllerMachine ──> one batch of records
//!   images     ──┘  (time)                                  (no time)
//! ```
//!
//! Hearing is not enough: a node that does not apply what is committed is fenced too, until it has caught up (R45). A new
//! judge first listens to everybody. It waits until each unfenced node was heard, was found gone, or was silent for
//! 1.5 s. Then it gives one judgement, for which the controller has waited with registrations.
//!
//! The machine judges lives of nodes and writes no record. It does not hold back leaderships from a node that is fenced
//! again and again (RELIABILITY §6, anti-flap).

mod judge;
mod messages;
mod past;
mod session;

#[cfg(test)]
mod tests;

pub use judge::Sessions;
pub use messages::{
    Effect, GUARD_MS, HEARTBEAT_MS, HUNG_MS, Heard, Heartbeat, Input, PATIENCE_MS, SESSION_MS, STALLED_MS,
};
