//! Processes that die: one node by its role, all at once, one again and again, and all in turn with a clean end.
//!
//! `kill -9` leaves the page cache, so these say nothing about power cuts. The suite starts what a play leaves dead.

use std::time::Duration;

use anyhow::Result;

use super::super::bench::Bench;
use super::super::fault::{Fault, Promise};

/// Kills of the crash loop.
const LOOPS: usize = 15;

pub(super) const LIST: &[Fault] = &[
    Fault {
        id: "F01",
        words: "kill -9 of a partition leader",
        needs: &[],
        nodes: 3,
        promise: Promise::Node,
        expected: "a new leader within 1.5 s",
        play: leader,
    },
    Fault {
        id: "F02",
        words: "kill -9 of the controller's node",
        needs: &[],
        nodes: 3,
        promise: Promise::Node,
        expected: "a new controller; partitions led elsewhere go on",
        play: controller,
    },
    Fault {
        id: "F03",
        words: "kill -9 of a node that leads partitions and is the controller's",
        needs: &[],
        nodes: 3,
        promise: Promise::Node,
        expected: "both offices move within 4 s",
        play: both,
    },
    Fault {
        id: "F04",
        words: "kill -9 of all nodes at once",
        needs: &[],
        nodes: 3,
        promise: Promise::Node,
        expected: "all serve within 15 s of the last start",
        play: everyone,
    },
    Fault {
        id: "F05",
        words: "one node dies every second",
        needs: &[],
        nodes: 3,
        promise: Promise::Node,
        expected: "the others keep their offices",
        play: crash_loop,
    },
    Fault {
        id: "F06",
        words: "each node in turn ends cleanly and starts again",
        needs: &[],
        nodes: 3,
        promise: Promise::Node,
        expected: "no error that a retry does not mend",
        play: rolling,
    },
];

fn kill(bench: &mut Bench<'_>, node: usize, words: &str) -> Result<String> {
    bench.hold_some(0, 300);
    bench.injected(Some(node), format!("kill -9, {words}"));
    bench.cluster.kill(node)?;
    let (low, high) = bench.options.down_ms;
    bench.hold_some(low, high);
    Ok(format!("node {}, {words}", bench.cluster.id(node)))
}

fn leader(bench: &mut Bench<'_>) -> Result<String> {
    let roles = bench.roles()?;
    kill(bench, roles.leader, "a leader")
}

fn controller(bench: &mut Bench<'_>) -> Result<String> {
    let roles = bench.roles()?;
    kill(bench, roles.controller, "the controller's")
}

fn both(bench: &mut Bench<'_>) -> Result<String> {
    let roles = bench.roles()?;
    let id = bench.cluster.id(roles.controller);
    let led = roles.view.places.values().filter(|place| place.leader == id).count();
    kill(bench, roles.controller, &format!("the controller's, leads {led}"))
}

fn everyone(bench: &mut Bench<'_>) -> Result<String> {
    bench.roles()?;
    bench.hold_some(0, 300);
    bench.injected(None, "kill -9 of all nodes");
    (0..bench.count()).try_for_each(|node| bench.cluster.kill(node))?;
    Ok(format!("{} nodes", bench.count()))
}

fn crash_loop(bench: &mut Bench<'_>) -> Result<String> {
    let node = bench.roles()?.leader;
    bench.injected(Some(node), "the node dies every second");
    for _ in 0..LOOPS {
        bench.cluster.kill(node)?;
        bench.cluster.launch(node)?;
        bench.hold(Duration::from_secs(1));
    }
    bench.healed(Some(node));
    Ok(format!("node {}, {LOOPS} times", bench.cluster.id(node)))
}

fn rolling(bench: &mut Bench<'_>) -> Result<String> {
    for node in 0..bench.count() {
        bench.roles()?;
        bench.injected(Some(node), "SIGTERM");
        if let Some(broker) = bench.cluster.nodes.nodes.get_mut(node) {
            broker.stop()?;
        }
        bench.cluster.launch(node)?;
        bench.cluster.wait_ready(node)?;
        bench.healed(Some(node));
    }
    Ok(format!("{} nodes", bench.count()))
}
