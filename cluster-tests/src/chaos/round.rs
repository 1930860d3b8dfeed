//! One kill: choose the victim, kill -9, wait, start it again, and wait until the cluster is whole and everything moves.
//!
//! ```text
//!   kill ── down for a time of the seed ── start ── serves ── full ISR on every node ── each partition acknowledged again
//!    └──────────── records acknowledged here count ──────────┘                                     gaps are taken here ┘
//! ```
//! The limits are guards. A cluster that passes one is stuck, and the run ends with the nodes' last lines.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::cluster::Cluster;
use super::map::View;
use super::options::Options;
use super::report::{Kind, Round};
use super::work::Work;
use crate::process::load::Rng;

/// A cluster that is not whole for longer, with all nodes running, is stuck.
pub const STUCK: Duration = Duration::from_secs(90);

/// The victim of one kind, with the partitions that it leads; `None` if there is no such node now.
fn victim(kind: Kind, view: &View, cluster: &Cluster, controller: usize) -> Option<usize> {
    let leads = |node: &usize| led(view, cluster.id(*node)).len();
    let others = || (0..cluster.nodes.nodes.len()).filter(|node| *node != controller);
    let leader = others().max_by_key(leads).filter(|node| leads(node) > 0);
    match kind {
        Kind::Controller => Some(controller),
        Kind::Leader => leader,
        Kind::Follower => others().filter(|node| Some(*node) != leader).min_by_key(leads),
    }
}

fn led(view: &View, id: i32) -> Vec<i32> {
    view.places.iter().filter(|(_, place)| place.leader == id).map(|(partition, _)| *partition).collect()
}

/// Kills one node of this kind and sees it back; `None` if no node fits now.
pub fn fire(
    cluster: &mut Cluster,
    work: &Work,
    kind: Kind,
    options: &Options,
    rng: &mut Rng,
) -> Result<Option<Round>> {
    let view = cluster.wait_whole(work.partitions(), STUCK).context("before the kill")?;
    let controller = cluster.controller()?;
    let Some(node) = victim(kind, &view, cluster, controller) else { return Ok(None) };
    let (id, places) = (cluster.id(node), cluster.places());
    let (low, high) = options.down_ms;
    let down = Duration::from_millis(low + rng.below(high.saturating_sub(low) + 1));
    // A kill at any phase of the load, not always behind a look at the cluster.
    std::thread::sleep(Duration::from_millis(rng.below(300)));
    let (in_flight, acked) = (work.in_flight(), work.acked());
    let killed = Instant::now();
    cluster.kill(node)?;
    cluster.events.explain(&kind.to_string());
    std::thread::sleep(down);
    let launched = Instant::now();
    cluster.launch(node)?;
    cluster.wait_ready(node)?;
    let (ready, outage) = (launched.elapsed(), work.acked() - acked);
    cluster.wait_whole(work.partitions(), STUCK).with_context(|| format!("after the kill of node {id}"))?;
    let whole = Instant::now();
    work.moves_on(whole, STUCK, || cluster.all_run())
        .with_context(|| format!("after the kill of node {id}, with the full ISR"))?;
    let end = Instant::now();
    work.group_kept().with_context(|| format!("after the kill of node {id}"))?;
    let led = led(&view, id);
    let gap = |partitions: &mut dyn Iterator<Item = i32>| {
        partitions.map(|partition| work.gap(partition, killed, end)).max()
    };
    let elected = format!(": leader {id} -> ");
    let ours =
        led.first().map_or(elected.clone(), |partition| format!("{}-{partition}{elected}", cluster.topic));
    let fenced = format!("node {id} is fenced");
    let anew = format!("node {id} is registered");
    Ok(Some(Round {
        kind,
        node: id,
        controller: node == controller,
        in_flight,
        outage,
        acked: work.acked() - acked,
        gap_led: gap(&mut led.iter().copied()),
        gap_all: gap(&mut (0..work.partitions())).unwrap_or_default(),
        gap_commits: work.commit_gap(killed, end),
        down,
        ready,
        whole: whole.duration_since(launched),
        election: cluster.said(node, &places, &[&ours, &elected, &fenced, &anew]),
        vote: (node == controller)
            .then(|| cluster.said(node, &places, &["becomes leader", "vote is changing"]))
            .flatten(),
        led,
        killed,
        lost: 0,
        duplicated: 0,
    }))
}

/// Kills these nodes at once in the middle of the load and starts them at once; returns the time until all of them serve, and
/// the time until each partition moves. It does not wait for a full ISR, neither before nor after.
pub fn outage(cluster: &mut Cluster, work: &Work, nodes: &[usize]) -> Result<(Duration, Duration)> {
    work.acks(1_000, STUCK, || cluster.all_run()).context("before the end of the nodes")?;
    nodes.iter().try_for_each(|node| cluster.kill(*node))?;
    let begun = Instant::now();
    nodes.iter().try_for_each(|node| cluster.launch(*node))?;
    nodes.iter().try_for_each(|node| cluster.wait_ready(*node))?;
    let ready = begun.elapsed();
    work.moves_on(begun, STUCK, || cluster.all_run()).context("after the end of the nodes")?;
    let moved = begun.elapsed();
    work.group_kept()?;
    Ok((ready, moved))
}
