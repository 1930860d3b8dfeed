//! Until when this node may take itself for alive in the cluster, for every actor that asks.
//!
//! `core/node/contact.rs` decides, and its actor writes the moment here. A replica reads it before each step, with the time of
//! that step. So a process that slept acts on the lost contact before it acts on anything that has queued up, in
//! whatever order its timers ring (F07).
//!
//! A single node has contact for ever. Nothing is decided here.

use callboard_core::Millis;
use std::sync::atomic::{AtomicU64, Ordering};

/// The end of the contact with the controller.
#[derive(Debug)]
pub struct ContactUntil(AtomicU64);

impl Default for ContactUntil {
    fn default() -> ContactUntil {
        ContactUntil(AtomicU64::new(u64::MAX))
    }
}

impl ContactUntil {
    /// Only the actor of the contact moves the end, on the clock of all actors.
    pub fn set(&self, until: Millis) {
        self.0.store(until.0, Ordering::Release);
    }

    /// Whether the contact is over. The clock is read only where it can be.
    pub fn is_over(&self, now: impl FnOnce() -> Millis) -> bool {
        match self.0.load(Ordering::Acquire) {
            u64::MAX => false,
            until => until <= now().0,
        }
    }
}
