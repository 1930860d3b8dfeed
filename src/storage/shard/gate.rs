//! The gate of a shard: closed while too much is unsettled. Producers wait here; nothing fails.
//!
//! It also knows how long it was closed: from the first producer that found it so until settling has made room.

use parking_lot::Mutex;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

#[derive(Default)]
struct Clock {
    /// Since somebody found it closed.
    closed: Option<Instant>,
    before: Duration,
}

/// The gate.
#[derive(Default)]
pub(in crate::storage) struct Gate {
    looked: Notify,
    clock: Mutex<Clock>,
}

impl Gate {
    /// How long producers were kept waiting.
    pub fn closed_for(&self) -> Duration {
        let clock = self.clock.lock();
        clock.before + clock.closed.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whoever waits looks again.
    pub fn look_again(&self, over_limit: bool) {
        if !over_limit {
            self.opened();
        }
        self.looked.notify_waiters();
    }

    /// Waits until the shard is not over its limit; `wake` tells who can make room.
    pub async fn pass(&self, over_limit: impl Fn() -> bool, wake: impl Fn()) {
        loop {
            let looked = self.looked.notified();
            if !over_limit() {
                return;
            }
            self.clock.lock().closed.get_or_insert_with(Instant::now);
            wake();
            looked.await;
            if !over_limit() {
                self.opened();
            }
        }
    }

    fn opened(&self) {
        let closed = self.closed_for();
        *self.clock.lock() = Clock { closed: None, before: closed };
    }
}
