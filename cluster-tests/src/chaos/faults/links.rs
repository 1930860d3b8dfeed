//! The wire between nodes: full and one-way cuts, a bridge, flapping, bad and narrow lines. Clients reach every node.
//!
//! A zombie that clients still reach is the harder case: it can acknowledge what the others will never have.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::bench::Bench;
use super::super::fault::{Fault, Promise};
use super::super::machine::Need;
use crate::wire::Rule;

const CUT_MS: u64 = 6_000;
/// Latencies of this time are compared with those of a fault.
const BASE: Duration = Duration::from_secs(4);
/// More terms than that within one cut are a storm.
const STORM: u64 = 3;
const WIRE: &[Need] = &[Need::Wire];

pub(super) const LIST: &[Fault] = &[
    Fault {
        id: "F09",
        words: "a leader is cut off from all nodes; clients reach it",
        needs: WIRE,
        nodes: 3,
        promise: Promise::Node,
        expected: "it acknowledges nothing; others lead within 4.5 s",
        play: isolated,
    },
    Fault {
        id: "F10",
        words: "one-way cuts: a node is not heard, then does not hear",
        needs: WIRE,
        nodes: 3,
        promise: Promise::Node,
        expected: "at most 3 elections a minute",
        play: one_way,
    },
    Fault {
        id: "F11",
        words: "a bridge: two halves, and one node that hears both",
        needs: WIRE,
        nodes: 3,
        promise: Promise::Node,
        expected: "a leader within 10 s",
        play: bridge,
    },
    Fault {
        id: "F12",
        words: "a majority of voters is cut off, each from all",
        needs: WIRE,
        nodes: 3,
        promise: Promise::Node,
        expected: "no change of metadata; acks=all goes on only where the whole ISR is reached",
        play: majority,
    },
    Fault {
        id: "F13",
        words: "the link of a leader and one other flaps, 1 s down, 1 s up",
        needs: WIRE,
        nodes: 3,
        promise: Promise::Node,
        expected: "offices do not follow the link",
        play: flapping,
    },
    Fault {
        id: "F14",
        words: "loss of 1, 5 and 20 %, 5 % twice, 5 % out of order, 100 ± 50 ms",
        needs: WIRE,
        nodes: 3,
        promise: Promise::Node,
        expected: "slower; nobody is fenced up to 5 %",
        play: bad_line,
    },
    Fault {
        id: "F15",
        words: "packets over 1,300 bytes vanish between nodes",
        needs: WIRE,
        nodes: 3,
        promise: Promise::Node,
        expected: "no stream stays stuck",
        play: hole,
    },
    Fault {
        id: "F16",
        words: "128 kbit/s to a follower, which is less than the load",
        needs: WIRE,
        nodes: 5,
        promise: Promise::Node,
        expected: "partitions without it are unhurt; it returns",
        play: narrow,
    },
];

fn isolated(bench: &mut Bench<'_>) -> Result<String> {
    let node = bench.roles()?.leader;
    bench.injected(Some(node), "cut off from all nodes");
    bench.lan()?.between(Rule::CUT, |a, _| a == node);
    bench.hold_some(CUT_MS, CUT_MS + 2_000);
    Ok(format!("node {}", bench.cluster.id(node)))
}

fn one_way(bench: &mut Bench<'_>) -> Result<String> {
    let mut told = Vec::new();
    for unheard in [true, false] {
        let roles = bench.roles()?;
        let (node, who) = match bench.rng.below(2) {
            0 => (roles.leader, "a leader"),
            _ => (roles.controller, "the controller's"),
        };
        let words = if unheard { "is not heard" } else { "does not hear" };
        let term = bench.cluster.term();
        bench.injected(Some(node), words);
        bench.lan()?.one_way(Rule::CUT, |from, to| if unheard { from == node } else { to == node });
        bench.hold(Duration::from_millis(CUT_MS));
        bench.lan()?.heal();
        bench.healed(Some(node));
        let terms = bench.cluster.term() - term;
        if terms > STORM {
            bench.complaints.push(format!("{terms} elections while node {} {words}", bench.cluster.id(node)));
        }
        told.push(format!("node {} ({who}) {words}: {terms} elections", bench.cluster.id(node)));
    }
    Ok(told.join("; "))
}

fn bridge(bench: &mut Bench<'_>) -> Result<String> {
    let roles = bench.roles()?;
    // Leader and controller fall into different halves; the bridge is neither.
    let mut others: Vec<usize> =
        (0..bench.count()).filter(|node| *node != roles.leader && *node != roles.controller).collect();
    let bridge = others.remove(0);
    let mut left = vec![roles.leader];
    left.extend(others.iter().copied().take(others.len() / 2));
    bench.injected(Some(bridge), "it alone hears both halves");
    let half = |node: usize| left.contains(&node);
    bench.lan()?.between(Rule::CUT, |a, b| a != bridge && b != bridge && half(a) != half(b));
    bench.hold_some(CUT_MS, CUT_MS + 2_000);
    Ok(format!("node {} is the bridge", bench.cluster.id(bridge)))
}

fn majority(bench: &mut Bench<'_>) -> Result<String> {
    let roles = bench.roles()?;
    let most = bench.count() / 2 + 1;
    let mut nodes: Vec<usize> = (0..bench.count()).collect();
    // The controller's node is among them, or the rest would hardly notice.
    nodes.sort_by_key(|node| *node != roles.controller);
    nodes.truncate(most);
    bench.injected(None, format!("{most} nodes are cut off, each from all"));
    bench.lan()?.between(Rule::CUT, |a, _| nodes.contains(&a));
    bench.hold_some(CUT_MS, CUT_MS + 2_000);
    let ids: Vec<String> = nodes.iter().map(|node| bench.cluster.id(*node).to_string()).collect();
    Ok(format!("nodes {}", ids.join(", ")))
}

fn flapping(bench: &mut Bench<'_>) -> Result<String> {
    let node = bench.roles()?.leader;
    let other = (node + 1 + bench.rng.below(bench.count() as u64 - 1) as usize) % bench.count();
    let link = |a: usize, b: usize| a == node && b == other;
    bench.injected(Some(node), "one link flaps");
    for _ in 0..5 {
        bench.lan()?.between(Rule::CUT, link);
        bench.hold(Duration::from_secs(1));
        bench.lan()?.between(Rule::default(), link);
        bench.hold(Duration::from_secs(1));
    }
    bench.healed(Some(node));
    Ok(format!("nodes {} and {}", bench.cluster.id(node), bench.cluster.id(other)))
}

fn bad_line(bench: &mut Bench<'_>) -> Result<String> {
    let mut told = Vec::new();
    let work = |bench: &Bench<'_>| bench.work().map(|work| work.acked());
    for loss in [10, 50, 200] {
        let rule = Rule {
            loss,
            twice: 50,
            reorder: 50,
            delay: Duration::from_millis(100),
            jitter: Duration::from_millis(50),
            ..Rule::default()
        };
        let (term, acked) = (bench.cluster.term(), work(bench)?);
        bench.injected(None, format!("{} % loss between all nodes", loss / 10));
        bench.lan()?.between(rule, |_, _| true);
        bench.hold(Duration::from_secs(5));
        let (terms, acked) = (bench.cluster.term() - term, work(bench)? - acked);
        told.push(format!("{} %: {acked} acknowledged, {terms} elections", loss / 10));
    }
    Ok(told.join("; "))
}

fn hole(bench: &mut Bench<'_>) -> Result<String> {
    bench.roles()?;
    bench.injected(None, "packets over 1,300 bytes vanish");
    bench.lan()?.between(Rule { mtu: Some(1_300), ..Rule::default() }, |_, _| true);
    let acked = bench.work()?.acked();
    bench.hold(Duration::from_secs(10));
    let acked = bench.work()?.acked() - acked;
    Ok(format!("all links; {acked} acknowledged meanwhile"))
}

fn narrow(bench: &mut Bench<'_>) -> Result<String> {
    let node = bench.bystander()?;
    let begun = Instant::now();
    bench.hold(BASE);
    bench.injected(Some(node), "128 kbit/s to it");
    bench.lan()?.one_way(Rule { bandwidth: Some(128_000), ..Rule::default() }, |_, to| to == node);
    let acked = bench.work()?.acked();
    bench.hold(Duration::from_secs(12));
    let acked = bench.work()?.acked() - acked;
    let ((_, isrs), p99) = (bench.standing(node)?, bench.latencies(node, begun)?);
    let id = bench.cluster.id(node);
    Ok(format!("node {id}, at last in {isrs} ISRs; {p99}; {acked} acknowledged meanwhile"))
}
