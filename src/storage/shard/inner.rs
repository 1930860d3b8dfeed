//! The state that a shard's threads and its handle share: the queue, the gate, and the signs that wake and stop them.
//!
//! ```text
//!   submit ─> queue ─> next_batch: ≤ 4 MiB for the journal thread        faulted: all threads end, and the node hears why
//! ```
//!
//! The queue is bounded by the permits inside it. What the threads do stands in `threads.rs`, what the handle answers in
//! `handle.rs`.

use crate::storage::disk::fault::ShardFault;
use crate::storage::metrics;
use crate::storage::shard::engine::Engine;
use crate::storage::shard::gate::Gate;
use callboard_actors::ports::{ShardError, Submission};
use callboard_core::limits;
use callboard_core::storage::Room;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// Called when a shard stops for good.
pub type OnFault = Box<dyn Fn(u16, &ShardFault) + Send + Sync>;

/// One item for the journal thread.
enum Item {
    /// An entry, and when it came.
    Entry(Box<Submission>, Instant),
    /// Answered when everything before it is written.
    Barrier(oneshot::Sender<()>),
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    stopped: bool,
}

/// The state that the threads of one shard share.
pub struct Inner {
    pub engine: Arc<Engine>,
    queue: Mutex<Queue>,
    queued: Condvar,
    /// Whether the threads are to end; `woken` wakes those that wait for work.
    pub work: Mutex<bool>,
    pub woken: Condvar,
    pub last_append: Mutex<Instant>,
    pub gate: Gate,
    on_fault: OnFault,
    /// Whether `on_fault` was called.
    told: Mutex<bool>,
}

impl Inner {
    /// The state of threads that are about to start.
    #[must_use]
    pub fn new(engine: Arc<Engine>, on_fault: OnFault) -> Inner {
        Inner {
            engine,
            queue: Mutex::default(),
            queued: Condvar::new(),
            work: Mutex::new(false),
            woken: Condvar::new(),
            last_append: Mutex::new(Instant::now()),
            gate: Gate::default(),
            on_fault,
            told: Mutex::new(false),
        }
    }

    /// The refusal of a shard that takes nothing more.
    #[must_use]
    pub fn stopped(&self) -> ShardError {
        let stopped =
            |fault: &ShardFault| ShardError::Stopped { shard: self.engine.shard(), reason: fault.0.clone() };
        self.engine.fault().map_or(ShardError::Ending, stopped)
    }

    /// Queues an entry for the journal thread.
    pub fn push(&self, submission: Submission) -> Result<(), ShardError> {
        let mut queue = self.queue.lock();
        if queue.stopped {
            return Err(self.stopped());
        }
        queue.items.push_back(Item::Entry(Box::new(submission), Instant::now()));
        drop(queue);
        self.queued.notify_one();
        Ok(())
    }

    /// Queues an entry; the receiver hears when it and everything before it is written.
    pub fn push_and_hear(&self, submission: Submission) -> Result<oneshot::Receiver<()>, ShardError> {
        let (told, written) = oneshot::channel();
        let mut queue = self.queue.lock();
        if queue.stopped {
            return Err(self.stopped());
        }
        queue.items.push_back(Item::Entry(Box::new(submission), Instant::now()));
        queue.items.push_back(Item::Barrier(told));
        drop(queue);
        self.queued.notify_one();
        Ok(written)
    }

    /// Tells the threads to end, the journal thread after what is queued.
    pub fn stop(&self) {
        self.queue.lock().stopped = true;
        self.queued.notify_all();
        *self.work.lock() = true;
        self.woken.notify_all();
    }

    /// Stops the shard for good. The first of its threads to come here tells the node.
    pub fn faulted(&self, fault: &ShardFault) {
        self.engine.fail(fault);
        let told = std::mem::replace(&mut *self.told.lock(), true);
        {
            let mut queue = self.queue.lock();
            queue.stopped = true;
            queue.items.clear();
        }
        self.queued.notify_all();
        *self.work.lock() = true;
        self.woken.notify_all();
        self.open_gate();
        if !told {
            (self.on_fault)(self.engine.shard(), fault);
        }
    }

    /// Removes rows that no reader can see any more, until a settle is due or the end comes.
    pub fn sweep(&self, unsettled_max: u64) -> Result<(), ShardFault> {
        while self.engine.sweep()? {
            if *self.work.lock() || self.engine.settleable() >= unsettled_max / 2 {
                break;
            }
        }
        Ok(())
    }

    /// Moves runs out of segments that have to go, until a settle is due or the end comes. Then dead segments go.
    pub fn give_room(&self) -> Result<(), ShardFault> {
        let max = self.engine.options().unsettled_bytes_max;
        while self.engine.make_room()? {
            if *self.work.lock() || self.engine.settleable() >= max / 2 {
                break;
            }
        }
        self.engine.remove_surplus()
    }

    /// Lets the producers that wait look again.
    pub fn open_gate(&self) {
        self.gate.look_again(self.over_limit());
    }

    /// Whether producers wait. On a full disk they do not wait, because they are refused.
    #[must_use]
    pub fn over_limit(&self) -> bool {
        let room = self.engine.room();
        (self.engine.is_full() || room == Room::Held) && !room.refuses() && self.engine.fault().is_none()
    }

    /// Waits for submissions or for `until`, and takes up to 4 MiB of them. None means the end.
    pub fn next_batch(&self, until: Option<Instant>) -> Option<Vec<Submission>> {
        let mut queue = self.queue.lock();
        while queue.items.is_empty() {
            if queue.stopped {
                return None;
            }
            match until {
                None => self.queued.wait(&mut queue),
                Some(until) => {
                    if self.queued.wait_until(&mut queue, until).timed_out() {
                        break;
                    }
                }
            }
        }
        let oldest = match queue.items.front() {
            Some(Item::Entry(_, came)) => Some(came.elapsed()),
            _ => None,
        };
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(item) = queue.items.pop_front() {
            match item {
                Item::Entry(next, came) => {
                    if bytes + next.bytes.len() > limits::GROUP_BYTES_MAX && !batch.is_empty() {
                        queue.items.push_front(Item::Entry(next, came));
                        break;
                    }
                    bytes += next.bytes.len();
                    batch.push(*next);
                }
                Item::Barrier(told) if batch.is_empty() => {
                    let _ = told.send(());
                }
                barrier => {
                    queue.items.push_front(barrier);
                    break;
                }
            }
        }
        drop(queue);
        if let Some(oldest) = oldest {
            metrics::queued(self.engine.shard(), oldest);
        }
        Some(batch)
    }
}
