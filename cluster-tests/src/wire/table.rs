//! The rules and the counts of all directions, which change while packets flow.
//!
//! One lock guards both: the drill sets several rules at once, so that no packet meets half a partition.

use parking_lot::Mutex;

use super::rule::Rule;

/// Packets of one direction so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub seen: u64,
    pub lost: u64,
    /// Written to the other end, copies too.
    pub passed: u64,
}

/// Rules and counts by direction.
pub(super) struct Table {
    ends: usize,
    cells: Mutex<Vec<(Rule, Count)>>,
}

impl Table {
    pub(super) fn new(ends: usize) -> Table {
        Table { ends, cells: Mutex::new(vec![Default::default(); ends * ends]) }
    }

    /// The number of ends.
    pub(super) fn ends(&self) -> usize {
        self.ends
    }

    fn at(&self, from: usize, to: usize) -> Option<usize> {
        (from < self.ends && to < self.ends).then_some(from * self.ends + to)
    }

    /// Changes rules; `change` is asked once for each direction.
    pub(super) fn change(&self, change: impl Fn(usize, usize, &mut Rule)) {
        let mut cells = self.cells.lock();
        for (at, (rule, _)) in cells.iter_mut().enumerate() {
            change(at / self.ends, at % self.ends, rule);
        }
    }

    /// The rule that stands now.
    pub(super) fn rule(&self, from: usize, to: usize) -> Rule {
        let at = self.at(from, to);
        at.and_then(|at| self.cells.lock().get(at).map(|cell| cell.0)).unwrap_or_default()
    }

    /// What has passed so far.
    pub(super) fn count(&self, from: usize, to: usize) -> Count {
        let at = self.at(from, to);
        at.and_then(|at| self.cells.lock().get(at).map(|cell| cell.1)).unwrap_or_default()
    }

    /// Notes what became of packets.
    pub(super) fn note(&self, from: usize, to: usize, note: impl Fn(&mut Count)) {
        if let Some(at) = self.at(from, to)
            && let Some((_, count)) = self.cells.lock().get_mut(at)
        {
            note(count);
        }
    }
}
