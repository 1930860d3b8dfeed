//! What a database's file has met: whether it ran out of space, and how often it was opened.
//!
//! redb reports a full disk in words only, so the backend notes it here where the error is still an `io::Error`. Readers
//! compare the counts before and after a failed read, to tell a database that was opened anew from one that is broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The health of one file.
#[derive(Default)]
pub struct Health {
    /// Shared with the file's backend, which sets it when a write finds no space.
    pub ran_out: Arc<AtomicBool>,
    opened: AtomicU64,
}

impl Health {
    /// Whether there was no space since the last call of this method.
    pub fn ran_out(&self) -> bool {
        self.ran_out.swap(false, Ordering::AcqRel)
    }

    /// The same, without forgetting it.
    pub fn ran_out_now(&self) -> bool {
        self.ran_out.load(Ordering::Acquire)
    }

    /// How often the file was opened.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Acquire)
    }

    /// Counts one more opening.
    pub fn was_opened(&self) {
        self.opened.fetch_add(1, Ordering::AcqRel);
    }
}
