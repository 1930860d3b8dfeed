//! An old copy of a node's directory comes back: one of an earlier life, then one of the present life.
//!
//! ```text
//!   earlier life   stop or kill ── copy ── the node lives on ── kill ── the copy in its place: refused, in words (R47)
//!   same life      stand still ── copy ── the node goes on ── kill ── the copy in its place: unclean, filled again (R46)
//! ```
//! The second copy leaves out `meta.redb`: Raft cannot tell that a voter has gone back within a life, so nobody may start such
//! a copy. Another follower dies before, so that the node leaves an ISR as one of the ELR: its word would count if it passed
//! as whole. Five nodes have a controller then.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::super::bench::Bench;
use super::super::fault::{Fault, Promise};
use super::super::round::STUCK;
use super::files::{beside, copy, remove};
use super::refusal::refused_node;

/// The life goes on for so long after the copy; heartbeats tell the controller of it.
const OLDER: Duration = Duration::from_secs(3);
const MEANWHILE: u64 = 500;
const REFUSED: &[&str] = &["older than the cluster knows", "is a copy or"];

pub(super) const LIST: &[Fault] = &[Fault {
    id: "F30",
    words: "an old copy of a directory is put in its place",
    needs: &[],
    nodes: 5,
    promise: Promise::Node,
    expected: "of an earlier life: refused in words; of the same life: unclean, and filled again",
    play: copies,
}];

fn copies(bench: &mut Bench<'_>) -> Result<String> {
    let earlier = earlier_life(bench)?;
    let same = same_life(bench)?;
    Ok(format!("{earlier}; {same}"))
}

/// A node's directory, and a place for a copy of it.
fn places(bench: &Bench<'_>, node: usize) -> Result<(PathBuf, PathBuf)> {
    let data = bench.cluster.nodes.nodes.get(node).context("no such node")?.data();
    let old = beside(&data, "old-copy");
    Ok((data, old))
}

fn earlier_life(bench: &mut Bench<'_>) -> Result<String> {
    bench.roles()?;
    bench.work()?.acks(MEANWHILE, STUCK, || Ok(()))?;
    let node = bench.rng.below(bench.count() as u64) as usize;
    let (data, old) = places(bench, node)?;
    let id = bench.cluster.id(node);
    let clean = bench.rng.below(2) == 0;
    bench.injected(Some(node), "a copy is made while it is down");
    match bench.cluster.nodes.nodes.get_mut(node) {
        Some(broker) if clean => broker.stop()?,
        _ => bench.cluster.kill(node)?,
    }
    copy(&data, &old)?;
    bench.cluster.launch(node)?;
    bench.cluster.wait_ready(node)?;
    bench.roles()?;
    bench.hold(OLDER);
    bench.injected(Some(node), "the copy is in its place");
    bench.cluster.kill(node)?;
    let aside = beside(&data, "present");
    std::fs::rename(&data, &aside)?;
    std::fs::rename(&old, &data)?;
    let said = refused_node(bench, node, REFUSED, MEANWHILE);
    bench.cluster.give_up(node)?;
    remove(&data)?;
    std::fs::rename(&aside, &data)?;
    let said = said?;
    bench.cluster.launch(node)?;
    bench.cluster.wait_ready(node)?;
    bench.healed(Some(node));
    let end = if clean { "a clean end" } else { "a kill" };
    Ok(format!("node {id}, copied after {end}: {said}"))
}

fn same_life(bench: &mut Bench<'_>) -> Result<String> {
    let roles = bench.roles()?;
    bench.work()?.acks(MEANWHILE, STUCK, || Ok(()))?;
    let controller = bench.cluster.id(roles.controller);
    let followers = roles.view.places.values().find_map(|place| {
        let followers = place.replicas.iter().copied().filter(|replica| *replica != place.leader);
        let followers: Vec<i32> = followers.collect();
        (!followers.contains(&controller) && followers.len() == 2).then_some(followers)
    });
    let Some(mut followers) = followers else {
        return Ok("no partition has two followers besides the controller's node".to_owned());
    };
    followers.rotate_left(bench.rng.below(2) as usize);
    let numbers: Vec<usize> = followers.iter().map(|id| bench.cluster.number(*id)).collect::<Result<_>>()?;
    let (node, other) = (numbers[0], numbers[1]);
    let (data, old) = places(bench, node)?;
    let id = bench.cluster.id(node);
    bench.injected(Some(node), "a copy is made while it stands still");
    bench.pause(node)?;
    copy(&data, &old)?;
    bench.resume(node);
    bench.hold(OLDER);
    bench.roles()?;
    bench.injected(Some(other), "kill -9");
    bench.leaves_isrs(other)?;
    bench.injected(Some(node), "the copy is in its place");
    let seen = bench.cluster.places();
    bench.leaves_isrs(node)?;
    for name in names(&data, &old)? {
        remove(&data.join(&name))?;
        if old.join(&name).exists() {
            copy(&old.join(&name), &data.join(&name))?;
        }
    }
    remove(&old)?;
    bench.cluster.launch(node)?;
    bench.cluster.wait_ready(node)?;
    bench.cluster.launch(other)?;
    bench.cluster.wait_ready(other)?;
    bench.roles().context("the node with the old copy is not filled again")?;
    let judged = format!("node {id} is registered");
    let said = bench.cluster.said(node, &seen, &[&judged]).unwrap_or_default();
    if !said.contains("may lack records") {
        bench.complaints.push(format!("a copy of node {id} of its present life passed as whole: {said}"));
    }
    Ok(format!("node {id}, copied within its life: {}", said.split(" INFO ").last().unwrap_or_default()))
}

/// Everything that one directory or the other holds, but for the metadata and the lock.
fn names(data: &Path, old: &Path) -> Result<std::collections::BTreeSet<std::ffi::OsString>> {
    let mut names = std::collections::BTreeSet::new();
    for dir in [data, old] {
        names.extend(std::fs::read_dir(dir)?.flatten().map(|entry| entry.file_name()));
    }
    names.retain(|name| name != "meta.redb" && name != "lock");
    Ok(names)
}
