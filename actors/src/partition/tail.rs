//! A tail: the newest batches of a partition in memory, for consumers that read at the end of the log.
//!
//! A tail holds contiguous batches. It may let go of any of them at any time, because every readable batch is in the
//! run index or in redb. It counts the bytes that came since a reader asked. By that count it says whether a batch is
//! worth a copy. `tails.rs` bounds all tails together.

use bytes::Bytes;
use callboard_core::Offset;
use std::collections::VecDeque;

#[derive(Debug)]
struct Entry {
    base: Offset,
    next: Offset,
    bytes: Bytes,
}

/// One partition's newest batches, without gaps between them.
#[derive(Debug, Default)]
pub struct Tail {
    entries: VecDeque<Entry>,
    /// Bytes that came since a request last read, or asked how much there is to read.
    unread: usize,
}

impl Tail {
    /// Lets the oldest batch go, if it has this offset. Otherwise that batch went before its turn.
    pub(super) fn let_go(&mut self, base: Offset) {
        if self.entries.front().is_some_and(|oldest| oldest.base == base) {
            self.entries.pop_front();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Lets all batches go.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Lets the batches go that reach above this offset, because the log is cut there.
    pub(super) fn cut(&mut self, to: Offset) {
        while self.entries.back().is_some_and(|newest| newest.next > to) {
            self.entries.pop_back();
        }
    }

    /// Notes that a request reads, or waits to read.
    pub fn wanted(&mut self) {
        self.unread = 0;
    }

    /// Counts arriving bytes, and says whether a copy of them is worth its making. `max` is the bound of all tails.
    ///
    /// If not, the held batches go too, because a gap would lie behind them.
    pub(super) fn takes_copies(&mut self, bytes: usize, max: usize) -> bool {
        self.unread = self.unread.saturating_add(bytes);
        let takes = self.unread <= max;
        if !takes {
            self.entries.clear();
        }
        takes
    }

    pub(super) fn push(&mut self, base: Offset, next: Offset, bytes: Bytes) {
        // The held batches do not reach the new one, so they can no longer be read together.
        if self.entries.back().is_some_and(|last| last.next != base) {
            self.entries.clear();
        }
        self.entries.push_back(Entry { base, next, bytes });
    }

    /// Batches from the one that covers `from`, below `until`. The first comes whole, then as many as fit. None if
    /// the tail does not reach back.
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

    /// Whether the tail reaches back to `from` and holds at most `limit` bytes in `from .. until`.
    #[must_use]
    pub fn is_within(&self, from: Offset, until: Offset, limit: usize) -> bool {
        if self.entries.front().is_none_or(|first| from < first.base) {
            return false;
        }
        let start = self.entries.partition_point(|e| e.next <= from);
        let mut left = limit;
        self.entries.range(start..).take_while(|e| e.base < until).all(|entry| {
            let fits = entry.bytes.len() <= left;
            left = left.saturating_sub(entry.bytes.len());
            fits
        })
    }

    /// Bytes of the held batches in `from .. until`; none if the tail does not reach back.
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
        for (from, limit, within) in [(20, 200, true), (20, 199, false), (40, 0, true), (5, 1_000, false)] {
            assert_eq!(tail.is_within(from, 40, limit), within, "{from} {limit}");
        }
        tail.push(70, 80, Bytes::from_static(b"x"));
        assert!(tail.read(15, 80, 1000).is_none(), "a gap: what was held is let go");
    }
}
