//! Nodes that cannot become one cluster yet, or never: each case is told in words on both sides, counted, and mended as
//! the words say.
//!
//! ```text
//!   waits     a seed that does not come, another seed list, another secret: the cluster forms when that is mended
//!   refused   a directory of another cluster, a copied directory, a directory in use
//! ```
//! Frames and hellos that break the protocol, and another version of it, are tested beside the transport.

#[path = "http/web.rs"]
#[allow(dead_code)] // this file asks for little of it
mod web;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use callboard_cluster_tests::chaos::Map;
use callboard_cluster_tests::process::{Broker, HANG, Nodes, Options, say};

/// README.md: a configuration or a data directory that cannot be used.
const EXIT_CONFIG: i32 = 78;

fn nodes() -> Result<Nodes> {
    Nodes::new(3, &Options::default())
}

/// Starts these nodes and returns at once.
fn launch(nodes: &mut Nodes, which: &[usize]) -> Result<()> {
    which.iter().try_for_each(|node| nodes.nodes[*node].launch())
}

/// Waits until a node's log has `count` lines with all of the words.
fn said(broker: &mut Broker, words: &[&str], count: usize) -> Result<()> {
    let until = Instant::now() + HANG;
    while Instant::now() < until {
        let lines = broker.lines().since(0);
        if lines.iter().filter(|line| words.iter().all(|word| line.contains(word))).count() >= count {
            return Ok(());
        }
        if !broker.running() {
            bail!(broker.broken("it ended"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(broker.broken(&format!("{count} lines with {words:?} were due")))
}

/// Whether `/ready` says 503 with this word.
fn waits_for(broker: &mut Broker, word: &str) -> Result<()> {
    let until = Instant::now() + HANG;
    let addr = broker.http()?;
    loop {
        let reply = web::get(addr, "/ready")?;
        if reply.code == 503 && reply.body.contains(word) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "/ready says {reply:?}, and {word} was due");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn counted(broker: &mut Broker, series: &str) -> Result<f64> {
    web::scrape(broker.http()?)?.value(series)
}

fn refusals(broker: &mut Broker, reason: &str) -> Result<f64> {
    counted(broker, &format!("callboard_transport_refused_total{{reason=\"{reason}\"}}"))
}

/// Waits until all serve, and shows that they are one cluster: a topic of three replicas has them all in its ISR.
fn forms(nodes: &mut Nodes) -> Result<()> {
    for node in &mut nodes.nodes {
        node.wait_ready()?;
        ensure!(web::get(node.http()?, "/ready")?.code == 200, "it serves, and /ready does not say so");
    }
    let addrs = nodes.nodes.iter().map(Broker::addr).collect();
    Map::new(addrs).create("formed", 3, 3, &[])
}

#[test]
fn a_seed_that_does_not_come_is_named_until_it_does() -> Result<()> {
    let mut nodes = nodes()?;
    launch(&mut nodes, &[0, 1])?;
    let missing = format!("seed {} does not answer", nodes.seeds[2]);
    for node in [0, 1] {
        // The second line comes ten seconds after the first.
        said(&mut nodes.nodes[node], &["waiting: ", &missing], 2)?;
        waits_for(&mut nodes.nodes[node], &missing)?;
        ensure!(counted(&mut nodes.nodes[node], "callboard_forming_waits_total")? >= 2.0);
        ensure!(
            nodes.nodes[node].lines().holding("listening for kafka clients") == 0,
            "it serves half a cluster"
        );
    }
    let begun = Instant::now();
    launch(&mut nodes, &[2])?;
    forms(&mut nodes)?;
    say(&format!("formed {} ms after the last seed came", begun.elapsed().as_millis()));
    Ok(())
}

#[test]
fn another_secret_is_told_on_both_sides() -> Result<()> {
    let mut nodes = nodes()?;
    let other = nodes.secret().with_file_name("other");
    // The copy has the permissions of the first, and then another content.
    std::fs::copy(nodes.secret(), &other)?;
    std::fs::write(&other, "another secret, which is long enough\n")?;
    nodes.nodes[2].set_env("CALLBOARD_CLUSTER_SECRET_FILE", other.display());
    launch(&mut nodes, &[0, 1, 2])?;
    for node in 0..3 {
        said(&mut nodes.nodes[node], &["WARN", "the cluster secrets differ; give every node the same"], 1)?;
        ensure!(refusals(&mut nodes.nodes[node], "secret")? >= 1.0, "node {node} does not count it");
        waits_for(&mut nodes.nodes[node], "does not answer")?;
    }
    nodes.nodes[2].stop()?;
    std::fs::copy(nodes.secret(), &other)?;
    launch(&mut nodes, &[2])?;
    forms(&mut nodes)
}

#[test]
fn seed_lists_that_differ_are_told_on_both_sides_with_the_difference() -> Result<()> {
    let mut nodes = nodes()?;
    let (strange, own) = ("127.0.0.1:9".to_owned(), nodes.seeds[2].clone());
    let list = [nodes.seeds[0].clone(), strange.clone(), own.clone()].join(",");
    nodes.nodes[2].set_env("CALLBOARD_SEEDS", list);
    launch(&mut nodes, &[0, 1, 2])?;
    let ask = "give every node the same --seeds";
    let there =
        format!("seed {own} has another seed list; only here: {}; only there: {strange}", nodes.seeds[1]);
    let here = format!(
        "seed {} has another seed list; only here: {strange}; only there: {}",
        nodes.seeds[0], nodes.seeds[1]
    );
    for (node, words) in [(0, &there), (1, &there), (2, &here)] {
        said(&mut nodes.nodes[node], &["waiting: ", words, ask], 1)?;
        waits_for(&mut nodes.nodes[node], words)?;
        ensure!(counted(&mut nodes.nodes[node], "callboard_forming_waits_total")? >= 1.0);
    }
    nodes.nodes[2].stop()?;
    let mended = nodes.seeds.join(",");
    nodes.nodes[2].set_env("CALLBOARD_SEEDS", mended);
    launch(&mut nodes, &[2])?;
    forms(&mut nodes)
}

#[test]
fn a_node_of_another_cluster_is_told_on_both_sides() -> Result<()> {
    let mut one = Nodes::start(1, &Options::default())?;
    let mut other = Nodes::start(1, &Options::default())?;
    let data = other.nodes[0].data();
    other.nodes[0].stop()?;
    // The secrets are the same; the seed list of this directory now leads to the first cluster.
    let seeds = [one.seeds[0].clone(), other.seeds[0].clone()].join(",");
    let options = other.options(&Options { data: Some(data), ..Options::default() }, &other.seeds[0]);
    let mut stray = Broker::new(options.with_env("CALLBOARD_SEEDS", seeds))?;
    stray.launch()?;
    said(&mut stray, &["INCONSISTENT_CLUSTER_ID"], 1)?;
    said(&mut one.nodes[0], &["INCONSISTENT_CLUSTER_ID"], 1)?;
    for broker in [&mut stray, &mut one.nodes[0]] {
        ensure!(refusals(broker, "cluster")? >= 1.0, "it does not count it");
    }
    ensure!(one.nodes[0].running());
    Ok(())
}

#[test]
fn a_copied_directory_is_refused_and_the_original_goes_on() -> Result<()> {
    let mut nodes = Nodes::start(3, &Options::default())?;
    nodes.nodes[2].stop()?;
    let copy = nodes.nodes[2].dir().join("copy");
    copy_all(&nodes.nodes[2].data(), &copy)?;
    nodes.nodes[2].restart()?;
    // On a port of its own, as on another machine.
    let options = nodes.options(&Options { data: Some(copy.clone()), ..Options::default() }, "127.0.0.1:0");
    let mut twin = Broker::new(options)?;
    twin.launch()?;
    const OLD: &str = "this directory is older than the cluster knows; empty it";
    said(&mut twin, &["refuses this one", OLD], 1)?;
    waits_for(&mut twin, OLD)?;
    ensure!(refusals(&mut twin, "old_directory")? >= 1.0, "it does not count it");
    let told: usize = nodes.nodes.iter().map(|node| node.lines().holding(OLD)).sum();
    ensure!(told >= 1, "no member says that it refused the copy");
    forms(&mut nodes)?;
    ensure!(twin.lines().holding("listening for kafka clients") == 0, "the copy serves");
    Ok(())
}

#[test]
fn a_directory_of_a_running_member_is_refused() -> Result<()> {
    let mut nodes = Nodes::start(3, &Options::default())?;
    let data = Some(nodes.nodes[0].data());
    let options = nodes.options(&Options { data, ..Options::default() }, "127.0.0.1:0");
    let (code, log) = Broker::new(options)?.refuses()?;
    ensure!(code == Some(EXIT_CONFIG) && log.contains("in use by another process"), "{code:?}:\n{log}");
    forms(&mut nodes)
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_all(&entry.path(), &to)?,
            false => drop(std::fs::copy(entry.path(), to)?),
        }
    }
    Ok(())
}
