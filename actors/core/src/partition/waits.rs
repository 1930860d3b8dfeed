//! Produce requests that wait for their answer, sorted by the offset they wait for and counted by deadline.
//!
//! The high watermark takes requests off at the front, and a deadline takes them out anywhere. The queue answers no
//! request itself, and its owner bounds it (`limits::TICKETS_PER_PARTITION`).

use super::messages::Appended;
use crate::ids::{Offset, Ticket};
use crate::time::Millis;
use std::collections::{BTreeMap, VecDeque};

/// One produce request that waits.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub ticket: Ticket,
    /// The request is answered once the high watermark is above this offset.
    pub last_offset: Offset,
    /// The moment at which the request stops waiting.
    pub deadline: Millis,
    pub appended: Appended,
}

/// All produce requests that wait on one partition.
#[derive(Debug, Default)]
pub struct Waits {
    queue: VecDeque<Waiting>,
    deadlines: BTreeMap<Millis, usize>,
}

impl Waits {
    /// Number of requests that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// The first deadline among the waiting requests.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.first_key_value().map(|(first, _)| *first)
    }

    /// Queues a request in offset order; requests for one offset stay in the order they came.
    pub fn push(&mut self, new: Waiting) {
        let at = self.queue.partition_point(|w| w.last_offset <= new.last_offset);
        self.queue.insert(at, new);
        *self.deadlines.entry(new.deadline).or_default() += 1;
    }

    /// Takes the first request off, if its offset is below `end`.
    pub fn pop_below(&mut self, end: Offset) -> Option<Waiting> {
        self.queue.front().filter(|w| w.last_offset < end)?;
        let first = self.queue.pop_front()?;
        self.forget(first.deadline);
        Some(first)
    }

    /// Takes off the requests whose deadline has passed, in offset order.
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

    /// Takes all requests off.
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

    /// Checks the order and the counts, and that no request for an offset below `end` still waits.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn check(&self, end: Offset) {
        assert!(self.queue.iter().is_sorted_by_key(|w| w.last_offset), "tickets sorted by offset");
        assert!(self.queue.front().is_none_or(|w| w.last_offset >= end), "nothing answerable waits");
        assert_eq!(self.deadlines.values().sum::<usize>(), self.queue.len());
    }
}
