//! Kafka's tools about a cluster with one node dead: what they print about Callboard is what they print about Kafka.
//!
//! ```text
//!   three nodes ── topics ── look ── kill -9 ── fenced ── look ── start ── whole ── look      the dead one: a follower of the
//!                             └─ Tools.java: the filters of kafka-topics, kafka-metadata-quorum,          quorum, then its leader
//!                                kafka-leader-election while the node is dead and behind its return
//! ```
//! `CALLBOARD_WRITE_ANSWERS=1` starts three nodes of Apache Kafka instead and writes `data/cluster_tools.txt`, so a usual run
//! starts no Kafka. Ids differ from run to run, so topics name their nodes A (the one that dies), B and C. Differences that
//! are meant stand in `cluster_tools/allowed.rs`; this test asserts no numbers of the quorum.

#[path = "cluster_tools/allowed.rs"]
mod allowed;
#[path = "tools/compare.rs"]
mod compare;
#[path = "cluster_tools/names.rs"]
mod names;
#[path = "cluster_tools/sites.rs"]
mod sites;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use callboard_cluster_tests::chaos::map::{View, view_at};
use callboard_cluster_tests::process::wire::RETRY;
use callboard_cluster_tests::process::{HANG, Java, find_java, need, say};
use compare::Ran;
use names::Names;
use sites::{Callboard, Kafkas, Site};

/// In health these print nothing whatever the topic; `--at-min-isr-partitions` prints each that may lose no replica.
const SILENT: [&str; 3] =
    ["--under-replicated-partitions", "--under-min-isr-partitions", "--unavailable-partitions"];
const AT_MIN: &str = "--at-min-isr-partitions";
const ALONE: &str = "alone";
const TOPICS: [(&str, i32); 3] = [("default", 3), ("strict", 2), (ALONE, 3)];

/// Nodes as A, B and C. A topic without a number of its own has `min.insync.replicas=2`, one of one replica has 1.
fn creates() -> Vec<String> {
    let create = |topic: &str, rest: &str| format!("kafka-topics --create --topic {topic} {rest}");
    vec![
        create("default", "--replica-assignment A:B:C,B:C:A,C:A:B"),
        create("strict", "--replica-assignment A:B:C,B:A:C --config min.insync.replicas=3"),
        create(ALONE, "--replica-assignment A,B,C"),
    ]
}

fn looks() -> Vec<String> {
    let mut looks: Vec<String> = vec!["kafka-topics --describe".to_owned()];
    looks.extend(SILENT.iter().chain([&AT_MIN]).map(|filter| format!("kafka-topics --describe {filter}")));
    looks.push("kafka-features describe".to_owned());
    looks.push("kafka-metadata-quorum describe --status".to_owned());
    looks.push("kafka-metadata-quorum describe --replication".to_owned());
    looks
}

const ELECT: &str = "kafka-leader-election --election-type";

/// Elections with A dead: its partitions have another leader or none, and nobody else has a replica of the last topic.
fn elections() -> Vec<String> {
    let one = |election: &str, topic: &str, partition: i32| {
        format!("{ELECT} {election} --topic {topic} --partition {partition}")
    };
    vec![
        one("preferred", "default", 0),
        one("preferred", "default", 1),
        one("preferred", ALONE, 0),
        one("unclean", "default", 0),
        one("unclean", ALONE, 0),
        one("preferred", "nobodys", 0),
        one("unclean", "default", 9),
        format!("{ELECT} unclean --all-topic-partitions"),
    ]
}

/// With A back each partition that it led before gets it again, and then there is nothing to do.
fn back() -> Vec<String> {
    let all = format!("{ELECT} preferred --all-topic-partitions");
    vec![all.clone(), all, format!("{ELECT} preferred --topic default --partition 0")]
}

struct Tools<'a> {
    java: &'a Java,
    class_path: &'a str,
    dir: &'a Path,
    /// Further words of the line that creates the topic of one replica.
    alone: &'static str,
}

impl Tools<'_> {
    /// Runs the lines in one process at these nodes; ids stand for the letters, and come back as letters.
    fn run(&self, lines: &[String], nodes: &[SocketAddr], names: &Names) -> Result<Vec<Ran>> {
        let script = self.dir.join("script");
        let more = |line: &str| if line.contains("--create --topic alone") { self.alone } else { "" };
        let text = |text: String, line: &String| text + &names.ids(line) + more(line) + "\n";
        let text = lines.iter().fold(String::new(), text);
        std::fs::write(&script, text)?;
        let nodes = nodes.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
        let args = [&nodes, &*script.to_string_lossy(), &*self.dir.to_string_lossy()];
        let out = self.java.run(self.class_path, "callboard.Tools", &args)?.good("Tools")?;
        let mut ran = compare::parse(&String::from_utf8_lossy(&out), &nodes);
        ran.retain(|ran| ran.command != "end");
        ensure!(ran.len() == lines.len(), "{} of {} commands were run", ran.len(), lines.len());
        for (ran, line) in ran.iter_mut().zip(lines) {
            ran.command.clone_from(line);
            names.normalise(ran)?;
        }
        Ok(ran)
    }
}

/// Both kills; returns all that the tools printed.
fn told(site: &mut dyn Site, tools: &Tools<'_>) -> Result<Vec<Ran>> {
    let mut all = Vec::new();
    for leader in [false, true] {
        let controller = site.controller()?;
        let others = (0..3).filter(|node| *node != controller);
        let dead = if leader { controller } else { others.min().context("another node")? };
        let who = if leader { "the quorum's leader" } else { "a follower of the quorum" };
        let names = Names::new(site.id(dead), (0..3).map(|node| site.id(node)).collect());
        let all_nodes = site.addrs();
        let mut living = all_nodes.clone();
        living.remove(dead);
        mark(&mut all, &format!("--- in health, before the end of {who}"));
        all.extend(tools.run(&creates(), &all_nodes, &names)?);
        until(&all_nodes, whole)?;
        all.extend(tools.run(&looks(), &all_nodes, &names)?);
        site.kill(dead)?;
        let id = site.id(dead);
        until(&living, |view| without(view, id))?;
        mark(&mut all, &format!("--- without {who}"));
        all.extend(tools.run(&looks(), &living, &names.with_dead())?);
        all.extend(tools.run(&elections(), &living, &names.with_dead())?);
        site.restart(dead)?;
        until(&all_nodes, whole)?;
        mark(&mut all, &format!("--- in health, after the return of {who}"));
        all.extend(tools.run(&looks(), &all_nodes, &names)?);
        all.extend(tools.run(&back(), &all_nodes, &names)?);
        all.extend(tools.run(&["kafka-topics --describe".to_owned()], &all_nodes, &names)?);
        let delete = TOPICS.map(|(topic, _)| format!("kafka-topics --delete --topic {topic}"));
        all.extend(tools.run(&delete, &all_nodes, &names)?);
    }
    Ok(all)
}

fn mark(all: &mut Vec<Ran>, text: &str) {
    all.push(Ran { command: text.to_owned(), lines: Vec::new() });
}

fn whole(view: &View) -> bool {
    view.nodes.len() == 3 && view.places.values().all(callboard_cluster_tests::chaos::map::Place::whole)
}

/// The node is fenced, and leads nothing; the in-sync set of a partition with other replicas is without it.
fn without(view: &View, id: i32) -> bool {
    let without = |place: &callboard_cluster_tests::chaos::map::Place| {
        place.leader != id && (place.replicas.len() == 1 || (place.leader >= 0 && !place.isr.contains(&id)))
    };
    !view.nodes.contains_key(&id) && view.places.values().all(without)
}

/// Waits until each of these nodes describes each topic so.
fn until(nodes: &[SocketAddr], good: impl Fn(&View) -> bool) -> Result<()> {
    let until = Instant::now() + HANG;
    for addr in nodes {
        for (topic, partitions) in TOPICS {
            loop {
                let view = view_at(*addr, topic);
                match view {
                    Ok(view) if view.places.len() == partitions as usize && good(&view) => break,
                    view if Instant::now() > until => bail!("{topic} at {addr} stays {view:?}"),
                    _ => std::thread::sleep(RETRY),
                }
            }
        }
    }
    Ok(())
}

/// Checks the filters' lines about a cluster in health, whoever is asked.
fn healthy(all: &[Ran]) -> Result<()> {
    let (mut health, mut seen) = (false, 0);
    for ran in all {
        if ran.command.starts_with("---") {
            health = ran.command.contains("in health");
        }
        let lines = ran.lines.iter().filter(|line| *line != "exit 0");
        if health && SILENT.iter().any(|filter| ran.command.ends_with(filter)) {
            seen += 1;
            ensure!(lines.count() == 0, "in health `{}` prints {:?}", ran.command, ran.lines);
        } else if health && ran.command.ends_with(AT_MIN) {
            seen += 1;
            let may_lose: Vec<&String> = lines.filter(|line| line.contains("Topic: default")).collect();
            ensure!(may_lose.is_empty(), "in health `{}` prints {may_lose:?}", ran.command);
        }
    }
    ensure!(seen == 4 * 4, "{seen} filters were run in health");
    Ok(())
}

#[test]
fn the_tools_say_of_a_dead_node_what_they_say_at_kafka() -> Result<()> {
    let Some(java) = need("cluster_tools", "a JDK (17 or later) and maven", find_java())? else {
        return Ok(());
    };
    let class_path = java.class_path(env!("CARGO_TARGET_TMPDIR"))?;
    let dir = callboard_cluster_tests::process::scratch()?;
    let tools = |site: &dyn Site| Tools {
        java: &java,
        class_path: &class_path,
        dir: dir.path(),
        alone: site.alone(),
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/cluster_tools.txt");
    if std::env::var_os("CALLBOARD_WRITE_ANSWERS").is_some() {
        let mut site = Kafkas::start(&java, &class_path)?;
        let tools = tools(&site);
        let told = told(&mut site, &tools).map_err(|error| site.story(&error))?;
        healthy(&told)?;
        return Ok(std::fs::write(file, text(&told))?);
    }
    let mut site = Callboard::start()?;
    let tools = tools(&site);
    let ours = told(&mut site, &tools).map_err(|error| site.story(&error))?;
    healthy(&ours)?;
    let theirs = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let theirs = compare::parse(&theirs, "nowhere");
    let found = compare::differences(&theirs, &ours, allowed::ALLOWED);
    say(&format!("{} commands compared, {} with differences", theirs.len(), found.commands));
    ensure!(found.lines.is_empty(), "Kafka (-) and Callboard (+) differ:\n{}", found.lines.join("\n"));
    ensure!(found.idle.is_empty(), "allowed, and not needed:\n{}", found.idle.join("\n"));
    Ok(())
}

fn text(all: &[Ran]) -> String {
    let mut text = String::new();
    for ran in all {
        // Writing to a string does not fail.
        let _ = writeln!(text, "$ {}", ran.command);
        ran.lines.iter().for_each(|line| text += &format!("{line}\n"));
    }
    text
}
