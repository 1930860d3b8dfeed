//! When a supervisor starts a failed actor again, and when it gives up.
//!
//! A failure that comes once is worth a quick restart; one that keeps coming is not. So [`Restarts`] remembers the
//! failures of the last while, makes each wait longer than the one before, and gives up when there are too many.
//!
//! ```text
//!   failed(now) ──> failures within the window ──> at most max? ──> Again { after_ms: first_wait + longer × failures before }
//!                                                       └─ more ──> GiveUp
//! ```
//!
//! The policy starts nothing and reads no clock: the supervisor waits, restarts, or leaves its actor down.

use crate::time::Millis;
use std::collections::VecDeque;

/// Failures remembered where none is too many: more of them would lengthen no wait that anybody needs.
const KEPT_MAX: usize = 64;

/// How patient a supervisor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A failure is forgotten after this long.
    pub window_ms: u64,
    /// One more failure than this within the window is the last; none: the supervisor never gives up.
    pub max: Option<usize>,
    /// The wait before the first restart.
    pub first_wait_ms: u64,
    /// Each failure that is remembered adds this to the wait.
    pub longer_ms: u64,
}

impl Policy {
    /// A replica's actor: at once the first time, then 200 ms later each time; the sixth failure in a minute ends it.
    pub const REPLICA: Policy = Policy { window_ms: 60_000, max: Some(5), first_wait_ms: 0, longer_ms: 200 };
    /// A coordinator: a second later, for as long as this node leads its partition.
    pub const COORDINATOR: Policy =
        Policy { window_ms: 60_000, max: None, first_wait_ms: 1_000, longer_ms: 0 };
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The actor is started again.
    Again {
        /// Not before this time has passed.
        after_ms: u64,
    },
    /// The actor keeps failing and stays down.
    GiveUp,
}

/// The failures of one supervised actor.
#[derive(Clone, Debug)]
pub struct Restarts {
    policy: Policy,
    failures: VecDeque<Millis>,
}

impl Restarts {
    /// An actor that has not failed yet.
    #[must_use]
    pub fn new(policy: Policy) -> Restarts {
        Restarts { policy, failures: VecDeque::new() }
    }

    /// Counts a failure and says what follows it.
    pub fn failed(&mut self, now: Millis) -> Verdict {
        let Policy { window_ms, max, first_wait_ms, longer_ms } = self.policy;
        self.failures.retain(|at| now.0.saturating_sub(at.0) < window_ms);
        let before = self.failures.len();
        if before > max.unwrap_or(KEPT_MAX) {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        match max {
            Some(max) if before >= max => Verdict::GiveUp,
            _ => Verdict::Again { after_ms: first_wait_ms + longer_ms * before as u64 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What follows failures at these times.
    fn verdicts(policy: Policy, at: &[u64]) -> Vec<Option<u64>> {
        let mut restarts = Restarts::new(policy);
        let verdicts = at.iter().map(|at| match restarts.failed(Millis(*at)) {
            Verdict::Again { after_ms } => Some(after_ms),
            Verdict::GiveUp => None,
        });
        verdicts.collect()
    }

    #[test]
    fn each_failure_within_the_window_lengthens_the_wait_until_one_is_too_many() {
        let policy = Policy { window_ms: 1_000, max: Some(2), first_wait_ms: 7, longer_ms: 10 };
        type Row<'a> = (&'a str, &'a [u64], &'a [Option<u64>]);
        let rows: [Row; 6] = [
            ("the first", &[5], &[Some(7)]),
            ("the second waits longer", &[0, 1], &[Some(7), Some(17)]),
            ("the third is too many", &[0, 1, 2], &[Some(7), Some(17), None]),
            ("what is a window old is forgotten", &[0, 1_000], &[Some(7), Some(7)]),
            ("what is almost a window old is not", &[0, 999], &[Some(7), Some(17)]),
            (
                "the window slides, after a verdict to give up too",
                &[0, 600, 700, 1_600, 1_700],
                &[Some(7), Some(17), None, Some(17), Some(17)],
            ),
        ];
        for (row, at, expected) in rows {
            assert_eq!(verdicts(policy, at), expected, "{row}");
        }
    }

    #[test]
    fn a_replica_is_given_up_at_the_sixth_failure_in_a_minute() {
        let expected = [Some(0), Some(200), Some(400), Some(600), Some(800), None];
        assert_eq!(verdicts(Policy::REPLICA, &[0, 1, 2, 3, 4, 59_999]), expected);
        assert_eq!(verdicts(Policy::REPLICA, &[0, 1, 2, 3, 4, 60_000]).pop(), Some(Some(800)));
    }

    #[test]
    fn a_coordinator_is_never_given_up_and_its_failures_take_no_memory_without_end() {
        let mut restarts = Restarts::new(Policy::COORDINATOR);
        for at in 0..1_000 {
            assert_eq!(restarts.failed(Millis(at)), Verdict::Again { after_ms: 1_000 });
        }
        assert!(restarts.failures.len() <= KEPT_MAX + 2, "{}", restarts.failures.len());
        let mut restarts = Restarts::new(Policy::REPLICA);
        for at in 0..1_000 {
            let _ = restarts.failed(Millis(at));
        }
        assert!(restarts.failures.len() <= 7, "{}", restarts.failures.len());
    }
}
