//! Two of three disks are gone, and the third one goes on alone because an operator says so.
//!
//! ```text
//!   S loses touch with a topic ── A and B die, A's disk is gone ── dump, recover S ── S serves ── B comes back: refused
//! ```
//! Records that S holds are read, at once where it is in a list of the partition, else after an unclean election. Nothing is
//! written before the right word is typed. A directory in use is refused by both commands.

#[path = "elections/asks.rs"]
mod asks;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use asks::{Node, alter, elect, produce, until, values};
use callboard_cluster_tests::chaos::{Cluster, Options};
use callboard_cluster_tests::process::wire::{Wire, code, name};
use callboard_cluster_tests::process::{HANG, binary};
use kafka_protocol::messages::OffsetCommitRequest;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::protocol::StrBytes;

const KEPT: &str = "kept";
const TORN: &str = "torn";
const ELSEWHERE: &str = "elsewhere";
const GROUP: &str = "readers";
const EX_CONFIG: i32 = 78;

#[test]
fn the_last_disk_of_three_goes_on_alone_when_the_cluster_id_is_typed() -> Result<()> {
    let mut cluster = Cluster::start(&Options::default())?;
    let outcome = last_of_three(&mut cluster);
    outcome.map_err(|error| cluster.story(&error))
}

fn last_of_three(cluster: &mut Cluster) -> Result<()> {
    let node = |number: usize| Node { number, id: cluster.id(number), addr: cluster.addrs()[number] };
    let (a, b, s) = (node(0), node(1), node(2));
    let data = cluster.nodes.nodes[s.number].data();
    let refused = command(&["metadata", "dump"], &data, "")?;
    ensure!(refused.code == EX_CONFIG && refused.err.contains("in use"), "of a running node: {refused:?}");
    survivor_of(cluster, &a, &b, &s)?;
    let cluster_id = dumped(&data, &a, &b, &s)?;
    let before = std::fs::read(data.join("meta.redb"))?;
    for typed in ["no\n", "", &format!("{cluster_id}x\n")] {
        let said = command(&["recover"], &data, typed)?;
        ensure!(said.code == EX_CONFIG && said.err.contains("nothing was changed"), "{said:?}");
        ensure!(std::fs::read(data.join("meta.redb"))? == before, "it was changed by {typed:?}");
    }
    let said = command(&["recover"], &data, &format!("{cluster_id}\n"))?;
    ensure!(said.code == 0, "{said:?}");
    for text in [
        format!("{TORN}-0: ISR [], ELR [{}]: the replica here may lack", a.id),
        format!("{ELSEWHERE}-0: "),
        "no replica is here, so its records are lost".to_owned(),
        format!("voters that are given up: [{}, {}]", a.id.min(b.id), a.id.max(b.id)),
        format!("node {} is the only voter of cluster {cluster_id} from now on, cluster epoch 1", s.id),
    ] {
        ensure!(said.out.contains(&text), "`{text}` is missing in:\n{}", said.out);
    }
    ensure!(!said.out.contains(&format!("{KEPT}-0: ")), "it is whole here:\n{}", said.out);
    // A's disk is gone for good.
    std::fs::remove_dir_all(cluster.nodes.nodes[a.number].data())?;
    cluster.launch(s.number)?;
    cluster.wait_ready(s.number)?;
    alone(&s)?;
    old_disk(cluster, &b)
}

/// S has all of one topic, a part of another one, and nothing of the third; then every node ends.
fn survivor_of(cluster: &mut Cluster, a: &Node, b: &Node, s: &Node) -> Result<()> {
    asks::create(s.addr, KEPT, &[s.id, a.id, b.id], &[])?;
    asks::create(s.addr, TORN, &[a.id, s.id], &[("min.insync.replicas", "1")])?;
    asks::create(s.addr, ELSEWHERE, &[a.id, b.id], &[])?;
    until(s.addr, KEPT, |place| place.leader == s.id && place.isr.len() == 3)?;
    until(s.addr, TORN, |place| place.leader == a.id && place.isr.len() == 2)?;
    produce(s.addr, KEPT, 0..10)?;
    produce(a.addr, TORN, 0..10)?;
    commit(cluster, 7)?;
    cluster.kill(s.number)?;
    until(a.addr, TORN, |place| place.isr == [a.id])?;
    let place = until(a.addr, KEPT, |place| place.leader >= 0 && place.isr.len() == 2)?;
    let leader = if place.leader == a.id { a } else { b };
    produce(a.addr, TORN, 10..15)?;
    produce(leader.addr, KEPT, 10..20)?;
    // S is back in the ISR of the one topic before A is gone, and learns that it is in no list of the other one.
    cluster.kill(a.number)?;
    cluster.launch(s.number)?;
    cluster.wait_ready(s.number)?;
    until(s.addr, KEPT, |place| place.isr.len() == 2 && place.isr.contains(&s.id))?;
    until(s.addr, TORN, |place| place.leader == -1 && place.isr.is_empty())?;
    cluster.kill(b.number)?;
    cluster.kill(s.number)
}

/// The document of the stopped survivor; returns the cluster id.
fn dumped(data: &Path, a: &Node, b: &Node, s: &Node) -> Result<String> {
    let before = files(data)?;
    let said = command(&["metadata", "dump"], data, "")?;
    ensure!(said.code == 0, "{said:?}");
    ensure!(files(data)? == before, "a look changed the directory");
    let document: serde_json::Value = serde_json::from_str(&said.out)?;
    ensure!(document["format"] == 1 && document["node"]["id"] == s.id, "{}", said.out);
    let members: Vec<i64> =
        document["members"].as_array().into_iter().flatten().filter_map(|m| m["id"].as_i64()).collect();
    ensure!(members.len() == 3 && members.contains(&i64::from(b.id)), "{members:?}");
    let torn = document["topics"].as_array().into_iter().flatten().find(|topic| topic["name"] == TORN);
    let torn = torn.context("a topic is missing")?;
    ensure!(torn["configs"]["min.insync.replicas"] == "1", "{torn}");
    ensure!(torn["partitions"][0]["elr"] == serde_json::json!([a.id]), "{torn}");
    let offsets = document["groups"]["offsets"].as_array().context("offsets")?;
    let offset = offsets.iter().find(|offset| offset["group"] == GROUP && offset["topic"] == KEPT);
    let offset = offset.with_context(|| format!("no offset of {GROUP}: {}", document["groups"]))?;
    ensure!(offset["offset"] == 7 && offset["partition"] == 0, "{offset}");
    Ok(document["cluster"]["id"].as_str().context("a cluster id")?.to_owned())
}

/// The survivor serves what it has.
fn alone(s: &Node) -> Result<()> {
    until(s.addr, KEPT, |place| place.leader == s.id && place.isr == [s.id])?;
    // While one replica cannot commit, an operator says that one is enough.
    alter(s.addr, (4, ""), ("min.insync.replicas", "1"))?;
    let read = values(s.addr, KEPT, 20)?;
    ensure!(read == asks::sent(0..20), "{read:?}");
    let said = elect(s.addr, 1, Some((TORN, 0)))?;
    ensure!(said == [(TORN.to_owned(), 0, 0)], "{said:?}");
    let read = values(s.addr, TORN, 10)?;
    ensure!(read == asks::sent(0..10), "{read:?}");
    let said = elect(s.addr, 1, Some((ELSEWHERE, 0)))?;
    ensure!(said == [(ELSEWHERE.to_owned(), 0, 83)], "nobody has a replica: {said:?}");
    produce(s.addr, KEPT, 20..25)?;
    asks::create(s.addr, "after", &[s.id], &[])?;
    produce(s.addr, "after", 0..1)?;
    values(s.addr, KEPT, 25).map(drop)
}

/// A node of the former epoch is refused in words that both sides log, and the survivor goes on.
fn old_disk(cluster: &mut Cluster, b: &Node) -> Result<()> {
    const WORDS: &str = "the cluster was recovered: epoch 0 is over, epoch 1 goes on";
    cluster.launch(b.number)?;
    let line = cluster.nodes.nodes[b.number].lines().wait_for(WORDS, 0, HANG);
    line.with_context(|| format!("node {} does not say that it is refused", b.id)).map(drop)
}

/// Commits an offset of a group that assigns its partitions itself.
fn commit(cluster: &Cluster, offset: i64) -> Result<()> {
    let partition =
        OffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default().with_name(name(KEPT)).with_partitions(vec![partition]);
    let group = StrBytes::from_string(GROUP.to_owned());
    let request = OffsetCommitRequest::default()
        .with_group_id(group.into())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let until = std::time::Instant::now() + HANG;
    loop {
        let coordinator = cluster.map().coordinator(GROUP);
        let said = coordinator.and_then(|addr| Wire::connect(addr)?.call(8, &request));
        let code = said.as_ref().map(|answer| answer.topics[0].partitions[0].error_code);
        match code {
            Ok(code::NONE) => return Ok(()),
            other => ensure!(std::time::Instant::now() < until, "OffsetCommit: {other:?}"),
        }
        std::thread::sleep(callboard_cluster_tests::process::wire::RETRY);
    }
}

#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

/// Runs a command of the binary over a directory.
fn command(words: &[&str], data: &Path, typed: &str) -> Result<Said> {
    let mut command = Command::new(binary()?);
    command.args(words).arg("--data").arg(data);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // A command that reads nothing may have ended.
    let _ = child.stdin.take().context("a stdin")?.write_all(typed.as_bytes());
    let ended = child.wait_with_output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said { code: ended.status.code().unwrap_or(-1), out: text(&ended.stdout), err: text(&ended.stderr) })
}

/// Every file below a directory with its bytes.
fn files(dir: &Path) -> Result<Vec<(std::path::PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push((path.clone(), std::fs::read(&path)?));
        }
    }
    found.sort();
    Ok(found)
}
