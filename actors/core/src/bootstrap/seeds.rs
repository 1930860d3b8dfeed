//! A seed list in one spelling, so that two machines which mean the same list also write the same.

use crate::ids::BrokerId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The seeds of a cluster, sorted and without repetition: the order on the command line does not matter.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SeedList(Vec<String>);

impl SeedList {
    /// Sorts the entries; an entry's spaces and letter case do not count, and empty entries go.
    #[must_use]
    pub fn new<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Self {
        let clean = |entry: S| entry.as_ref().trim().to_ascii_lowercase();
        let sorted: BTreeSet<String> = entries.into_iter().map(clean).filter(|e| !e.is_empty()).collect();
        Self(sorted.into_iter().collect())
    }

    /// The entries in order. An entry's place, which is its node's id, is its index plus one.
    #[must_use]
    pub fn entries(&self) -> &[String] {
        &self.0
    }

    /// The entry at a place, counted from 1.
    #[must_use]
    pub fn at(&self, place: BrokerId) -> Option<&String> {
        self.0.get(usize::try_from(place).ok()?.checked_sub(1)?)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// FNV-1a over the entries, the same in every build. It finds a list that differs, and protects from no attack.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let bytes = self.0.iter().flat_map(|entry| entry.bytes().chain([b'\n']));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// The entries that only this list has, and those that only the other has.
    #[must_use]
    pub fn differences(&self, other: &SeedList) -> (Vec<String>, Vec<String>) {
        let only = |a: &SeedList, b: &SeedList| a.0.iter().filter(|e| !b.0.contains(e)).cloned().collect();
        (only(self, other), only(other, self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_case_spaces_and_repetition_do_not_count() {
        let one = SeedList::new(["b:7946", " A:7946", "c:7946", "b:7946", ""]);
        let two = SeedList::new(["c:7946", "b:7946", "a:7946 "]);
        assert_eq!(one, two);
        assert_eq!(one.hash(), two.hash());
        assert_eq!(one.entries(), ["a:7946", "b:7946", "c:7946"]);
        assert_eq!(one.at(1).map(String::as_str), Some("a:7946"));
        assert_eq!([one.at(0), one.at(4), one.at(-1)], [None; 3]);
    }

    #[test]
    fn another_list_has_another_hash_and_says_the_difference() {
        let here = SeedList::new(["a:1", "localhost:1"]);
        let there = SeedList::new(["127.0.0.1:1", "a:1"]);
        assert_ne!(here.hash(), there.hash());
        assert_eq!(
            here.differences(&there),
            (vec!["localhost:1".to_owned()], vec!["127.0.0.1:1".to_owned()])
        );
        // The border between two entries counts.
        assert_ne!(SeedList::new(["ab", "c"]).hash(), SeedList::new(["a", "bc"]).hash());
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(SeedList::default().hash(), 0xcbf2_9ce4_8422_2325);
        assert_eq!(SeedList::new(["a"]).hash(), 0x089b_dc07_b544_e7b2);
    }
}
