//! Disks that fail while a node uses them: an error of a sync, no room, a hang, slowness.
//!
//! Errors and slowness come from `faults.c` below the node's process; a full and a hung disk are real ones on loop devices.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::bench::Bench;
use super::super::fault::{Fault, Promise};
use super::super::machine::Need;

/// Latencies of this time are compared with those of a slow disk.
const BASE: Duration = Duration::from_secs(4);

pub(super) const LIST: &[Fault] = &[
    Fault {
        id: "F25",
        words: "EIO on every sync of a leader's disk",
        needs: &[Need::Faults],
        nodes: 3,
        promise: Promise::Node,
        expected: "leadership moves; the node ends with 70 or serves on without its shard",
        play: error,
    },
    Fault {
        id: "F26",
        words: "a leader's disk is full for 15 s",
        needs: &[Need::Disks],
        nodes: 3,
        promise: Promise::Node,
        expected: "errors that a retry mends; leadership moves; no manual step",
        play: full,
    },
    Fault {
        id: "F27",
        words: "a leader's disk hangs for 5 s, then for 60 s (fsfreeze)",
        needs: &[Need::Freeze],
        nodes: 3,
        promise: Promise::Node,
        expected: "leadership leaves within 2 s; the node is fenced though nobody can kill it",
        play: hung,
    },
    Fault {
        id: "F28",
        words: "a follower's disk is slow: 300 ms a sync, 20 ms a write",
        needs: &[Need::Faults],
        nodes: 5,
        promise: Promise::Node,
        expected: "partitions without it are at most twice as slow",
        play: slow,
    },
];

fn error(bench: &mut Bench<'_>) -> Result<String> {
    let node = bench.roles()?.leader;
    bench.sicken(node)?;
    // It was started again, so its offices have moved.
    let led = bench.make_leader(node)?;
    let id = bench.cluster.id(node);
    bench.injected(Some(node), "EIO on every sync");
    bench.fails("sync error 5\n")?;
    bench.hold(Duration::from_secs(6));
    bench.leads_nothing(node, "its syncs failed for 6 s")?;
    let broker = bench.cluster.nodes.nodes.get_mut(node).context("no such node")?;
    let ended = !broker.running();
    if !ended {
        bench.fails("")?;
        bench.cluster.kill(node)?;
    }
    bench.healed(Some(node));
    let end = if ended { "it ended by itself" } else { "it ran on for 6 s and was killed" };
    Ok(format!("node {id}, which led {led}; {end}"))
}

fn full(bench: &mut Bench<'_>) -> Result<String> {
    let node = bench.roles()?.leader;
    let id = bench.cluster.id(node);
    bench.injected(Some(node), "another program takes all room");
    bench.disks.get(node).context("the node has no disk")?.fill()?;
    bench.hold(Duration::from_secs(15));
    bench.leads_nothing(node, "its disk was full for 15 s")?;
    bench.disks.get(node).context("the node has no disk")?.unfill()?;
    bench.healed(Some(node));
    if bench.cluster.nodes.nodes.get_mut(node).is_none_or(|node| !node.running()) {
        bench.complaints.push(format!("node {id} ended by itself, so somebody must start it"));
    }
    Ok(format!("node {id}"))
}

fn hung(bench: &mut Bench<'_>) -> Result<String> {
    let mut told = Vec::new();
    for seconds in [5, 60] {
        let node = bench.roles()?.leader;
        let id = bench.cluster.id(node);
        bench.injected(Some(node), format!("its disk hangs for {seconds} s"));
        let acked = bench.work()?.acked();
        bench.freeze(node)?;
        bench.hold(Duration::from_secs(seconds));
        let acked = bench.work()?.acked() - acked;
        bench.leads_nothing(node, &format!("its disk hung for {seconds} s"))?;
        bench.thaw();
        bench.healed(Some(node));
        told.push(format!("{seconds} s: node {id}, {acked} acknowledged meanwhile"));
        bench.cluster.revive()?;
    }
    Ok(told.join("; "))
}

fn slow(bench: &mut Bench<'_>) -> Result<String> {
    let node = bench.bystander()?;
    bench.sicken(node)?;
    let begun = Instant::now();
    bench.hold(BASE);
    let acked = bench.work()?.acked();
    bench.injected(Some(node), "its disk is slow");
    bench.fails("sync delay 300\nwrite delay 20\n")?;
    bench.hold(Duration::from_secs(12));
    let acked = bench.work()?.acked() - acked;
    let ((_, isrs), p99) = (bench.standing(node)?, bench.latencies(node, begun)?);
    bench.fails("")?;
    bench.healed(Some(node));
    let id = bench.cluster.id(node);
    Ok(format!("node {id}, at last in {isrs} ISRs; {p99}; {acked} acknowledged meanwhile"))
}
