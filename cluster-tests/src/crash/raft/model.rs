//! The plain model: the state that each queued change leads to, and the states that a reopened store may show.
//!
//! A store writes its queue in order, so a crash leaves the state after some first part of the queue. That part holds
//! every answered change. A purge is never waited for, so its answer promises nothing. The committed position rides on
//! the next transaction: a transaction carries the newest position that was noted when its last change was queued, or
//! one noted since. The model knows no redb and no file.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use callboard::controller::raft::bare::{Entry, LogId, SnapshotMeta, Vote, next};
use callboard_core::metadata::Image;
use parking_lot::Mutex;

/// One change of a store.
#[derive(Clone)]
pub enum Op {
    Vote(Vote),
    Append(Vec<Entry>),
    /// Every entry behind this one goes.
    Truncate(Option<LogId>),
    Purge(LogId),
    Built(SnapshotMeta, Arc<Image>),
    Install(SnapshotMeta, Arc<Image>),
}

/// Everything that a store shows to openraft.
#[derive(Clone, Default, PartialEq)]
pub struct State {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    pub entries: BTreeMap<u64, Entry>,
    pub snapshot: Option<(SnapshotMeta, Arc<Image>)>,
}

impl State {
    /// The end of the log.
    #[must_use]
    pub fn last(&self) -> Option<LogId> {
        self.entries.last_key_value().map(|(_, entry)| entry.log_id).or(self.purged)
    }

    /// The position of the snapshot.
    #[must_use]
    pub fn covered(&self) -> Option<LogId> {
        self.snapshot.as_ref().and_then(|(meta, _)| meta.last_log_id)
    }

    fn after(&self, op: &Op) -> State {
        let mut now = self.clone();
        match op {
            Op::Vote(vote) => now.vote = Some(*vote),
            Op::Append(entries) => {
                now.entries.extend(entries.iter().map(|entry| (entry.log_id.index, entry.clone())));
            }
            Op::Truncate(keep) => drop(now.entries.split_off(&next(*keep))),
            Op::Purge(upto) => now.purge(*upto),
            Op::Built(meta, image) if self.covered() < meta.last_log_id => {
                now.snapshot = Some((meta.clone(), Arc::clone(image)));
            }
            Op::Built(..) => {}
            Op::Install(meta, image) => {
                now.snapshot = Some((meta.clone(), Arc::clone(image)));
                meta.last_log_id.iter().for_each(|upto| now.purge(*upto));
            }
        }
        now
    }

    fn purge(&mut self, upto: LogId) {
        self.entries = self.entries.split_off(&upto.index.saturating_add(1));
        self.purged = Some(upto);
    }

    /// Whether everything but the committed position is the same.
    fn same(&self, other: &State) -> bool {
        let parts = |s: &State| (s.vote, s.purged, s.snapshot.clone());
        parts(self) == parts(other) && self.entries == other.entries
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |id: Option<LogId>| id.map_or("none".to_owned(), |id| id.to_string());
        let vote = self.vote.map_or("none".to_owned(), |vote| vote.to_string());
        let first =
            self.entries.keys().next().map_or("no entries".to_owned(), |n| format!("entries from {n}"));
        let (last, covered) = (text(self.last()), text(self.covered()));
        let (committed, purged) = (text(self.committed), text(self.purged));
        let count = self.entries.len();
        write!(
            f,
            "vote {vote}, {first}, {count} of them, to {last}, purged {purged}, committed {committed}, snapshot {covered}"
        )
    }
}

/// All changes that were queued, and the answers so far.
#[derive(Clone)]
pub struct Ledger {
    /// The state after each number of changes.
    states: Vec<Arc<State>>,
    /// Changes that must be there, because the last of them was answered.
    answered: usize,
    /// Committed positions, each with the number of changes queued before it.
    notes: Vec<(usize, Option<LogId>)>,
}

/// The ledger that script and watcher share.
pub type Shared = Arc<Mutex<Ledger>>;

impl Ledger {
    /// A ledger that begins with this state.
    #[must_use]
    pub fn new(base: State) -> Ledger {
        Ledger { notes: vec![(0, base.committed)], states: vec![Arc::new(base)], answered: 0 }
    }

    /// The state after everything that was queued, without the committed position.
    #[must_use]
    pub fn now(&self) -> Arc<State> {
        Arc::clone(&self.states[self.states.len() - 1])
    }

    /// The newest committed position that was noted.
    #[must_use]
    pub fn committed(&self) -> Option<LogId> {
        self.notes.last().and_then(|(_, position)| *position)
    }

    /// Enters a change. Returns its number, by which it is answered.
    pub fn queue(&mut self, op: &Op) -> usize {
        let after = self.now().after(op);
        self.states.push(Arc::new(after));
        self.states.len() - 1
    }

    /// Whether a change leads to the state that was there before.
    #[must_use]
    pub fn idle(&self, number: usize) -> bool {
        number > 0 && self.states[number] == self.states[number - 1]
    }

    /// Enters the answer to a change.
    pub fn answer(&mut self, number: usize) {
        if !self.idle(number) {
            self.answered = self.answered.max(number);
        }
    }

    /// Everything that was queued has been written, because the store was closed. A change that leads to the state before
    /// was never queued, so it carried no committed position.
    pub fn settle(&mut self) {
        self.answered = (0..self.states.len()).rev().find(|n| !self.idle(*n)).unwrap_or(0);
    }

    /// Enters a committed position.
    pub fn note(&mut self, position: Option<LogId>) {
        self.notes.push((self.states.len() - 1, position));
    }

    /// Compares what a reopened store shows with what it may show.
    pub fn compare(&self, shown: &State) -> Result<(), String> {
        let allowed = self.answered..self.states.len();
        let fits = allowed.filter(|n| shown.same(&self.states[*n])).collect::<Vec<_>>();
        if fits.iter().any(|n| self.carries(*n, shown.committed)) {
            return Ok(());
        }
        let why =
            if fits.is_empty() { "it shows another state" } else { "its committed position is not one" };
        let (least, most) = (&self.states[self.answered], self.now());
        Err(format!(
            "{why} that the answers allow: shown {shown}; the last answer promised {least}; all that was queued makes \
             {most}, committed {:?}",
            self.committed()
        ))
    }

    /// Whether a transaction that ends with this change may carry this position.
    fn carries(&self, number: usize, position: Option<LogId>) -> bool {
        let least = self.notes.iter().rposition(|(queued, _)| *queued < number).unwrap_or(0);
        let may = self.notes.iter().skip(least).take_while(|(queued, _)| *queued <= number);
        may.into_iter().any(|(_, noted)| *noted == position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard::controller::raft::bare::Lead;

    fn id(index: u64) -> LogId {
        LogId::new(Lead { term: 1, node_id: 1 }, index)
    }

    #[test]
    fn an_answer_demands_all_before_it_and_a_purge_demands_nothing() {
        let mut ledger = Ledger::new(State::default());
        let first = ledger.queue(&Op::Vote(Vote::new(1, 1)));
        let second = ledger.queue(&Op::Vote(Vote::new(2, 1)));
        ledger.queue(&Op::Purge(id(4)));
        ledger.answer(first);
        assert!(ledger.compare(&State::default()).is_err());
        let mut shown = State { vote: Some(Vote::new(1, 1)), ..State::default() };
        ledger.compare(&shown).unwrap();
        ledger.answer(second);
        assert!(ledger.compare(&shown).is_err());
        shown.vote = Some(Vote::new(2, 1));
        ledger.compare(&shown).unwrap();
        shown.purged = Some(id(4));
        ledger.compare(&shown).unwrap();
        shown.purged = Some(id(3));
        assert!(ledger.compare(&shown).is_err());
    }

    #[test]
    fn a_committed_position_rides_on_a_later_change_only() {
        let mut ledger = Ledger::new(State::default());
        ledger.queue(&Op::Vote(Vote::new(1, 1)));
        ledger.note(Some(id(4)));
        let before = State { committed: Some(id(4)), ..State::default() };
        assert!(ledger.compare(&before).is_err(), "it was noted behind the first change");
        let with = State { vote: Some(Vote::new(1, 1)), ..before };
        ledger.compare(&with).unwrap();
        ledger.queue(&Op::Vote(Vote::new(2, 1)));
        let without = State { vote: Some(Vote::new(2, 1)), ..State::default() };
        assert!(ledger.compare(&without).is_err(), "the second change carries it");
    }
}
