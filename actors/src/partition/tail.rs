//! The newest batches of a partition, in memory: consumers at the end of the log are served from here.
//!
//! A tail holds contiguous batches and may let go of any of them at any time, because what is readable is in the run
//! index or in redb. It counts what came since a reader asked; its owner (`tails.rs`) decides by that whether a copy is
//! worth its making.

use bytes::Bytes;
use callboard_core::Offset;
use std::collections::VecDeque;

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
    pub(super) fn let_go(&mut self, base: Offset) {
        if self.entries.front().is_some_and(|oldest| oldest.base == base) {
            self.entries.pop_front();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Somebody reads, or waits to.
    pub fn wanted(&mut self) {
        self.unread = 0;
    }

    /// So many bytes come. Whether a copy of them is worth its making, where all tails hold `max`; if not, what was held
    /// goes, or a gap would be behind it.
    pub(super) fn takes_copies(&mut self, bytes: usize, max: usize) -> bool {
        self.unread = self.unread.saturating_add(bytes);
        let takes = self.unread <= max;
        if !takes {
            self.entries.clear();
        }
        takes
    }

    pub(super) fn push(&mut self, base: Offset, next: Offset, bytes: Bytes) {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
