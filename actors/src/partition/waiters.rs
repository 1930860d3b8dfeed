//! Fetches that wait for bytes: one waiter a request, hung on each of its partitions.
//!
//! A partition takes off what has become readable; the waiter wakes when nothing is missing any more, or when a
//! partition changed in a way that has to be answered at once. Nobody is woken for less.
//!
//! A handle that has lost its place in the directory closes its waiters: all wake, and one that is hung there later wakes
//! at once. So a fetch never waits where nothing comes any more; it looks the partition up anew.

use callboard_core::Offset;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tokio::sync::Notify;

/// One waiting request.
#[derive(Debug)]
pub struct Waiter {
    missing: AtomicI64,
    wake: Notify,
}

impl Waiter {
    /// Waits for so many bytes.
    #[must_use]
    pub fn new(missing: usize) -> Arc<Waiter> {
        let missing = AtomicI64::new(i64::try_from(missing).unwrap_or(i64::MAX));
        Arc::new(Waiter { missing, wake: Notify::new() })
    }

    /// Resolves when nothing is missing, or at once if that is so already.
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

/// A partition's waiters.
#[derive(Debug, Default)]
pub struct Waiters {
    hung: Mutex<Vec<Hung>>,
    /// Set under the lock of `hung`, and never taken back.
    closed: AtomicBool,
}

impl Waiters {
    /// Hangs one here, for what comes at and above `from`; what is there already, [`Waiters::credit`] tells.
    pub fn hang(&self, waiter: &Arc<Waiter>, from: Offset) {
        let mut hung = self.hung.lock();
        if self.is_closed() {
            waiter.arrived(usize::MAX);
        } else {
            hung.push(Hung { waiter: Arc::clone(waiter), from, counted: 0 });
        }
    }

    /// So many bytes behind `from` are there already: they count too, once.
    pub fn credit(&self, waiter: &Arc<Waiter>, from: Offset, bytes: usize) {
        let mut hung = self.hung.lock();
        let mine = |h: &&mut Hung| h.from == from && Arc::ptr_eq(&h.waiter, waiter);
        if let Some(h) = hung.iter_mut().find(mine) {
            let new = bytes.saturating_sub(h.counted);
            h.counted = h.counted.max(bytes);
            h.waiter.arrived(new);
        }
    }

    /// Takes it off again.
    pub fn unhang(&self, waiter: &Arc<Waiter>) {
        self.hung.lock().retain(|h| !Arc::ptr_eq(&h.waiter, waiter));
    }

    /// More is readable: `bytes_from(offset)` says how much from there on; none is taken for enough.
    pub fn advanced(&self, bytes_from: impl Fn(Offset) -> Option<usize>) {
        let mut hung = self.hung.lock();
        hung.retain_mut(|h| {
            let Some(bytes) = bytes_from(h.from) else { return !h.waiter.arrived(usize::MAX) };
            let new = bytes.saturating_sub(h.counted);
            h.counted = h.counted.max(bytes);
            new == 0 || !h.waiter.arrived(new)
        });
    }

    /// Something has to be answered at once: leader gone, epoch or log start changed.
    pub fn wake_all(&self) {
        for h in self.hung.lock().drain(..) {
            h.waiter.arrived(usize::MAX);
        }
    }

    /// The handle has lost its place: all wake, and so does whoever is hung here from now on.
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

    /// Requests that wait here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hung.lock().len()
    }

    /// Whether none does.
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
        // Arrived between hanging and counting: seen by both.
        a.advanced(|_| Some(60));
        a.credit(&waiter, 5, 60);
        b.credit(&waiter, 7, 0);
        let early = tokio::time::timeout(std::time::Duration::ZERO, waiter.woken()).await;
        assert!(early.is_err(), "sixty are not a hundred");
        b.advanced(|_| Some(50));
        waiter.woken().await;
    }
}
