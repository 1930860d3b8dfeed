//! Processes that stand still: a leader that sleeps and wakes, and one that wakes into a partition.
//!
//! A sleeper's kernel goes on accepting connections and datagrams, so peers hear of its sleep by silence alone.

use std::time::Duration;

use anyhow::Result;

use super::super::bench::Bench;
use super::super::fault::{Fault, Promise};
use super::super::machine::Need;
use crate::wire::Rule;

pub(super) const LIST: &[Fault] = &[
    Fault {
        id: "F07",
        words: "a leader stands still for 1, 5 and 30 s (SIGSTOP)",
        needs: &[],
        nodes: 3,
        promise: Promise::Node,
        expected: "1 s: nothing; more: it is fenced, and acknowledges nothing of its old epoch on waking",
        play: sleeps,
    },
    Fault {
        id: "F08",
        words: "a leader stands still, is cut off meanwhile, wakes alone, and returns",
        needs: &[Need::Wire],
        nodes: 3,
        promise: Promise::Node,
        expected: "no two leaders in one epoch",
        play: wakes_alone,
    },
];

fn sleeps(bench: &mut Bench<'_>) -> Result<String> {
    let mut told = Vec::new();
    for seconds in [1, 5, 30] {
        let node = bench.roles()?.leader;
        let term = bench.cluster.term();
        bench.injected(Some(node), format!("SIGSTOP for {seconds} s"));
        bench.pause(node)?;
        bench.hold(Duration::from_secs(seconds));
        bench.resume(node);
        bench.healed(Some(node));
        let terms = bench.cluster.term() - term;
        told.push(format!("{seconds} s: node {}, {terms} elections", bench.cluster.id(node)));
    }
    Ok(told.join("; "))
}

fn wakes_alone(bench: &mut Bench<'_>) -> Result<String> {
    let node = bench.roles()?.leader;
    bench.injected(Some(node), "SIGSTOP");
    bench.pause(node)?;
    bench.hold_some(1_000, 5_000);
    bench.injected(Some(node), "SIGSTOP, cut off from all nodes");
    bench.lan()?.between(Rule::CUT, |a, _| a == node);
    bench.hold_some(500, 3_000);
    bench.resume(node);
    bench.injected(Some(node), "SIGCONT, and still cut off");
    bench.hold_some(2_000, 5_000);
    bench.lan()?.heal();
    bench.healed(Some(node));
    Ok(format!("node {}", bench.cluster.id(node)))
}
