//! One budget for the tails of a node.
//!
//! Over the budget the oldest batch of all goes first, whichever partition holds it. A partition that nobody has read
//! while a full tail budget arrived is not copied into the tail. A batch that needs no copy always goes in.
//!
//! The budget counts memory and lets batches go. It does not read them.

use super::handle::PartitionHandle;
use bytes::Bytes;
use callboard_core::Offset;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

/// The budget of all tails together, in bytes.
#[derive(Debug)]
pub struct TailBudget {
    max: usize,
    order: Mutex<Order>,
}

#[derive(Debug, Default)]
struct Order {
    used: usize,
    /// The partition, its batch's offset, and the bytes charged; oldest first.
    queue: VecDeque<(Weak<PartitionHandle>, Offset, usize)>,
}

impl TailBudget {
    /// A budget of `max` bytes, all free.
    #[must_use]
    pub fn new(max: usize) -> TailBudget {
        TailBudget { max, order: Mutex::default() }
    }

    /// Adds a batch to a partition's tail. `pinned` is the memory that the batch keeps alive. A small part of a large
    /// request is copied out, so one record never keeps a 50 MiB frame alive.
    pub fn push(&self, to: &Arc<PartitionHandle>, base: Offset, next: Offset, bytes: &Bytes, pinned: usize) {
        let (bytes, charged) = if bytes.len() * 2 < pinned {
            if !to.tail.lock().takes_copies(bytes.len(), self.max) {
                return;
            }
            (Bytes::copy_from_slice(bytes), bytes.len())
        } else {
            (bytes.clone(), pinned.max(bytes.len()))
        };
        to.tail.lock().push(base, next, bytes);
        let mut order = self.order.lock();
        order.queue.push_back((Arc::downgrade(to), base, charged));
        order.used += charged;
        while order.used > self.max {
            let Some((oldest, base, charged)) = order.queue.pop_front() else { break };
            if let Some(handle) = oldest.upgrade() {
                handle.tail.lock().let_go(base);
            }
            order.used -= charged;
        }
    }

    /// Bytes charged for batches now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.order.lock().used
    }

    /// Bytes that all tails may hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.max
    }

    /// Lets a partition's batches go at once. Their charge goes when their turn comes.
    pub fn forget(&self, handle: &PartitionHandle) {
        handle.tail.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::{TopicId, TopicPartition};

    #[test]
    fn what_nobody_reads_is_not_copied() {
        let (budget, id) = (TailBudget::new(1000), TopicPartition { topic: TopicId([1; 16]), partition: 0 });
        let handle = Arc::new(PartitionHandle::new(id, None, Arc::default()));
        let held = || handle.tail.lock().len();
        let batch = Bytes::from(vec![7; 100]);
        let push = |n: i64| budget.push(&handle, n, n + 1, &batch, 1000);
        (0..10).for_each(push);
        assert_eq!((held(), budget.used()), (10, 1000));
        push(10);
        assert_eq!(held(), 0, "a tail's worth came and nobody read");
        assert!(handle.tail.lock().read(10, 11, 1000).is_none(), "it is read from the store");
        assert_eq!(handle.tail_bytes(10, 11), None);
        push(11);
        assert_eq!(held(), 1, "somebody asked");
        assert_eq!(handle.tail.lock().read(11, 12, 1000).unwrap().2, 12);
        budget.push(&handle, 12, 13, &batch, 100);
        assert_eq!(held(), 2, "what needs no copy is always kept");
    }
}
