//! The gate of a shard: closed while too much is unsettled. Producers wait at it and nothing fails.
//!
//! The gate also knows how long it was closed: from the first producer that found it so until settling has made room. It
//! does not know the limit; its callers do.

use parking_lot::Mutex;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

#[derive(Default)]
struct Clock {
    /// When a producer found the gate closed.
    closed: Option<Instant>,
    /// How long it was closed before that.
    before: Duration,
}

/// The gate of one shard.
#[derive(Default)]
pub struct Gate {
    looked: Notify,
    clock: Mutex<Clock>,
}

impl Gate {
    /// How long producers were kept waiting.
    pub fn closed_for(&self) -> Duration {
        let clock = self.clock.lock();
        clock.before + clock.closed.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Lets those who wait look again.
    pub fn look_again(&self, over_limit: bool) {
        if !over_limit {
            self.opened();
        }
        self.looked.notify_waiters();
    }

    /// Waits until the shard is not over its limit. `wake` tells the threads that can make room.
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
