//! A bell: it rings at each change of something, and every watcher hears it.
//!
//! Rings between two looks of a watcher are one ring. So a watcher compares its own knowledge with the present state.
//! The directory and the roles of its partitions share one bell, because a coordinator follows both. The bell does
//! not say which of them changed.

use tokio::sync::watch;

/// Counts changes, and wakes the tasks that watch.
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
    /// Tells every watcher that something changed.
    pub fn ring(&self) {
        self.count.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A receiver that wakes at each change from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }
}
