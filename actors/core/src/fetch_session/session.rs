//! One session: its partitions, in the order in which they are fetched.
//!
//! ```text
//!   parts  key ─> turn, wanted, known          order  turn ─> key          the next turn is the highest of all
//! ```
//! Both maps hold the same partitions; `check` proves it.

use super::messages::{Key, Known, Part, Said, TopicKey, Wanted};
use crate::time::Millis;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
struct Cached {
    turn: u64,
    wanted: Wanted,
    known: Known,
}

/// Memory of a partition besides the name of its topic: two keys, its facts, its share of two trees.
const PART_BYTES: usize = 256;

/// Memory of one partition; a shared name counts for each.
pub(super) fn cost(key: &Key) -> usize {
    let name = match &key.topic {
        TopicKey::Name(name) => name.len(),
        TopicKey::Id(_) => 0,
    };
    PART_BYTES + name
}

#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) by_id: bool,
    pub(super) epoch: i32,
    pub(super) created: Millis,
    pub(super) used: Millis,
    bytes: usize,
    next_turn: u64,
    parts: BTreeMap<Key, Cached>,
    order: BTreeMap<u64, Key>,
}

impl Session {
    pub(super) fn new(now: Millis, by_id: bool) -> Session {
        Session {
            by_id,
            epoch: 1,
            created: now,
            used: now,
            bytes: 0,
            next_turn: 0,
            parts: BTreeMap::new(),
            order: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a partition is in it.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.parts.contains_key(key)
    }

    /// Appends a partition, or changes the wish for one that is there.
    pub(super) fn put(&mut self, key: Key, wanted: Wanted, known: Known) {
        if let Some(cached) = self.parts.get_mut(&key) {
            cached.wanted = wanted;
            return;
        }
        self.bytes += cost(&key);
        self.order.insert(self.next_turn, key.clone());
        self.parts.insert(key, Cached { turn: self.next_turn, wanted, known });
        self.next_turn += 1;
    }

    /// Takes a partition out.
    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(cached) = self.parts.remove(key) {
            self.bytes -= cost(key);
            self.order.remove(&cached.turn);
        }
    }

    /// All partitions, in order.
    pub(super) fn parts(&self) -> Vec<Part> {
        let part = |key: &Key| {
            let cached = self.parts.get(key)?;
            Some(Part { key: key.clone(), wanted: cached.wanted, known: cached.known })
        };
        self.order.values().filter_map(part).collect()
    }

    /// Takes the findings for a partition; tells whether the client must hear of it.
    pub(super) fn said(&mut self, key: &Key, said: &Said) -> bool {
        let Some(cached) = self.parts.get_mut(key) else { return true };
        let (news, known) = said.against(cached.known);
        cached.known = known;
        if said.bytes > 0 {
            // It goes behind all others, which are read first the next time.
            self.order.remove(&cached.turn);
            cached.turn = self.next_turn;
            self.order.insert(cached.turn, key.clone());
            self.next_turn += 1;
        }
        news
    }

    /// Panics if the two maps or the bytes do not agree.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) {
        assert_eq!(self.parts.len(), self.order.len());
        assert_eq!(self.bytes, self.parts.keys().map(cost).sum::<usize>());
        assert!(self.order.iter().all(|(turn, key)| self.parts.get(key).is_some_and(|c| c.turn == *turn)));
        assert!(self.order.last_key_value().is_none_or(|(turn, _)| *turn < self.next_turn));
    }
}
