//! Which coordinators run on this node.
//!
//! The node leads some partitions of an internal topic, and each leadership needs one coordinator. [`Roster`] compares
//! the leaderships with the coordinators that run, whenever anything about them may have changed.
//!
//! ```text
//!   led now, and who runs ──> look ──> LetGo: the tenure ended, or is another one
//!                                      Start: a tenure without a coordinator
//!   a coordinator failed  ──> failed ──> forgotten; a look some time later starts another one
//! ```
//!
//! The roster starts nothing. It does not say what is answered meanwhile; `epoch::may_ask` does.

use super::epoch::Tenure;
use crate::restarts::{Policy, Restarts, Verdict};
use crate::time::Millis;
use std::collections::BTreeMap;

/// What is to be done with a partition's coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Its tenure is over. What it was told before is still done.
    LetGo(i32),
    /// Start one for the tenure that the partition has now.
    Start(i32),
}

/// The coordinators that run, by partition.
#[derive(Debug, Default)]
pub struct Roster {
    running: BTreeMap<i32, Tenure>,
    restarts: BTreeMap<i32, Restarts>,
}

impl Roster {
    /// What has to change, given the partitions that this node leads now. Every `LetGo` comes before every `Start`.
    #[must_use]
    pub fn look(&mut self, led: &BTreeMap<i32, Tenure>) -> Vec<Move> {
        let mut moves = Vec::new();
        self.running.retain(|partition, tenure| {
            let same = led.get(partition) == Some(tenure);
            if !same {
                moves.push(Move::LetGo(*partition));
            }
            same
        });
        self.restarts.retain(|partition, _| led.contains_key(partition));
        for (partition, tenure) in led {
            if !self.running.contains_key(partition) {
                self.running.insert(*partition, *tenure);
                moves.push(Move::Start(*partition));
            }
        }
        moves
    }

    /// A coordinator that runs has failed: the next look starts another one, and this says when to look.
    #[must_use]
    pub fn failed(&mut self, partition: i32, now: Millis) -> Verdict {
        self.running.remove(&partition);
        let restarts = self.restarts.entry(partition);
        restarts.or_insert_with(|| Restarts::new(Policy::COORDINATOR)).failed(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Tenure = Tenure { leader_epoch: 3, life: 7 };

    fn led(tenures: &[(i32, Tenure)]) -> BTreeMap<i32, Tenure> {
        tenures.iter().copied().collect()
    }

    #[test]
    fn each_tenure_has_its_own_coordinator() {
        let (epoch, life) = (Tenure { leader_epoch: 4, ..A }, Tenure { life: 8, ..A });
        let (start, let_go) = (Move::Start, Move::LetGo);
        type Row<'a> = (&'a str, &'a [(i32, Tenure)], &'a [(i32, Tenure)], &'a [Move]);
        let rows: [Row; 8] = [
            ("nothing is led", &[], &[], &[]),
            ("two are led", &[], &[(0, A), (2, A)], &[start(0), start(2)]),
            ("nothing changed", &[(0, A)], &[(0, A)], &[]),
            ("another epoch", &[(0, A)], &[(0, epoch)], &[let_go(0), start(0)]),
            ("another life in the same epoch", &[(0, A)], &[(0, life)], &[let_go(0), start(0)]),
            ("the role went", &[(0, A), (1, A)], &[(1, A)], &[let_go(0)]),
            ("the topic was deleted", &[(0, A), (1, A)], &[], &[let_go(0), let_go(1)]),
            ("one grew", &[(0, A), (1, A)], &[(0, epoch), (1, A), (2, A)], &[let_go(0), start(0), start(2)]),
        ];
        for (row, before, now, expected) in rows {
            let mut roster = Roster::default();
            let _ = roster.look(&led(before));
            assert_eq!(roster.look(&led(now)), expected, "{row}");
            assert_eq!(roster.look(&led(now)), [], "{row}: once");
        }
    }

    #[test]
    fn one_that_failed_is_started_again_in_the_same_tenure_however_often() {
        let mut roster = Roster::default();
        let _ = roster.look(&led(&[(0, A), (1, A)]));
        for n in 0..100 {
            assert_eq!(roster.failed(1, Millis(n)), Verdict::Again { after_ms: 1_000 });
            assert_eq!(roster.look(&led(&[(0, A), (1, A)])), [Move::Start(1)]);
        }
        let _ = roster.failed(1, Millis(0));
        assert_eq!(roster.look(&led(&[(0, A)])), [], "not led any more: nothing to let go");
        assert!(roster.restarts.is_empty());
    }
}
