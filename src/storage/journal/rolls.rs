//! What the journal did with its newest segments.
//!
//! Each time the stream goes on in another segment, the writer notes it here. The notes say where a settle may stop so that
//! a whole segment comes free. They also say how many dead segments to keep and how to make the next one.
//! `callboard_core::storage` decides both; this file only counts.

use crate::storage::journal::position::SyncedTo;
use callboard_core::Lsn;
use callboard_core::storage::Filled;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The journal may take in this time what it took in the last one: so many segments are kept to be overwritten.
const LATELY: Duration = Duration::from_secs(10);

/// Notes about the segments of one journal.
#[derive(Default)]
pub struct Rolls {
    /// Starts of segments, oldest first; everything before each is synced.
    starts: Mutex<VecDeque<SyncedTo>>,
    lately: Mutex<VecDeque<Instant>>,
    filled: Mutex<Option<Filled>>,
    /// Syncs since the last segment was full.
    syncs: AtomicU64,
}

impl Rolls {
    /// Notes that the stream goes on in the segment that starts here. `filled`: bytes written into the one before.
    pub fn rolled(&self, start: SyncedTo, filled: u64) {
        self.starts.lock().push_back(start);
        *self.filled.lock() = Some(Filled { bytes: filled, syncs: self.syncs.swap(0, Ordering::Relaxed) });
        self.lately.lock().push_back(Instant::now());
    }

    /// Counts a sync of the journal.
    pub fn synced(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    /// The bytes and syncs of the last segment that is full.
    #[must_use]
    pub fn filled(&self) -> Option<Filled> {
        *self.filled.lock()
    }

    /// How many segments the stream has gone on to lately.
    #[must_use]
    pub fn lately(&self) -> usize {
        let mut lately = self.lately.lock();
        while lately.front().is_some_and(|at| at.elapsed() > LATELY) {
            lately.pop_front();
        }
        lately.len()
    }

    /// The first start of a segment above `x`. Starts at or below it are forgotten.
    #[must_use]
    pub fn start_above(&self, x: Lsn) -> Option<SyncedTo> {
        let mut starts = self.starts.lock();
        while starts.front().is_some_and(|start| start.lsn <= x) {
            starts.pop_front();
        }
        starts.front().copied()
    }
}
