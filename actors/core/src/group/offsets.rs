//! What is in the log, what is on its way there: of a value, of all offsets of a group.
//!
//! ```text
//!   Slot:   stored (by write 7)  <─ ─  8: Some(b)  <─  9: None      shown: stored      written: None
//! ```
//!
//! A value shows once its write is stored. Writes are numbered in log order: the later one wins, in whatever order their
//! answers come, and one that failed leaves no trace.

use super::record::OffsetValue;
use std::collections::{BTreeMap, VecDeque};

/// One key of the log.
#[derive(Clone, Debug)]
pub(super) struct Slot<T> {
    stored: Option<T>,
    by: u64,
    pending: VecDeque<(u64, Option<T>)>,
}

// Not derived: that would ask for `T: Default`.
impl<T> Default for Slot<T> {
    fn default() -> Slot<T> {
        Slot { stored: None, by: 0, pending: VecDeque::new() }
    }
}

impl<T> Slot<T> {
    /// What was read from the log.
    pub fn replay(&mut self, value: Option<T>) {
        self.stored = value;
    }

    /// What the log holds for certain.
    pub fn stored(&self) -> Option<&T> {
        self.stored.as_ref()
    }

    /// What the log will hold once all that is on its way is stored.
    pub fn written(&self) -> Option<&T> {
        match self.pending.back() {
            Some((write, value)) if *write >= self.by => value.as_ref(),
            _ => self.stored(),
        }
    }

    /// Something is on its way.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Neither stored nor on its way.
    pub fn is_empty(&self) -> bool {
        self.stored.is_none() && self.pending.is_empty()
    }

    /// This write carries a value, or a tombstone.
    pub fn write(&mut self, write: u64, value: Option<T>) {
        self.pending.push_back((write, value));
    }

    /// One value of this write is stored, or never will be.
    pub fn settle(&mut self, write: u64, stored: bool) {
        let Some(at) = self.pending.iter().position(|(number, _)| *number == write) else { return };
        let Some((_, value)) = self.pending.remove(at) else { return };
        if stored && write >= self.by {
            self.stored = value;
            self.by = write;
        }
    }
}

/// A topic's partition, by name.
pub(super) type Key = (String, i32);

/// All offsets of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Offsets {
    topics: BTreeMap<String, BTreeMap<i32, Slot<OffsetValue>>>,
    shown: usize,
}

impl Offsets {
    /// Nothing stored, nothing on its way.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Partitions with a stored offset.
    pub fn shown(&self) -> usize {
        self.shown
    }

    /// What a fetch shows.
    pub fn get(&self, topic: &str, partition: i32) -> Option<&OffsetValue> {
        self.slot(topic, partition).and_then(Slot::stored)
    }

    pub fn slot(&self, topic: &str, partition: i32) -> Option<&Slot<OffsetValue>> {
        self.topics.get(topic)?.get(&partition)
    }

    /// All there are, by topic.
    pub fn topics(&self) -> impl Iterator<Item = (&String, &BTreeMap<i32, Slot<OffsetValue>>)> {
        self.topics.iter()
    }

    /// All there are.
    pub fn slots(&self) -> impl Iterator<Item = (&str, i32, &Slot<OffsetValue>)> {
        self.topics.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, slot)| (topic.as_str(), *partition, slot))
        })
    }

    /// Partitions that will have an offset once all writes are stored.
    pub fn written(&self) -> impl Iterator<Item = (Key, &OffsetValue)> {
        self.slots().filter_map(|(topic, partition, slot)| {
            slot.written().map(|value| ((topic.to_owned(), partition), value))
        })
    }

    pub fn replay(&mut self, topic: &str, partition: i32, value: Option<OffsetValue>) {
        self.change(topic, partition, |slot| slot.replay(value));
    }

    pub fn write(&mut self, write: u64, topic: &str, partition: i32, value: Option<OffsetValue>) {
        self.change(topic, partition, |slot| slot.write(write, value));
    }

    pub fn settle(&mut self, write: u64, topic: &str, partition: i32, stored: bool) {
        self.change(topic, partition, |slot| slot.settle(write, stored));
    }

    fn change(&mut self, topic: &str, partition: i32, with: impl FnOnce(&mut Slot<OffsetValue>)) {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_owned(), BTreeMap::new());
        }
        let Some(partitions) = self.topics.get_mut(topic) else { return };
        let slot = partitions.entry(partition).or_default();
        let before = usize::from(slot.stored().is_some());
        with(slot);
        self.shown = self.shown + usize::from(slot.stored().is_some()) - before;
        if slot.is_empty() {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    /// Panics if the count is wrong.
    #[cfg(test)]
    pub fn check(&self) {
        assert_eq!(self.shown, self.slots().filter(|(_, _, slot)| slot.stored().is_some()).count());
    }
}
