//! One node twice: a second process on its directory, and a copy of its directory at another address.
//!
//! The first must find the lock taken. The second has all secrets and ids, and the cluster must refuse it in words, while the
//! node itself goes on.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::super::bench::Bench;
use super::super::fault::Fault;
use super::super::machine::Need;
use crate::process::{Broker, find_program, run, scratch};

/// A copy that has neither ended nor served by then waits; it may do that.
const DECIDES: Duration = Duration::from_secs(30);
const READY: &str = " ready in";

pub(super) const LIST: &[Fault] = &[Fault {
    id: "F31",
    words: "two processes of one node: on one directory, and on a copy of it",
    needs: &[Need::Wire],
    nodes: 3,
    expected: "the lock refuses the first, the cluster the second (DUPLICATE_BROKER_REGISTRATION)",
    play: twins,
}];

/// Another process of a node, on this directory and at ports of its own.
fn twin(bench: &Bench<'_>, node: usize, data: &Path) -> Result<Broker> {
    let lan = bench.lan()?;
    let at = lan.node(node);
    let seed = format!("{at}:17946");
    let options = crate::process::Options {
        data: Some(data.to_owned()),
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
    let cp = find_program("cp").context("no cp")?;
    run(&cp, &["-r", &data.to_string_lossy(), &copy.to_string_lossy()], |_| ())?.good("cp -r")?;
    bench.cluster.launch(node)?;
    bench.cluster.wait_ready(node)?;
    bench.injected(Some(node), "a process on a copy of its directory");
    let mut broker = twin(bench, node, &copy)?;
    broker.launch()?;
    let until = Instant::now() + DECIDES;
    while Instant::now() < until && broker.running() {
        if broker.lines().holding(READY) > 0 {
            let tail = broker.lines().tail(20);
            bail!("a copy of node {id} serves beside it:\n{tail}");
        }
        bench.hold(Duration::from_millis(100));
    }
    let runs = broker.running();
    let refused = said_of_it(&broker);
    if runs {
        broker.kill9()?;
    }
    bench.healed(Some(node), "the copy is gone");
    ensure!(
        bench.cluster.nodes.nodes.get_mut(node).is_some_and(|node| node.running()),
        "node {id} gave way to its copy"
    );
    let end = if runs { "waited for 30 s" } else { "ended" };
    Ok(format!("node {id}; the copy {end}: {}", refused.trim()))
}

/// The copy's words about its refusal, else its last line.
fn said_of_it(broker: &Broker) -> String {
    let lines = broker.lines().since(0).into_iter().rev();
    let mut of_it = lines.filter(|line| {
        ["DUPLICATE", "another process", "refused there"].iter().any(|text| line.contains(text))
    });
    of_it.next().unwrap_or_else(|| format!("WITHOUT WORDS OF A REFUSAL: {}", broker.lines().tail(1)))
}
