//! Fetches that wait for bytes: one waiter per request, hung on each of the request's partitions.
//!
//! ```text
//!   fetch ── hang ──> Waiters of each partition ── advanced: bytes off ──> Waiter ── nothing missing ──> woken
//!                                               └─ role, epoch or log start changed, or closed ────────────┘
//! ```
//!
//! A partition subtracts the bytes that have become readable. A waiter wakes when enough has come, or when a
//! partition changed in a way that needs an answer at once.
//!
//! A handle that has lost its place in the directory closes its waiters: all wake, and a waiter hung there later
//! wakes at once. So no fetch waits where no bytes come any more. A waiter has no deadline of its own; its fetch
//! does.

use callboard_core::Offset;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tokio::sync::Notify;

/// One waiting request, and the bytes that it still misses.
#[derive(Debug)]
pub struct Waiter {
    missing: AtomicI64,
    wake: Notify,
}

impl Waiter {
    /// A waiter for so many bytes, at least 1.
    #[must_use]
    pub fn new(missing: usize) -> Arc<Waiter> {
        let missing = AtomicI64::new(i64::try_from(missing).unwrap_or(i64::MAX));
        Arc::new(Waiter { missing, wake: Notify::new() })
    }

    /// Resolves when enough has arrived, also if that was before this call.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    fn arrived(&self, bytes: usize) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let enough = self.missing.fetch_sub(bytes, Ordering::AcqRel) <= bytes;
        if enough {
            self.wake.notify_one();
        }
        enough
    }
}

#[derive(Debug)]
struct Hung {
    waiter: Arc<Waiter>,
    from: Offset,
    counted: usize,
}

/// The waiters of one partition.
#[derive(Debug, Default)]
pub struct Waiters {
    hung: Mutex<Vec<Hung>>,
    /// Set under the lock of `hung`, and never cleared.
    closed: AtomicBool,
}

impl Waiters {
    /// Hangs a waiter here for bytes at and above `from` that come from now on. [`Waiters::credit`] counts the bytes
    /// there already.
    pub fn hang(&self, waiter: &Arc<Waiter>, from: Offset) {
        let mut hung = self.hung.lock();
        if self.is_closed() {
            waiter.arrived(usize::MAX);
        } else {
            hung.push(Hung { waiter: Arc::clone(waiter), from, counted: 0 });
        }
    }

    /// Counts bytes behind `from` that are readable already. Bytes that were counted before do not count twice.
    pub fn credit(&self, waiter: &Arc<Waiter>, from: Offset, bytes: usize) {
        let mut hung = self.hung.lock();
        let mine = |h: &&mut Hung| h.from == from && Arc::ptr_eq(&h.waiter, waiter);
        if let Some(h) = hung.iter_mut().find(mine) {
            let new = bytes.saturating_sub(h.counted);
            h.counted = h.counted.max(bytes);
            h.waiter.arrived(new);
        }
    }

    /// Takes a waiter off this partition.
    pub fn unhang(&self, waiter: &Arc<Waiter>) {
        self.hung.lock().retain(|h| !Arc::ptr_eq(&h.waiter, waiter));
    }

    /// Counts newly readable bytes. `bytes_from(offset)` says how many lie from there on; an unknown number counts as
    /// enough.
    pub fn advanced(&self, bytes_from: impl Fn(Offset) -> Option<usize>) {
        let mut hung = self.hung.lock();
        hung.retain_mut(|h| {
            let Some(bytes) = bytes_from(h.from) else { return !h.waiter.arrived(usize::MAX) };
            let new = bytes.saturating_sub(h.counted);
            h.counted = h.counted.max(bytes);
            new == 0 || !h.waiter.arrived(new)
        });
    }

    /// Wakes every waiter, because its partition needs an answer at once: another role, epoch or log start.
    pub fn wake_all(&self) {
        for h in self.hung.lock().drain(..) {
            h.waiter.arrived(usize::MAX);
        }
    }

    /// Wakes every waiter, and each one that is hung here from now on. The handle has lost its place.
    pub fn close(&self) {
        let mut hung = self.hung.lock();
        self.closed.store(true, Ordering::Release);
        for h in hung.drain(..) {
            h.waiter.arrived(usize::MAX);
        }
    }

    /// Whether the handle has lost its place in the directory.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Number of requests that wait here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hung.lock().len()
    }

    /// Whether no request waits here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiter_wakes_when_all_its_partitions_together_have_enough() {
        let (a, b) = (Waiters::default(), Waiters::default());
        let waiter = Waiter::new(100);
        a.hang(&waiter, 5);
        b.hang(&waiter, 7);
        a.advanced(|_| Some(60));
        a.advanced(|_| Some(60));
        let early = tokio::time::timeout(std::time::Duration::ZERO, waiter.woken()).await;
        assert!(early.is_err(), "the same bytes do not count twice");
        b.advanced(|_| Some(40));
        waiter.woken().await;
        assert_eq!((a.len(), b.len()), (1, 0));
        a.unhang(&waiter);
        assert!(a.is_empty());
    }

    #[tokio::test]
    async fn a_closed_place_wakes_those_before_and_those_after() {
        let place = Waiters::default();
        let (before, after) = (Waiter::new(100), Waiter::new(100));
        place.hang(&before, 5);
        place.close();
        place.hang(&after, 5);
        before.woken().await;
        after.woken().await;
        assert!(place.is_closed() && place.is_empty());
    }

    #[tokio::test]
    async fn what_was_there_before_it_waited_counts_once() {
        let (a, b) = (Waiters::default(), Waiters::default());
        let waiter = Waiter::new(100);
        a.hang(&waiter, 5);
        b.hang(&waiter, 7);
        // The bytes arrive between hanging and counting, so both see them.
        a.advanced(|_| Some(60));
        a.credit(&waiter, 5, 60);
        b.credit(&waiter, 7, 0);
        let early = tokio::time::timeout(std::time::Duration::ZERO, waiter.woken()).await;
        assert!(early.is_err(), "sixty are not a hundred");
        b.advanced(|_| Some(50));
        waiter.woken().await;
    }
}
