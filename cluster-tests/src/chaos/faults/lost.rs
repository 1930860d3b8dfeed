//! A node loses its data while it is down: one shard's directory, then the whole directory.
//!
//! A shard that is gone is filled again by the leaders. A node without a directory is another node, which this cluster does not
//! take in by itself: it must say so, and the others must serve on. At the end the directory is found again.

use anyhow::{Context, Result};

use super::super::bench::Bench;
use super::super::fault::{Fault, Promise};
use super::super::round::STUCK;
use super::files::{beside, remove};
use super::refusal::refused_node;

/// Records that the others acknowledge while the node is another one.
const MEANWHILE: u64 = 500;

pub(super) const LIST: &[Fault] = &[Fault {
    id: "F29",
    words: "a shard's directory is lost, then the whole directory, at the same address",
    needs: &[],
    nodes: 3,
    promise: Promise::Node,
    expected: "the shard is filled again; a node without its directory says what to do, and the others serve on",
    play: lost,
}];

fn lost(bench: &mut Bench<'_>) -> Result<String> {
    let shard = shard(bench)?;
    let whole = directory(bench)?;
    Ok(format!("{shard}; {whole}"))
}

/// A node by the seed, a leader or not.
fn victim(bench: &mut Bench<'_>) -> Result<usize> {
    bench.roles()?;
    bench.work()?.acks(MEANWHILE, STUCK, || Ok(()))?;
    Ok(bench.rng.below(bench.count() as u64) as usize)
}

fn shard(bench: &mut Bench<'_>) -> Result<String> {
    if bench.options.shards < 2 {
        return Ok("nodes of one shard cannot lose it alone".to_owned());
    }
    let node = victim(bench)?;
    let (id, shard) = (bench.cluster.id(node), bench.rng.below(u64::from(bench.options.shards)));
    let emptied = bench.rng.below(2) == 0;
    bench.injected(Some(node), format!("shard-{shard} is {}", if emptied { "emptied" } else { "gone" }));
    bench.cluster.kill(node)?;
    let data = bench.cluster.nodes.nodes.get(node).context("no such node")?.data();
    let place = data.join(format!("shard-{shard}"));
    remove(&place)?;
    if emptied {
        std::fs::create_dir(&place)?;
    }
    bench.cluster.launch(node)?;
    bench.cluster.wait_ready(node)?;
    bench.healed(Some(node));
    // Its replicas are filled in another shard; this one stays lost.
    bench.spent = true;
    bench.roles().context("the shard is not filled again")?;
    let lines = bench.cluster.nodes.nodes.get(node).context("no such node")?.lines();
    if lines.holding(&format!("shard {shard} is lost")) == 0 {
        bench.complaints.push(format!("node {id} does not say that shard {shard} is lost"));
    }
    Ok(format!("node {id}, shard {shard} {}, filled again", if emptied { "emptied" } else { "gone" }))
}

fn directory(bench: &mut Bench<'_>) -> Result<String> {
    let node = victim(bench)?;
    let id = bench.cluster.id(node);
    bench.injected(Some(node), "its directory is gone");
    bench.cluster.kill(node)?;
    let data = bench.cluster.nodes.nodes.get(node).context("no such node")?.data();
    let aside = beside(&data, "found-again");
    std::fs::rename(&data, &aside)?;
    let said = refused_node(bench, node, WORDS, MEANWHILE);
    // The directory is found again, whatever was seen.
    bench.cluster.give_up(node)?;
    remove(&data)?;
    std::fs::rename(&aside, &data)?;
    let said = said?;
    Ok(format!("node {id} without its directory: {said}"))
}

/// The words of a node whose place in the cluster belongs to another directory.
const WORDS: &[&str] = &["takes this node"];
