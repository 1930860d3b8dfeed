//! The newest batches of a partition, in memory: consumers at the end of the log are served from here.
//!
//! One budget bounds the tails of a node; over it, the oldest entry of all goes first, whosever it is. A tail may let go
//! of anything at any time: what is readable is in the run index or in redb. So a partition of which nobody has read while
//! as much came as all tails may hold is not copied into one: it would have gone unread.

use super::handle::PartitionHandle;
use bytes::Bytes;
use callboard_core::Offset;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

#[derive(Debug)]
struct Entry {
    base: Offset,
    next: Offset,
    bytes: Bytes,
}

/// One partition's newest batches, contiguous.
#[derive(Debug, Default)]
pub struct Tail {
    entries: VecDeque<Entry>,
    /// Bytes that came since somebody read, or asked what there is to read.
    unread: usize,
}

impl Tail {
    /// The oldest goes, if it is the one at this offset: that one may have gone before its turn.
    fn let_go(&mut self, base: Offset) {
        if self.entries.front().is_some_and(|oldest| oldest.base == base) {
            self.entries.pop_front();
        }
    }

    /// Somebody reads, or waits to.
    pub fn wanted(&mut self) {
        self.unread = 0;
    }

    /// So many bytes come. Whether a copy of them is worth its making, where all tails hold `max`; if not, what was held
    /// goes, or a gap would be behind it.
    fn takes_copies(&mut self, bytes: usize, max: usize) -> bool {
        self.unread = self.unread.saturating_add(bytes);
        let takes = self.unread <= max;
        if !takes {
            self.entries.clear();
        }
        takes
    }

    fn push(&mut self, base: Offset, next: Offset, bytes: Bytes) {
        // Not a continuation: what is held can no longer be read as one.
        if self.entries.back().is_some_and(|last| last.next != base) {
            self.entries.clear();
        }
        self.entries.push_back(Entry { base, next, bytes });
    }

    /// Batches from the one that covers `from`, below `until`; the first whole, then as many as fit. None: the offset is
    /// not here any more.
    #[must_use]
    pub fn read(&self, from: Offset, until: Offset, max_bytes: usize) -> Option<(Vec<Bytes>, usize, Offset)> {
        let first = self.entries.front()?;
        if from < first.base {
            return None;
        }
        let start = self.entries.partition_point(|e| e.next <= from);
        let (mut parts, mut bytes, mut next) = (Vec::new(), 0, from);
        for entry in self.entries.range(start..) {
            let full = bytes > 0 && bytes + entry.bytes.len() > max_bytes;
            if entry.base >= until || full {
                break;
            }
            bytes += entry.bytes.len();
            next = entry.next;
            parts.push(entry.bytes.clone());
        }
        Some((parts, bytes, next))
    }

    /// Bytes in `from .. until`, as far as they are here; none where the tail does not reach back.
    #[must_use]
    pub fn bytes_between(&self, from: Offset, until: Offset) -> Option<usize> {
        let first = self.entries.front()?;
        if from < first.base {
            return None;
        }
        let start = self.entries.partition_point(|e| e.next <= from);
        Some(self.entries.range(start..).take_while(|e| e.base < until).map(|e| e.bytes.len()).sum())
    }
}

/// The bound of all tails.
#[derive(Debug)]
pub struct TailBudget {
    max: usize,
    order: Mutex<Order>,
}

#[derive(Debug, Default)]
struct Order {
    used: usize,
    /// Whose, from which offset, and what it was charged; oldest first.
    queue: VecDeque<(Weak<PartitionHandle>, Offset, usize)>,
}

impl TailBudget {
    /// So many bytes.
    #[must_use]
    pub fn new(max: usize) -> TailBudget {
        TailBudget { max, order: Mutex::default() }
    }

    /// Adds a batch to a partition's tail; `pinned` is the memory it holds on to. A small part of a large request is
    /// copied out, so one record never holds a 50 MiB frame.
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

    /// Bytes held.
    #[must_use]
    pub fn used(&self) -> usize {
        self.order.lock().used
    }

    /// Bytes it may hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.max
    }

    /// A partition is gone: its memory goes at once, the count when its turn comes.
    pub fn forget(&self, handle: &PartitionHandle) {
        handle.tail.lock().entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::{TopicId, TopicPartition};

    #[test]
    fn a_tail_serves_what_it_holds_and_says_what_it_does_not() {
        let mut tail = Tail::default();
        for n in 0..4 {
            tail.push(n * 10, n * 10 + 10, Bytes::from(vec![n as u8; 100]));
        }
        tail.entries.pop_front();
        assert!(tail.read(5, 40, 1000).is_none(), "no longer here");
        let (parts, bytes, next) = tail.read(15, 40, 1000).unwrap();
        assert_eq!((parts.len(), bytes, next), (3, 300, 40));
        assert_eq!(tail.read(15, 30, 1000).unwrap().2, 30, "not above the high watermark");
        assert_eq!(tail.read(15, 40, 10).unwrap().1, 100, "the first batch whole");
        assert_eq!(tail.read(40, 40, 10).unwrap().1, 0);
        assert_eq!(tail.bytes_between(20, 40), Some(200));
        tail.push(70, 80, Bytes::from_static(b"x"));
        assert!(tail.read(15, 80, 1000).is_none(), "a gap: what was held is let go");
    }

    #[test]
    fn what_nobody_reads_is_not_copied() {
        let (budget, id) = (TailBudget::new(1000), TopicPartition { topic: TopicId([1; 16]), partition: 0 });
        let handle = Arc::new(PartitionHandle::offline(id, 0, "no store here".into()));
        let held = || handle.tail.lock().entries.len();
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
