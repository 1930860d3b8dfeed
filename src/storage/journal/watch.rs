//! The age of the journal's running write or sync.
//!
//! A disk that hangs holds the thread that writes and syncs. A frozen file system holds the write already, and no sync
//! begins. So that thread notes here when it began, and another thread, which
//! touches no file, looks at the clock and says so in the log.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A write or sync that takes longer gets a line in the log. Milliseconds.
const LONG_SYNC_MS: u128 = 2000;

/// Watches the writes and syncs of one journal.
#[derive(Default)]
pub struct SyncWatch {
    since: Mutex<Option<Instant>>,
    long: AtomicBool,
}

impl SyncWatch {
    /// Notes that a write or a sync begins.
    pub fn begin(&self) -> Instant {
        let now = Instant::now();
        *self.since.lock() = Some(now);
        now
    }

    /// Notes that it has ended.
    pub fn end(&self) {
        *self.since.lock() = None;
    }

    /// Age of the running write or sync; zero if none runs.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.since.lock().map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Says when one takes long, and when the disk answers again.
    pub fn look(&self, shard: u16) {
        let age = self.age().as_millis();
        let long = age >= LONG_SYNC_MS;
        if long == self.long.swap(long, Ordering::AcqRel) {
            return;
        }
        if long {
            tracing::warn!("shard {shard}: a sync has been running for {age} ms: the disk is slow or hangs");
        } else {
            tracing::info!("shard {shard}: the disk answers again");
        }
    }
}
