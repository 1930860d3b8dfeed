//! Byte permits: they bound admission, because mailboxes are not bounded.
//!
//! A request's body is charged to a pool as its bytes arrive. The [`Permit`] travels inside the message, and its drop
//! gives the bytes back, wherever that happens. A pool does not know which requests hold its bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A bounded pool of bytes.
#[derive(Clone, Debug)]
pub struct Pool {
    semaphore: Arc<Semaphore>,
    capacity: usize,
    waiters: Arc<AtomicUsize>,
}

/// Counts one waiting task, until the task has its bytes or gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// A pool of `capacity` bytes, all free.
    #[must_use]
    pub fn new(capacity: usize) -> Pool {
        Pool { semaphore: Arc::new(Semaphore::new(capacity)), capacity, waiters: Arc::default() }
    }

    /// Waits until `bytes` are free. A request for more than the pool holds takes all of it.
    pub async fn acquire(&self, bytes: usize) -> Permit {
        let n = u32::try_from(bytes.min(self.capacity)).unwrap_or(u32::MAX);
        self.waiters.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiters);
        Permit { held: Arc::clone(&self.semaphore).acquire_many_owned(n).await.ok(), beside: None }
    }

    /// Takes `bytes` if they are free now. A request for more than the pool holds takes all of it.
    #[must_use]
    pub fn try_acquire(&self, bytes: usize) -> Option<Permit> {
        let n = u32::try_from(bytes.min(self.capacity)).unwrap_or(u32::MAX);
        let held = Arc::clone(&self.semaphore).try_acquire_many_owned(n).ok()?;
        Some(Permit { held: Some(held), beside: None })
    }

    /// Bytes that permits hold now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.capacity - self.semaphore.available_permits().min(self.capacity)
    }

    /// Number of tasks that wait for bytes now.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.waiters.load(Ordering::Relaxed)
    }

    /// Bytes of the whole pool.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

/// Bytes taken from a [`Pool`]. Dropping the permit gives them back.
#[derive(Debug, Default)]
pub struct Permit {
    held: Option<OwnedSemaphorePermit>,
    /// Bytes of another pool that go back with the last part of these.
    beside: Option<Arc<Permit>>,
}

impl Permit {
    /// A permit for no bytes, for internal work and tests.
    #[must_use]
    pub fn free() -> Permit {
        Permit::default()
    }

    /// Bytes that it holds of its own pool.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Whether it holds no bytes of any pool.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.bytes() == 0 && self.beside.is_none()
    }

    /// Gives back all but `bytes`. Permits that are kept beside these bytes stay.
    pub fn shrink(&mut self, bytes: usize) {
        let more = self.bytes().saturating_sub(bytes);
        drop(self.held.as_mut().and_then(|held| held.split(more)));
    }

    /// Takes the bytes of another permit of the same pool into this one.
    pub fn merge(&mut self, other: Permit) {
        match (&mut self.held, other.held) {
            (Some(held), Some(more)) => held.merge(more),
            (held @ None, more) => *held = more,
            (Some(_), None) => {}
        }
    }

    /// Keeps a permit of another pool, and gives it back with this one.
    pub fn keep(&mut self, other: Permit) {
        let before = self.beside.take();
        self.beside = Some(Arc::new(Permit { beside: before, ..other }));
    }

    /// Splits `bytes` off, or fewer if it holds fewer. Permits kept beside them go back when both parts are dropped.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Permit {
        let n = bytes.min(self.bytes());
        Permit { held: self.held.as_mut().and_then(|held| held.split(n)), beside: self.beside.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_counted_until_it_has_some_or_gives_up() {
        let pool = Pool::new(10);
        let all = pool.acquire(10).await;
        assert_eq!(pool.waiters(), 0);
        let (mut one, mut two) = (Box::pin(pool.acquire(1)), Box::pin(pool.acquire(1)));
        assert!(futures_util::poll!(&mut one).is_pending() && futures_util::poll!(&mut two).is_pending());
        assert_eq!(pool.waiters(), 2);
        drop(one);
        assert_eq!(pool.waiters(), 1);
        drop(all);
        assert_eq!(two.await.bytes(), 1);
        assert_eq!((pool.waiters(), pool.used()), (0, 0));
    }

    #[test]
    fn what_is_kept_beside_goes_back_with_the_last_part() {
        let (pool, reserve) = (Pool::new(100), Pool::new(50));
        let mut whole = pool.try_acquire(60).unwrap();
        whole.keep(reserve.try_acquire(20).unwrap());
        whole.keep(reserve.try_acquire(10).unwrap());
        let part = whole.split(25);
        drop(whole);
        assert_eq!((pool.used(), reserve.used()), (25, 30));
        drop(part);
        assert_eq!((pool.used(), reserve.used()), (0, 0));
        assert!(pool.try_acquire(101).is_some(), "more than there is asks for all of it");
        let mut some = pool.try_acquire(60).unwrap();
        some.shrink(80);
        assert_eq!(pool.used(), 60);
        some.shrink(20);
        assert_eq!((some.bytes(), pool.used(), some.is_free()), (20, 20, false));
        let mut beside = Permit::free();
        beside.keep(reserve.try_acquire(5).unwrap());
        assert!(Permit::free().is_free() && !beside.is_free());
    }
}
