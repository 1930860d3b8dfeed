//! Answers that wait: sorted by the offset they wait for, counted by deadline.
//!
//! The queue is bounded by its owner (`limits::TICKETS_PER_PARTITION`); it never answers anything itself.

use super::messages::Appended;
use crate::ids::{Offset, Ticket};
use crate::time::Millis;
use std::collections::{BTreeMap, VecDeque};

/// One answer that waits.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// Whose.
    pub ticket: Ticket,
    /// Answered once the watched end is past this.
    pub last_offset: Offset,
    /// When it gives up.
    pub deadline: Millis,
    /// The answer.
    pub appended: Appended,
}

/// All answers that wait on one partition.
#[derive(Debug, Default)]
pub struct Waits {
    queue: VecDeque<Waiting>,
    deadlines: BTreeMap<Millis, usize>,
}

impl Waits {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// The first moment at which one gives up.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.first_key_value().map(|(first, _)| *first)
    }

    /// Queues one, in offset order; those of one offset in the order they came.
    pub fn push(&mut self, new: Waiting) {
        let at = self.queue.partition_point(|w| w.last_offset <= new.last_offset);
        self.queue.insert(at, new);
        *self.deadlines.entry(new.deadline).or_default() += 1;
    }

    /// Takes the first one off, if what it waits for is below `end`.
    pub fn pop_below(&mut self, end: Offset) -> Option<Waiting> {
        self.queue.front().filter(|w| w.last_offset < end)?;
        let first = self.queue.pop_front()?;
        self.forget(first.deadline);
        Some(first)
    }

    /// Takes those off that give up now, in offset order.
    pub fn expire(&mut self, now: Millis) -> Vec<Waiting> {
        if self.next_deadline().is_none_or(|first| first > now) {
            return Vec::new();
        }
        let (late, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|w| w.deadline <= now);
        self.queue = kept.into();
        late.iter().for_each(|w| self.forget(w.deadline));
        late
    }

    /// Takes all off.
    pub fn take(&mut self) -> VecDeque<Waiting> {
        self.deadlines.clear();
        std::mem::take(&mut self.queue)
    }

    fn forget(&mut self, deadline: Millis) {
        if let Some(count) = self.deadlines.get_mut(&deadline) {
            *count -= 1;
            if *count == 0 {
                self.deadlines.remove(&deadline);
            }
        }
    }

    /// Its invariants; `end`: nothing below it still waits.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn check(&self, end: Offset) {
        assert!(self.queue.iter().is_sorted_by_key(|w| w.last_offset), "tickets sorted by offset");
        assert!(self.queue.front().is_none_or(|w| w.last_offset >= end), "nothing answerable waits");
        assert_eq!(self.deadlines.values().sum::<usize>(), self.queue.len());
    }
}
