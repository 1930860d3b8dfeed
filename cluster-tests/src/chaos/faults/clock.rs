//! Clocks that jump: one node's, then all of them, by an hour and a day, and a clock that jumps five times a second.
//!
//! libfaketime stands between the node and its wall clock; the monotonic clock goes on as it is. Nodes are started again with
//! and without it, one by one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::super::bench::Bench;
use super::super::fault::{Fault, Promise};
use super::super::machine::Need;
use crate::process::scratch;

pub(super) const LIST: &[Fault] = &[Fault {
    id: "F32",
    words: "wall clocks jump by ± 1 h, ± 1 d and to and fro (libfaketime)",
    needs: &[Need::Clock],
    nodes: 3,
    promise: Promise::Node,
    expected: "no election; retention removes nothing",
    play: jumps,
}];

/// Starts each node again with another environment.
fn restart(bench: &mut Bench<'_>, env: impl Fn(usize) -> Vec<(&'static str, String)>) -> Result<()> {
    for node in 0..bench.count() {
        bench.roles()?;
        bench.cluster.kill(node)?;
        let broker = bench.cluster.nodes.nodes.get_mut(node).context("no such node")?;
        env(node).into_iter().for_each(|(name, value)| broker.set_env(name, value));
        bench.cluster.launch(node)?;
        bench.cluster.wait_ready(node)?;
    }
    bench.roles().map(drop)
}

fn set(dir: &TempDir, node: usize, offset: &str) -> Result<()> {
    // A reader never sees half a file.
    let (path, new) = (dir.path().join(format!("clock{node}")), dir.path().join("new"));
    std::fs::write(&new, format!("{offset}\n"))?;
    Ok(std::fs::rename(new, path)?)
}

fn jumps(bench: &mut Bench<'_>) -> Result<String> {
    let library = bench.machine.clock()?.to_string_lossy().into_owned();
    let dir = scratch()?;
    (0..bench.count()).try_for_each(|node| set(&dir, node, "+0"))?;
    let place = |node: usize| dir.path().join(format!("clock{node}")).to_string_lossy().into_owned();
    restart(bench, |node| {
        vec![
            ("LD_PRELOAD", library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", place(node)),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
        ]
    })?;
    let (term, one) = (bench.cluster.term(), bench.rng.below(bench.count() as u64) as usize);
    let everyone: Vec<usize> = (0..bench.count()).collect();
    for (nodes, who, words) in [(vec![one], Some(one), "one clock"), (everyone, None, "all clocks")] {
        for offset in ["+3600", "-3600", "+86400", "-86400"] {
            bench.injected(who, format!("{words}: {offset} s"));
            nodes.iter().try_for_each(|node| set(&dir, *node, offset))?;
            bench.hold(Duration::from_secs(2));
        }
        bench.injected(who, format!("{words}: to and fro"));
        for n in 0..20 {
            nodes.iter().try_for_each(|node| set(&dir, *node, if n % 2 == 0 { "+3600" } else { "-3600" }))?;
            bench.hold(Duration::from_millis(200));
        }
        nodes.iter().try_for_each(|node| set(&dir, *node, "+0"))?;
        bench.healed(who);
    }
    let terms = bench.cluster.term() - term;
    bench.last = Some(Instant::now());
    restart(bench, |_| vec![("LD_PRELOAD", String::new())])?;
    Ok(format!("node {}, then all; {terms} elections while clocks jumped", bench.cluster.id(one)))
}
