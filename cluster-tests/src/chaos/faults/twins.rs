//! One node twice: a second process on its directory, and a copy of its directory at another address.
//!
//! The first must find the lock taken. The second has all secrets and ids, and the cluster must refuse it in words, while the
//! node itself goes on.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::super::bench::Bench;
use super::super::fault::{Fault, Promise};
use super::super::machine::Need;
use super::files;
use super::refusal::refused;
use crate::process::{Broker, scratch};

const WORDS: &[&str] = &["DUPLICATE", "another process", "older than the cluster knows"];

pub(super) const LIST: &[Fault] = &[Fault {
    id: "F31",
    words: "two processes of one node: on one directory, and on a copy of it",
    needs: &[Need::Wire],
    nodes: 3,
    promise: Promise::Node,
    expected: "the lock refuses the first, the cluster the second, in words",
    play: twins,
}];

/// Another process of a node, on this directory and at ports of its own.
fn twin(bench: &Bench<'_>, node: usize, data: &Path) -> Result<Broker> {
    let lan = bench.lan()?;
    let at = lan.node(node);
    let seed = format!("{at}:17946");
    let options = crate::process::Options {
        data: Some(data.to_owned()),
        shards: bench.options.shards,
        wrap: lan.wrap(node),
        listeners: Some(format!("{at}:19092")),
        ..Default::default()
    };
    Broker::new(bench.cluster.nodes.options(&options, &seed))
}

fn twins(bench: &mut Bench<'_>) -> Result<String> {
    let node = bench.roles()?.leader;
    let id = bench.cluster.id(node);
    let data = bench.cluster.nodes.nodes.get(node).context("no such node")?.data();
    bench.injected(Some(node), "a second process on its directory");
    let (code, said) = twin(bench, node, &data)?.refuses()?;
    ensure!(said.contains("is in use by another process"), "the second process ended with {code:?}:\n{said}");
    // The copy is of a directory at rest: the node does not run.
    bench.cluster.kill(node)?;
    let dir = scratch()?;
    let copy = dir.path().join("copy");
    files::copy(&data, &copy)?;
    bench.cluster.launch(node)?;
    bench.cluster.wait_ready(node)?;
    bench.injected(Some(node), "a process on a copy of its directory");
    let mut broker = twin(bench, node, &copy)?;
    broker.launch()?;
    let said = refused(&mut broker, WORDS).with_context(|| format!("a copy of node {id}, beside it"))?;
    if broker.running() {
        broker.kill9()?;
    }
    bench.healed(Some(node));
    ensure!(
        bench.cluster.nodes.nodes.get_mut(node).is_some_and(|node| node.running()),
        "node {id} gave way to its copy"
    );
    Ok(format!("node {id}; the copy: {said}"))
}
