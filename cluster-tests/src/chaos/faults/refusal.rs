//! A process that the cluster must not take in: it has to be told so in words, and must not serve.
//!
//! It may end then, or wait for ever: an operator reads the words either way.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::super::bench::Bench;
use super::super::round::STUCK;
use crate::process::Broker;

/// The words must come within this time.
const DECIDES: Duration = Duration::from_secs(30);
/// It must not serve within this time behind them.
const AFTER: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);
const READY: &str = " ready in";

/// Waits for a line that holds one of these texts, and returns it with what the process does then.
pub(super) fn refused(broker: &mut Broker, words: &[&str]) -> Result<String> {
    let mut until = Instant::now() + DECIDES;
    let mut said = None;
    loop {
        let runs = broker.running();
        if broker.lines().holding(READY) > 0 {
            bail!("it serves:\n{}", broker.lines().tail(20));
        }
        if said.is_none() {
            let lines = broker.lines().since(0).into_iter();
            said = lines.rev().find(|line| words.iter().any(|word| line.contains(word)));
            if said.is_some() {
                until = Instant::now() + AFTER;
            }
        }
        if !runs || Instant::now() > until {
            let Some(line) = said else {
                bail!("it says none of {words:?} within {DECIDES:?}:\n{}", broker.lines().tail(20));
            };
            let line = line.split_once('Z').map_or(line.as_str(), |(_, rest)| rest).trim();
            return Ok(format!("{} {line}", if runs { "it waits:" } else { "it ended:" }));
        }
        std::thread::sleep(LOOK);
    }
}

/// Starts a node that the cluster must refuse; the others acknowledge meanwhile. The caller ends it.
pub(super) fn refused_node(
    bench: &mut Bench<'_>,
    node: usize,
    words: &[&str],
    records: u64,
) -> Result<String> {
    bench.cluster.launch(node)?;
    let id = bench.cluster.id(node);
    let broker = bench.cluster.nodes.nodes.get_mut(node).context("no such node")?;
    let said = refused(broker, words).with_context(|| format!("node {id}, which must be refused"))?;
    let acks = bench.work()?.acks(records, STUCK, || Ok(()));
    acks.with_context(|| format!("while node {id} is refused"))?;
    Ok(said)
}
