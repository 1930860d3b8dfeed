//! When a coordinator serves: only while its node leads the partition, in one leader epoch, after it loaded the log.
//!
//! Two coordinators of one entity would each answer from a state that the other one changes. So a coordinator belongs to
//! one [`Tenure`], a partition's leadership in one epoch, and never outlives it. A new one knows nothing until it has read
//! everything that an earlier one may have acknowledged.
//!
//! ```text
//!                 mark = log end, told by the replica     HW ≥ mark, read up to mark
//!   Loading ───────────────────────────────────────────────────────────────────────> Serving
//!      │ not led                                  a refusal that says the lead is lost │   │ the node ends
//!      └──────────────────────────────> Ended <────────────────────────────────────────┘   └────────────> Draining
//! ```
//!
//! The mark (R34): the high watermark of the moment may lie below what an earlier coordinator appended and the cluster
//! committed since. A load that stops there loses acknowledged commits. Reading the log is not done here.

use crate::ids::{LeaderEpoch, Offset};
use crate::partition::Role;
use crate::{ErrorCode, Reject};

/// One leadership of a partition on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    pub leader_epoch: LeaderEpoch,
    /// Tells two lives of a leader apart that lead in the same epoch.
    pub life: u64,
}

impl Tenure {
    /// The leadership that a partition's role gives this node, if it gives one.
    #[must_use]
    pub fn of(role: &Role, leader_epoch: LeaderEpoch, life: u64) -> Option<Tenure> {
        match role {
            Role::Leader => Some(Tenure { leader_epoch, life }),
            Role::Follower { .. } | Role::Idle | Role::Offline(_) | Role::Deleted => None,
        }
    }
}

/// Whether requests may go to a partition's coordinator, and else Kafka's code for them. `serves` is of the coordinator,
/// none where there is none. Clients wait for a log that is being read, or will be as soon as the partition is led again.
pub fn may_ask(serves: Option<bool>, role: &Role) -> Result<(), ErrorCode> {
    match (serves, role) {
        (Some(true), _) => Ok(()),
        (Some(false), Role::Leader | Role::Idle) | (None, Role::Idle) => {
            Err(ErrorCode::CoordinatorLoadInProgress)
        }
        (None, Role::Leader) | (_, Role::Follower { .. } | Role::Offline(_) | Role::Deleted) => {
            Err(ErrorCode::NotCoordinator)
        }
    }
}

/// Whether a refusal says that this node does not lead the partition any more, or cannot store for it. A full disk does
/// not: it takes records again by itself.
pub(super) fn lost(refused: &Reject) -> bool {
    matches!(refused, Reject::NotLeader | Reject::Unavailable | Reject::Storage(_))
}

/// How far a coordinator is in its tenure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Loading,
    Serving,
    /// The node ends: no request is taken, and what entities still store is appended.
    Draining,
    /// Another leader has the log.
    Ended,
}

/// A coordinator's way through its tenure.
#[derive(Debug)]
pub(super) struct Term {
    state: State,
    mark: Option<Offset>,
    reading: bool,
}

impl Term {
    /// A tenure that begins.
    pub fn new() -> Term {
        Term { state: State::Loading, mark: None, reading: false }
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// The replica told its log end. The first answer counts: what is appended later is this coordinator's own.
    pub fn marked(&mut self, end: Offset, high_watermark: Offset) -> Option<Offset> {
        self.mark.get_or_insert(end);
        self.advanced(high_watermark)
    }

    /// Where a read of the log ends that may begin now: at the mark, as soon as the high watermark has reached it.
    pub fn advanced(&mut self, high_watermark: Offset) -> Option<Offset> {
        let mark = self.mark.filter(|mark| high_watermark >= *mark)?;
        let begins = self.state == State::Loading && !std::mem::replace(&mut self.reading, true);
        begins.then_some(mark)
    }

    /// The log was loaded up to the mark; whether that opens the coordinator.
    pub fn loaded(&mut self) -> bool {
        let opens = self.state == State::Loading;
        if opens {
            self.state = State::Serving;
        }
        opens
    }

    /// The lead is lost; whether that is news.
    pub fn end(&mut self) -> bool {
        std::mem::replace(&mut self.state, State::Ended) != State::Ended
    }

    /// The node ends; whether that changes anything.
    pub fn close(&mut self) -> bool {
        let open = matches!(self.state, State::Loading | State::Serving);
        if open {
            self.state = State::Draining;
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offline() -> Role {
        Role::Offline("the disk is broken".into())
    }

    #[test]
    fn only_a_leader_has_a_tenure_and_another_epoch_or_life_is_another_one() {
        let held = Tenure::of(&Role::Leader, 3, 1);
        let rows = [
            (Role::Leader, 3, 1, true),
            (Role::Leader, 4, 1, false),
            (Role::Leader, 3, 2, false),
            (Role::Idle, 3, 1, false),
            (offline(), 3, 1, false),
            (Role::Deleted, 3, 1, false),
        ];
        for (role, epoch, life, same) in rows {
            assert_eq!(Tenure::of(&role, epoch, life) == held, same, "{role:?} {epoch} {life}");
        }
    }

    #[test]
    fn clients_wait_only_for_a_log_that_will_be_read() {
        let (load, other) = (Some(ErrorCode::CoordinatorLoadInProgress), Some(ErrorCode::NotCoordinator));
        let rows = [
            (Some(true), Role::Leader, None),
            (Some(true), Role::Idle, None),
            (Some(true), Role::Deleted, None),
            (Some(false), Role::Leader, load),
            (Some(false), Role::Idle, load),
            (Some(false), offline(), other),
            (Some(false), Role::Deleted, other),
            (None, Role::Leader, other),
            (None, Role::Idle, load),
            (None, offline(), other),
            (None, Role::Deleted, other),
        ];
        for (serves, role, expected) in rows {
            assert_eq!(may_ask(serves, &role).err(), expected, "{serves:?} {role:?}");
        }
    }

    #[test]
    fn the_log_is_read_once_up_to_the_mark_and_not_before_the_high_watermark_is_there() {
        let mut term = Term::new();
        assert_eq!(term.advanced(100), None, "no mark yet");
        assert_eq!(term.marked(10, 4), None, "what lies between was perhaps acknowledged");
        assert_eq!(term.advanced(9), None);
        assert_eq!(term.advanced(25), Some(10), "up to the mark, not further");
        assert_eq!(term.advanced(26), None, "once");
        assert_eq!(term.marked(30, 30), None, "the first mark counts");
        assert_eq!(term.state(), State::Loading);
        assert!(term.loaded() && term.state() == State::Serving);
        assert_eq!(Term::new().marked(0, 0), Some(0), "an empty log is loaded too");
    }

    #[test]
    fn each_state_knows_what_ends_it() {
        // Before, then: loaded, end, close, each with its verdict and the state after it.
        let term = |state| Term { state, mark: None, reading: false };
        let rows = [
            (State::Loading, (true, State::Serving), (true, State::Ended), (true, State::Draining)),
            (State::Serving, (false, State::Serving), (true, State::Ended), (true, State::Draining)),
            (State::Draining, (false, State::Draining), (true, State::Ended), (false, State::Draining)),
            (State::Ended, (false, State::Ended), (false, State::Ended), (false, State::Ended)),
        ];
        for (before, loaded, end, close) in rows {
            for (step, expected) in
                [(Term::loaded as fn(&mut Term) -> bool, loaded), (Term::end, end), (Term::close, close)]
            {
                let mut term = term(before);
                assert_eq!((step(&mut term), term.state), expected, "{before:?}");
            }
        }
        let mut ended = term(State::Ended);
        assert_eq!(ended.marked(5, 5), None, "nothing is read any more");
    }
}
