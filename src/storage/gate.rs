//! How long the gate of a shard was closed: from the first producer that found it so until settling has made room.

use std::time::{Duration, Instant};

/// How long producers were kept waiting.
#[derive(Default)]
pub(super) struct Gate {
    /// Since somebody found it closed.
    closed: Option<Instant>,
    before: Duration,
}

impl Gate {
    pub fn closed_for(&self) -> Duration {
        self.before + self.closed.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Somebody found it closed.
    pub fn close(&mut self) {
        self.closed.get_or_insert_with(Instant::now);
    }

    pub fn open(&mut self) {
        self.before = self.closed_for();
        self.closed = None;
    }
}
