//! Random good histories never alarm; the same with one acknowledged value taken out, or two records changed, always do.

use super::super::op::{History, Kind, Outcome};
use super::super::{Anomaly, Limits, check};
use super::world;
use crate::process::load::Rng;

const SEEDS: u64 = 80;
const STEPS: u64 = 700;

#[test]
fn good_histories_never_alarm() {
    let mut sums = [0; 5];
    for seed in 0..SEEDS {
        let history = world::history(seed, STEPS);
        let verdict = check(&history, &Limits::default());
        assert!(verdict.good(), "seed {seed}: {verdict}");
        let n = verdict.figures;
        let more = [n.sent_ok, n.sent_fail, n.sent_info, n.transactions, n.rebalances];
        sums.iter_mut().zip(more).for_each(|(sum, n)| *sum += n);
    }
    // A generator that makes nothing would never alarm either.
    assert!(sums.iter().all(|sum| *sum > SEEDS), "{sums:?}");
}

/// Places of records of the final read.
fn finals(history: &History) -> Vec<usize> {
    let polls = history.ops.iter().filter(|op| op.process == 99);
    polls
        .filter_map(|op| match op.kind {
            Kind::Poll { records, .. } => Some(records.first..records.first + records.count as usize),
            _ => None,
        })
        .flatten()
        .collect()
}

#[test]
fn one_value_less_in_the_final_read_is_always_found() {
    for seed in 0..SEEDS {
        let mut history = world::history(seed, STEPS);
        let mut rng = Rng::new(seed);
        let acked = |value: u64, history: &History| {
            history.ops.iter().any(|op| {
                let sent = matches!(op.kind, Kind::Send { value: sent, .. } if sent == value);
                sent && op.outcome == Outcome::Ok && op.txn == 0
            })
        };
        let all = finals(&history);
        let mut victim = all[rng.below(all.len() as u64) as usize];
        while !acked(history.records[victim].1, &history) {
            victim = all[rng.below(all.len() as u64) as usize];
        }
        // The record before it, or behind it, stands in its place, as if the log had skipped it.
        let gone = history.records[victim];
        let op = history.ops.iter_mut().find(|op| match op.kind {
            Kind::Poll { records, .. } => {
                (records.first..records.first + records.count as usize).contains(&victim)
            }
            _ => false,
        });
        if let Some(Kind::Poll { records, .. }) = op.map(|op| &mut op.kind) {
            let last = records.first + records.count as usize - 1;
            history.records[victim..=last].rotate_left(1);
            records.count -= 1;
        }
        let verdict = check(&history, &Limits::default());
        assert_eq!(verdict.count(Anomaly::LostWrite), 1, "seed {seed}, without {gone:?}: {verdict}");
    }
}

#[test]
fn two_records_that_change_places_are_always_found() {
    for seed in 0..SEEDS {
        let mut history = world::history(seed, STEPS);
        let mut rng = Rng::new(seed);
        let all = finals(&history);
        let first = all[rng.below(all.len() as u64 - 1) as usize];
        let second = first + 1;
        let (a, b) = (history.records[first].1, history.records[second].1);
        (history.records[first].1, history.records[second].1) = (b, a);
        assert!(!check(&history, &Limits::default()).good(), "seed {seed}");
    }
}
