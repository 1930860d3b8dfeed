//! Disks that fail while a node uses them: an error of a sync, no room, a hang, slowness.
//!
//! Errors and slowness come from `faults.c` below the node's process; a full and a hung disk are real ones on loop devices.

use std::time::Duration;

use anyhow::{Context, Result};

use super::super::bench::Bench;
use super::super::fault::Fault;
use super::super::machine::Need;

pub(super) const LIST: &[Fault] = &[
    Fault {
        id: "F25",
        words: "EIO on every sync of a leader's disk",
        needs: &[Need::Faults],
        nodes: 3,
        expected: "leadership moves; the node ends with 70 or serves on without its shard",
        play: error,
    },
    Fault {
        id: "F26",
        words: "a leader's disk is full for 15 s",
        needs: &[Need::Disks],
        nodes: 3,
        expected: "errors that a retry mends; leadership moves; no manual step",
        play: full,
    },
    Fault {
        id: "F27",
        words: "a leader's disk hangs for 5 s, then for 60 s (fsfreeze)",
        needs: &[Need::Freeze],
        nodes: 3,
        expected: "leadership leaves within 2 s; the node is fenced though nobody can kill it",
        play: hung,
    },
    Fault {
        id: "F28",
        words: "a follower's disk is slow: 300 ms a sync, 20 ms a write",
        needs: &[Need::Faults],
        nodes: 3,
        expected: "it leaves the ISR; the others are at most twice as slow",
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
    bench.healed(Some(node), "its disk works again");
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
    bench.healed(Some(node), "there is room again");
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
        bench.healed(Some(node), "its disk goes on");
        told.push(format!("{seconds} s: node {id}, {acked} acknowledged meanwhile"));
        bench.cluster.revive()?;
    }
    Ok(told.join("; "))
}

fn slow(bench: &mut Bench<'_>) -> Result<String> {
    let roles = bench.roles()?;
    let follower = (0..bench.count()).find(|node| *node != roles.leader && *node != roles.controller);
    let node = follower.unwrap_or(roles.controller);
    bench.sicken(node)?;
    let acked = bench.work()?.acked();
    bench.injected(Some(node), "its disk is slow");
    bench.fails("sync delay 300\nwrite delay 20\n")?;
    bench.hold(Duration::from_secs(12));
    let acked = bench.work()?.acked() - acked;
    let (_, isrs) = bench.standing(node)?;
    bench.fails("")?;
    bench.healed(Some(node), "its disk is fast again");
    Ok(format!("node {}, at last in {isrs} ISRs; {acked} acknowledged meanwhile", bench.cluster.id(node)))
}
