//! The feed's list of things to look at next, from the actors of this node: new cursors, answers, and partitions whose view moved.
//!
//! ```text
//!   Feed, Unfeed ──> orders    one a partition, the newest ─┐
//!   answers ───────> answers   one a partition, the newest ─┼─> the feeder, at once
//!   moved(data) ───> data      each partition once ─────────┘
//!   moved ─────────> lazy      each partition once ───────────> the feeder, 100 ms after the first (R5)
//! ```
//!
//! A tap hangs at a partition's handle and passes its rings on, each kind once until the feeder has looked. So an actor takes the
//! inbox's lock once for many views. Nothing here holds bytes or knows what moved.

use callboard_actors::partition::{Fed, PartitionHandle};
use callboard_core::partition::{Answer, Cursor};
use callboard_core::{Peer, TopicPartition};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

/// Parts without bytes share a frame every so often.
pub const LAZY: Duration = Duration::from_millis(100);
/// Answers that wait at most. A follower without an answer asks again.
const ANSWERS_MAX: usize = 16 * 1024;

const DATA: u8 = 1;
const LATER: u8 = 2;

/// An order of the leader's actor to the feed of a partition.
pub enum Order {
    Feed(Arc<PartitionHandle>, Cursor),
    Unfeed,
}

/// Everything that waits for one feed.
pub struct Inbox {
    /// The follower's node, as the connection's hello proved it.
    pub peer: Peer,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

/// All that the feeder takes at one moment.
#[derive(Default)]
pub struct Waiting {
    pub orders: HashMap<TopicPartition, Order>,
    pub answers: HashMap<TopicPartition, Answer>,
    pub data: Vec<TopicPartition>,
    pub lazy: Vec<TopicPartition>,
    /// When `lazy` is due.
    pub due: Option<Instant>,
    pub closed: bool,
}

impl Inbox {
    /// The inbox of a connection from this life of a node.
    pub fn new(peer: Peer) -> Arc<Inbox> {
        Arc::new(Inbox { peer, waiting: Mutex::default(), wake: Notify::new() })
    }

    /// Begins or ends a feed.
    pub fn order(&self, id: TopicPartition, order: Order) {
        self.put(|waiting| {
            waiting.orders.insert(id, order);
            true
        });
    }

    /// Sends an answer to a Position.
    pub fn answer(&self, id: TopicPartition, answer: Answer) {
        self.put(|waiting| {
            let room = waiting.answers.len() < ANSWERS_MAX || waiting.answers.contains_key(&id);
            if room {
                waiting.answers.insert(id, answer);
            }
            room
        });
    }

    fn moved(&self, id: TopicPartition, data: bool) {
        self.put(|waiting| {
            if data {
                waiting.data.push(id);
                return waiting.data.len() == 1;
            }
            waiting.lazy.push(id);
            let first = waiting.due.is_none();
            waiting.due.get_or_insert_with(|| Instant::now() + LAZY);
            first
        });
    }

    fn put(&self, change: impl FnOnce(&mut Waiting) -> bool) {
        let mut waiting = self.waiting.lock();
        let wakes = !waiting.closed && change(&mut waiting);
        drop(waiting);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// Ends the feed, and takes nothing from now on.
    pub fn close(&self) {
        *self.waiting.lock() = Waiting { closed: true, ..Waiting::default() };
        self.wake.notify_one();
    }

    /// Takes what waits at this moment. Lazy partitions stay until they are due; `due` says when.
    pub fn take(&self, now: Instant) -> Waiting {
        let mut waiting = self.waiting.lock();
        let closed = waiting.closed;
        let early = waiting.due.is_some_and(|due| due > now);
        let mut taken = std::mem::take(&mut *waiting);
        waiting.closed = closed;
        if early {
            (waiting.lazy, waiting.due) = (std::mem::take(&mut taken.lazy), taken.due);
        } else {
            taken.due = None;
        }
        taken
    }

    /// Resolves when something new waits.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }
}

/// Hangs at the handle of one partition.
pub struct Tap {
    inbox: Arc<Inbox>,
    /// The rings that the feeder has not looked at.
    marks: AtomicU8,
}

impl Tap {
    /// A tap that leads to this inbox.
    pub fn new(inbox: &Arc<Inbox>) -> Arc<Tap> {
        Arc::new(Tap { inbox: Arc::clone(inbox), marks: AtomicU8::new(0) })
    }

    /// The feeder looks at the view now: a later move rings again.
    pub fn looks(&self, data: bool) {
        self.marks.fetch_and(if data { !DATA } else { !LATER }, Ordering::AcqRel);
    }
}

impl Fed for Tap {
    fn moved(&self, id: TopicPartition, data: bool) {
        let mark = if data { DATA } else { LATER };
        if self.marks.fetch_or(mark, Ordering::AcqRel) & mark == 0 {
            self.inbox.moved(id, data);
        }
    }
}
