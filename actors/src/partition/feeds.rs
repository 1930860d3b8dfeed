//! The feeds that read a partition for its followers, as the handle knows them: somebody to ring when the view moves.
//!
//! ```text
//!   ReplicaActor ── publish ──> view, then one look at the number of feeds ──> Fed::moved, for each
//! ```
//!
//! The list is behind a lock, and its length beside it, so a partition without feeds pays for one atomic look. A feed that
//! attaches and then reads the view misses nothing: either it sees the new view, or the publisher sees the feed.
//!
//! The list says that something moved, not what. A feed reads the view itself.

use callboard_core::TopicPartition;
use callboard_core::partition::View;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

/// A feed of a partition. Its calls come from the replica's actor, so they must not block.
pub trait Fed: Send + Sync {
    /// The view has moved. Without `data` only the high watermark did, which can wait (R5).
    fn moved(&self, id: TopicPartition, data: bool);
}

/// All feeds of one partition.
#[derive(Default)]
pub struct Feeds {
    count: AtomicUsize,
    list: Mutex<Vec<Arc<dyn Fed>>>,
}

impl Feeds {
    /// Rings this feed from now on. A feed that is attached already stays so once.
    pub fn attach(&self, fed: Arc<dyn Fed>) {
        let mut list = self.list.lock();
        if !list.iter().any(|other| Arc::ptr_eq(other, &fed)) {
            list.push(fed);
        }
        self.count.store(list.len(), Ordering::Relaxed);
        // The feed reads the view behind this, as the publisher looks here behind storing one.
        fence(Ordering::SeqCst);
    }

    /// Rings this feed no more.
    pub fn detach(&self, fed: &Arc<dyn Fed>) {
        let mut list = self.list.lock();
        list.retain(|other| !Arc::ptr_eq(other, fed));
        self.count.store(list.len(), Ordering::Relaxed);
    }

    /// Rings all feeds, if a follower has anything of the step between these views.
    pub fn moved(&self, id: TopicPartition, before: &View, now: &View) {
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let data = before.end != now.end
            || before.log_start != now.log_start
            || before.role != now.role
            || (before.leader_epoch, before.log_id) != (now.leader_epoch, now.log_id);
        if data || before.high_watermark != now.high_watermark {
            self.list.lock().iter().for_each(|fed| fed.moved(id, data));
        }
    }

    /// Number of attached feeds.
    #[must_use]
    pub fn attached(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::TopicId;
    use callboard_core::partition::Role;

    #[derive(Default)]
    struct Rung(Mutex<Vec<bool>>);

    impl Fed for Rung {
        fn moved(&self, _id: TopicPartition, data: bool) {
            self.0.lock().push(data);
        }
    }

    #[test]
    fn a_feed_hears_of_each_step_that_a_follower_has_to_know() {
        let id = TopicPartition { topic: TopicId([1; 16]), partition: 0 };
        let before = View { end: 10, ..View::unknown(Role::Leader, 3) };
        let rows = [
            (before.clone(), None),
            (View { last_stable_offset: 5, ..before.clone() }, None),
            (View { high_watermark: 5, ..before.clone() }, Some(false)),
            (View { end: 20, high_watermark: 5, ..before.clone() }, Some(true)),
            (View { log_start: 5, ..before.clone() }, Some(true)),
            (View { log_id: 1, ..before.clone() }, Some(true)),
            (View { leader_epoch: 4, ..before.clone() }, Some(true)),
            (View { role: Role::Idle, ..before.clone() }, Some(true)),
        ];
        for (now, heard) in rows {
            let (feeds, rung) = (Feeds::default(), Arc::new(Rung::default()));
            let fed: Arc<dyn Fed> = Arc::clone(&rung) as _;
            feeds.moved(id, &before, &now);
            feeds.attach(Arc::clone(&fed));
            feeds.attach(Arc::clone(&fed));
            feeds.moved(id, &before, &now);
            feeds.detach(&fed);
            feeds.moved(id, &before, &now);
            assert_eq!(*rung.0.lock(), Vec::from_iter(heard), "{now:?}");
            assert_eq!(feeds.attached(), 0);
        }
    }
}
