//! Power cuts: one node, all nodes, and the last one that has everything.
//!
//! A cut loses what no disk has (`disk.rs`), so an acknowledgement by `fsync` must outlive it and one by `os` may not outlive
//! a cut of all. The suite mounts the disks and starts the nodes again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::super::bench::Bench;
use super::super::fault::{Fault, Promise};
use super::super::machine::Need;
use super::super::map::view_at;

/// An ISR that has not shrunk within this time stays.
const SHRINKS: Duration = Duration::from_secs(60);
/// A partition without a leader for so long waits for the node that is down.
const ELECTED: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

pub(super) const LIST: &[Fault] = &[
    Fault {
        id: "F17",
        words: "power cut of one node",
        needs: &[Need::Wire, Need::Disks],
        nodes: 3,
        promise: Promise::Node,
        expected: "fsync: it stays eligible",
        play: one,
    },
    Fault {
        id: "F18",
        words: "power cut of all nodes",
        needs: &[Need::Wire, Need::Disks],
        nodes: 3,
        promise: Promise::Fsync,
        expected: "recovery without a hand",
        play: everyone,
    },
    Fault {
        id: "F19",
        words: "power cut of one node under a topic of durability os",
        needs: &[Need::Wire, Need::Disks],
        nodes: 3,
        promise: Promise::Os,
        expected: "the others have everything; it is filled again",
        play: one,
    },
    Fault {
        id: "F21",
        words: "the last replica in the ISR loses its power; the others return without it",
        needs: &[Need::Wire, Need::Disks],
        nodes: 5,
        promise: Promise::Fsync,
        expected: "a member of the ELR is elected",
        play: last_standing,
    },
];

fn one(bench: &mut Bench<'_>) -> Result<String> {
    let roles = bench.roles()?;
    let (node, who) = match bench.rng.below(2) {
        0 => (roles.leader, "a leader"),
        _ => (roles.controller, "the controller's"),
    };
    bench.hold_some(0, 300);
    bench.injected(Some(node), "power cut");
    bench.power_cut(&[node])?;
    let (low, high) = bench.options.down_ms;
    bench.hold_some(low, high);
    Ok(format!("node {} ({who})", bench.cluster.id(node)))
}

fn everyone(bench: &mut Bench<'_>) -> Result<String> {
    bench.roles()?;
    bench.hold_some(0, 300);
    bench.injected(None, "power cut of all nodes");
    let all: Vec<usize> = (0..bench.count()).collect();
    bench.power_cut(&all)?;
    Ok(format!("{} nodes", bench.count()))
}

fn last_standing(bench: &mut Bench<'_>) -> Result<String> {
    let roles = bench.roles()?;
    let last = roles.leader;
    let id = bench.cluster.id(last);
    let led = roles.view.places.iter().find(|(_, place)| place.leader == id);
    let (partition, place) = led.context("it leads no partition")?;
    let (partition, epoch) = (*partition, place.epoch);
    let followers: Vec<usize> = place
        .replicas
        .iter()
        .filter(|replica| **replica != id)
        .map(|replica| bench.cluster.number(*replica))
        .collect::<Result<_>>()?;
    for node in &followers {
        bench.injected(Some(*node), "kill -9 of a follower");
        bench.cluster.kill(*node)?;
    }
    let addr = bench.cluster.addrs().get(last).copied().context("its address")?;
    let until = Instant::now() + SHRINKS;
    loop {
        let view = view_at(addr, &bench.cluster.topic)?;
        if view.places.get(&partition).is_some_and(|place| place.leader == id && place.isr == [id]) {
            break;
        }
        if Instant::now() > until {
            bail!(
                "the ISR of partition {partition} did not shrink to node {id} within {SHRINKS:?}: {view:?}"
            );
        }
        bench.hold(LOOK);
    }
    bench.injected(Some(last), "power cut of the last replica in the ISR");
    bench.power_cut(&[last])?;
    for node in &followers {
        bench.cluster.launch(*node)?;
    }
    for node in &followers {
        bench.cluster.wait_ready(*node)?;
        bench.healed(Some(*node));
    }
    let until = Instant::now() + ELECTED;
    let addr =
        followers.first().and_then(|node| bench.cluster.addrs().get(*node).copied()).context("a follower")?;
    while Instant::now() < until {
        let view = view_at(addr, &bench.cluster.topic)?;
        if let Some(place) = view.places.get(&partition)
            && place.leader >= 0
            && place.leader != id
            && place.epoch > epoch
        {
            return Ok(format!(
                "partition {partition}: node {id} was the last; node {} was elected",
                place.leader
            ));
        }
        bench.hold(LOOK);
    }
    bench.complaints.push(format!(
        "no follower of partition {partition} was elected within {ELECTED:?} without node {id}"
    ));
    Ok(format!("partition {partition}: node {id} was the last"))
}
