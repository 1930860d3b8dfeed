//! The metadata log: one list of entries, one leadership at a time, and a cursor per node.
//!
//! ```text
//!   Lead(1, n1) · batch · batch · Lead(2, n3) · batch ┆ batch · batch
//!        ^ cursor of n2       ^ cursor of n1          └ committed       the rest may be cut off by the next leadership
//! ```
//!
//! A leadership is an entry of the list like any batch, so the index of a batch is its place in the list. A proposal
//! names the leadership that it was decided in, and the log takes no other (`with_leader`, R35). A new leadership keeps
//! any prefix of what was not committed, as Raft does.
//!
//! Votes, terms on disk and the messages of Raft are out: openraft has suites of its own. A node with a majority behind
//! it becomes leader with the whole list in its log, though it may not have applied it.

use std::sync::Arc;

use callboard_core::metadata::{Committed, Leadership, MetadataRecord, ProposalId};

/// One entry of the list.
#[derive(Clone, Debug)]
pub enum Entry {
    Lead(Leadership),
    Batch { proposal: ProposalId, records: Arc<Vec<MetadataRecord>> },
}

/// The log as a majority of its nodes would tell it.
#[derive(Debug, Default)]
pub struct MetaLog {
    entries: Vec<Entry>,
    committed: usize,
    leadership: Option<Leadership>,
    term: u64,
}

/// The event of an entry at this place of the list, for one node.
#[must_use]
pub fn event(entry: &Entry, place: usize) -> Committed {
    match entry {
        Entry::Lead(leadership) => Committed::Lead(*leadership),
        Entry::Batch { proposal, records } => Committed::Batch {
            index: place as u64 + 1,
            proposal: Some(*proposal),
            records: Arc::clone(records),
        },
    }
}

impl MetaLog {
    /// The leadership that may append now.
    #[must_use]
    pub fn leadership(&self) -> Option<Leadership> {
        self.leadership
    }

    /// The last term that any leadership had.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.term
    }

    /// How many entries are committed.
    #[must_use]
    pub fn committed(&self) -> usize {
        self.committed
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was ever appended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry at this place.
    #[must_use]
    pub fn entry(&self, place: usize) -> Option<&Entry> {
        self.entries.get(place)
    }

    /// The last leadership before this place.
    #[must_use]
    pub fn led_before(&self, place: usize) -> Option<Leadership> {
        let mut before = self.entries.iter().take(place).rev();
        before.find_map(|entry| match entry {
            Entry::Lead(leadership) => Some(*leadership),
            Entry::Batch { .. } => None,
        })
    }

    /// Appends a batch under this leadership, or refuses it because another one holds.
    pub fn append(
        &mut self,
        leadership: Leadership,
        proposal: ProposalId,
        records: Vec<MetadataRecord>,
    ) -> Option<usize> {
        if self.leadership != Some(leadership) {
            return None;
        }
        self.entries.push(Entry::Batch { proposal, records: Arc::new(records) });
        Some(self.entries.len() - 1)
    }

    /// Begins a leadership of this node. Of the entries that are not committed, the first `keep` stay.
    pub fn elect(&mut self, node: i32, keep: usize) -> Leadership {
        self.entries.truncate(self.committed + keep);
        self.term += 1;
        let leadership = Leadership { term: self.term, node };
        self.leadership = Some(leadership);
        self.entries.push(Entry::Lead(leadership));
        leadership
    }

    /// No node leads any more.
    pub fn depose(&mut self) {
        self.leadership = None;
    }

    /// Commits one more entry, if there is one that a leader may commit: Raft commits entries of earlier terms only
    /// together with one of the present leadership.
    pub fn commit(&mut self) -> Option<usize> {
        self.leadership?;
        let next = self.committed;
        (next < self.entries.len()).then(|| {
            self.committed += 1;
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(number: u64) -> ProposalId {
        ProposalId { node: 1, number }
    }

    #[test]
    fn a_leadership_fences_the_one_before_and_keeps_what_is_committed() {
        let mut log = MetaLog::default();
        let first = log.elect(1, 0);
        assert!(log.append(first, proposal(1), vec![]).is_some());
        assert!(log.append(first, proposal(2), vec![]).is_some());
        assert_eq!((log.commit(), log.commit()), (Some(0), Some(1)));
        let second = log.elect(2, 0);
        assert_eq!(log.len(), 3, "the batch that was not committed is cut off");
        assert_eq!(log.append(first, proposal(3), vec![]), None);
        assert!(log.append(second, proposal(4), vec![]).is_some());
        assert_eq!(log.committed(), 2);
        log.depose();
        assert_eq!(log.append(second, proposal(5), vec![]), None);
        assert_eq!(log.commit(), None, "without a leader nothing is committed");
    }
}
