//! A bell: rung at each change of something, heard by whoever watches.
//!
//! Rings that come while nobody looked are one ring, so a watcher compares what it knows with what is there. The
//! directory and the roles of its partitions share one bell, because a coordinator follows both.

use tokio::sync::watch;

/// Counts changes.
#[derive(Debug)]
pub struct Changes {
    count: watch::Sender<u64>,
}

impl Default for Changes {
    fn default() -> Changes {
        Changes { count: watch::Sender::new(0) }
    }
}

impl Changes {
    /// Something changed.
    pub fn ring(&self) {
        self.count.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Wakes at each change from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }
}
