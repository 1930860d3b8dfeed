//! Values in the log and on their way there: of one key, and of all offsets of a group.
//!
//! A commit that is not stored yet must not be shown, and a later one must not be undone by an earlier one. So each key is
//! a slot with its stored value and a queue of writes.
//!
//! ```text
//!   Slot:   stored (by write 7)  <─ ─  8: Some(b)  <─  9: None      shown: stored      written: None
//! ```
//!
//! Writes are numbered in log order. The later one wins, in whatever order their answers come, and one that failed leaves
//! no trace. What a value means is not known here.

use super::record::OffsetValue;
use std::collections::{BTreeMap, VecDeque};

/// The value under one key of the log.
#[derive(Clone, Debug)]
pub(super) struct Slot<T> {
    stored: Option<T>,
    by: u64,
    pending: VecDeque<(u64, Option<T>)>,
}

// Not derived, because that would ask for `T: Default`.
impl<T> Default for Slot<T> {
    fn default() -> Slot<T> {
        Slot { stored: None, by: 0, pending: VecDeque::new() }
    }
}

impl<T> Slot<T> {
    /// Takes a value that was read from the log.
    pub fn replay(&mut self, value: Option<T>) {
        self.stored = value;
    }

    /// The value that the log holds for certain.
    pub fn stored(&self) -> Option<&T> {
        self.stored.as_ref()
    }

    /// The value that the log will hold once every write is stored.
    pub fn written(&self) -> Option<&T> {
        match self.pending.back() {
            Some((write, value)) if *write >= self.by => value.as_ref(),
            _ => self.stored(),
        }
    }

    /// Whether a write is on its way.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether no value is stored and no write is on its way.
    pub fn is_empty(&self) -> bool {
        self.stored.is_none() && self.pending.is_empty()
    }

    /// Notes that a write carries a value, or a tombstone.
    pub fn write(&mut self, write: u64, value: Option<T>) {
        self.pending.push_back((write, value));
    }

    /// One value of a write is stored, or never will be.
    pub fn settle(&mut self, write: u64, stored: bool) {
        let Some(at) = self.pending.iter().position(|(number, _)| *number == write) else { return };
        let Some((_, value)) = self.pending.remove(at) else { return };
        if stored && write >= self.by {
            self.stored = value;
            self.by = write;
        }
    }
}

/// A topic's name and the number of a partition.
pub(super) type Key = (String, i32);

/// All offsets of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Offsets {
    topics: BTreeMap<String, BTreeMap<i32, Slot<OffsetValue>>>,
    shown: usize,
}

impl Offsets {
    /// Whether no offset is stored and none is on its way.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// How many partitions have a stored offset.
    pub fn shown(&self) -> usize {
        self.shown
    }

    /// The offset that a fetch shows.
    pub fn get(&self, topic: &str, partition: i32) -> Option<&OffsetValue> {
        self.slot(topic, partition).and_then(Slot::stored)
    }

    /// The slot of a partition, if it has one.
    pub fn slot(&self, topic: &str, partition: i32) -> Option<&Slot<OffsetValue>> {
        self.topics.get(topic)?.get(&partition)
    }

    /// The slots of one topic, by partition.
    pub fn partitions(&self, topic: &str) -> impl Iterator<Item = (&i32, &Slot<OffsetValue>)> {
        self.topics.get(topic).into_iter().flatten()
    }

    /// All slots, by topic and partition.
    pub fn topics(&self) -> impl Iterator<Item = (&String, &BTreeMap<i32, Slot<OffsetValue>>)> {
        self.topics.iter()
    }

    /// All slots, one after the other.
    pub fn slots(&self) -> impl Iterator<Item = (&str, i32, &Slot<OffsetValue>)> {
        self.topics.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, slot)| (topic.as_str(), *partition, slot))
        })
    }

    /// Partitions that will have an offset once every write is stored, with that offset.
    pub fn written(&self) -> impl Iterator<Item = (Key, &OffsetValue)> {
        self.slots().filter_map(|(topic, partition, slot)| {
            slot.written().map(|value| ((topic.to_owned(), partition), value))
        })
    }

    /// Takes an offset that was read from the log.
    pub fn replay(&mut self, topic: &str, partition: i32, value: Option<OffsetValue>) {
        self.change(topic, partition, |slot| slot.replay(value));
    }

    /// Notes that a write carries an offset, or a tombstone.
    pub fn write(&mut self, write: u64, topic: &str, partition: i32, value: Option<OffsetValue>) {
        self.change(topic, partition, |slot| slot.write(write, value));
    }

    /// One offset of a write is stored, or never will be.
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
