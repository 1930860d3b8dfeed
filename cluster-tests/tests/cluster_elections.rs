//! Partitions of three nodes whose last in-sync replica is dead: nobody leads them until the topic or an operator gives up
//! what only that replica holds.
//!
//! ```text
//!   A leads, B follows, C keeps the quorum ── B dies ── five records more ── A dies, B comes back ── no leader
//!                                                                  config, ElectLeaders ─> B leads; A cuts its five
//! ```
//! Elections are asked at C, which has no replica, so each answer is that of a node that passes the question on. Metrics and
//! log lines are those that an operator would be alarmed by.

#[path = "elections/asks.rs"]
mod asks;

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use asks::{Answer, Node, alter, describe, elect, metric, produce, until, values};
use callboard_cluster_tests::chaos::{Cluster, Options};

const BY_CONFIG: &str = "by-config";
const BY_OPERATOR: &str = "by-operator";
const UNCLEAN: &str = "callboard_controller_unclean_leader_elections_total";
const OFFLINE: &str = "callboard_controller_offline_partitions";

const PREFERRED_LEADER_NOT_AVAILABLE: i16 = 80;
const ELECTION_NOT_NEEDED: i16 = 84;

struct Roles {
    a: Node,
    b: Node,
    c: Node,
}

#[test]
fn a_partition_whose_records_are_elsewhere_has_a_leader_only_when_someone_gives_them_up() -> Result<()> {
    let mut cluster = Cluster::start(&Options::default())?;
    let outcome = lossy(&mut cluster);
    outcome.map_err(|error| cluster.story(&error))
}

fn lossy(cluster: &mut Cluster) -> Result<()> {
    let node = |number: usize| Node { number, id: cluster.id(number), addr: cluster.addrs()[number] };
    let roles = Roles { a: node(0), b: node(1), c: node(2) };
    let Roles { a, b, c } = &roles;
    for topic in [BY_CONFIG, BY_OPERATOR] {
        asks::create(c.addr, topic, &[a.id, b.id], &[("min.insync.replicas", "1")])?;
        until(c.addr, topic, |place| place.leader == a.id && place.isr.len() == 2)?;
        produce(a.addr, topic, 0..5)?;
    }
    cluster.kill(b.number)?;
    for topic in [BY_CONFIG, BY_OPERATOR] {
        until(a.addr, topic, |place| place.isr == [a.id])?;
        produce(a.addr, topic, 5..10)?;
    }
    cluster.kill(a.number)?;
    cluster.launch(b.number)?;
    cluster.wait_ready(b.number)?;
    for topic in [BY_CONFIG, BY_OPERATOR] {
        until(c.addr, topic, |place| place.leader == -1 && place.isr.is_empty())?;
        let lists = describe(c.addr, topic)?;
        ensure!(lists == (vec![a.id], vec![]), "ELR and last known ELR of {topic}: {lists:?}");
    }
    ensure!(sum(cluster, &roles, OFFLINE)? == 2.0, "two partitions have no leader");
    elections(&roles)?;
    said(cluster, &roles)?;
    returned(cluster, &roles)
}

/// One partition is led because an operator says so, the other one by its config.
fn elections(Roles { a, b, c }: &Roles) -> Result<()> {
    let said = elect(c.addr, 0, Some((BY_OPERATOR, 0)))?;
    ensure!(
        said == [one(BY_OPERATOR, PREFERRED_LEADER_NOT_AVAILABLE)],
        "the preferred leader is dead: {said:?}"
    );
    let said = elect(c.addr, 1, Some((BY_OPERATOR, 0)))?;
    ensure!(said == [one(BY_OPERATOR, 0)], "{said:?}");
    let place = asks::place(c.addr, BY_OPERATOR)?;
    ensure!((place.leader, &place.isr) == (b.id, &vec![b.id]), "answered when it is served here: {place:?}");
    let again = elect(c.addr, 1, Some((BY_OPERATOR, 0)))?;
    ensure!(again == [one(BY_OPERATOR, ELECTION_NOT_NEEDED)], "{again:?}");
    let place = asks::place(c.addr, BY_CONFIG)?;
    ensure!(place.leader == -1, "it was not asked for: {place:?}");
    alter(c.addr, (2, BY_CONFIG), ("unclean.leader.election.enable", "true"))?;
    until(c.addr, BY_CONFIG, |place| place.leader == b.id && place.isr == [b.id])?;
    let nobody = elect(c.addr, 1, None)?;
    ensure!(nobody.is_empty(), "of all partitions none needs an election: {nobody:?}");
    for topic in [BY_CONFIG, BY_OPERATOR] {
        values(b.addr, topic, 5)?;
        let lists = describe(c.addr, topic)?;
        ensure!(lists == (vec![], vec![]), "node {} is in no list any more: {lists:?}", a.id);
    }
    Ok(())
}

fn one(topic: &str, code: i16) -> Answer {
    (topic.to_owned(), 0, code)
}

/// Each election is a line on every node, and counts once.
fn said(cluster: &mut Cluster, roles: &Roles) -> Result<()> {
    for node in [&roles.b, &roles.c] {
        for topic in [BY_CONFIG, BY_OPERATOR] {
            let text = format!("unclean election: {topic}-0 is led by node {}", roles.b.id);
            let lines = cluster.nodes.nodes[node.number].lines();
            let line = lines.wait_for(&text, 0, callboard_cluster_tests::process::HANG);
            let line = line.with_context(|| format!("node {} does not say: {text}", node.id))?;
            ensure!(line.contains(" ERROR ") && line.contains(&format!("ELR [{}]", roles.a.id)), "{line}");
        }
    }
    ensure!(sum(cluster, roles, UNCLEAN)? == 2.0, "two unclean elections");
    ensure!(sum(cluster, roles, OFFLINE)? == 0.0, "every partition has a leader");
    Ok(())
}

/// A follows, cuts what B does not have, and leads again when it is asked for.
fn returned(cluster: &mut Cluster, Roles { a, b, c }: &Roles) -> Result<()> {
    for topic in [BY_CONFIG, BY_OPERATOR] {
        produce(b.addr, topic, 20..21)?;
    }
    cluster.launch(a.number)?;
    cluster.wait_ready(a.number)?;
    for topic in [BY_CONFIG, BY_OPERATOR] {
        until(c.addr, topic, |place| place.leader == b.id && place.isr.len() == 2)?;
    }
    let mut said = elect(c.addr, 0, None)?;
    said.retain(|(topic, ..)| topic.starts_with("by-"));
    said.sort();
    ensure!(said == [one(BY_CONFIG, 0), one(BY_OPERATOR, 0)], "{said:?}");
    for topic in [BY_CONFIG, BY_OPERATOR] {
        until(c.addr, topic, |place| place.leader == a.id)?;
        let read = values(a.addr, topic, 6)?;
        ensure!(read[..5] == asks::sent(0..5) && read[5..] == asks::sent(20..21), "{topic}: {read:?}");
    }
    Ok(())
}

fn sum(cluster: &mut Cluster, roles: &Roles, name: &str) -> Result<f64> {
    let mut of = |node: &Node| -> Result<f64> {
        let http: SocketAddr = cluster.nodes.nodes[node.number].http()?;
        metric(http, name)
    };
    Ok(of(&roles.b)? + of(&roles.c)?)
}
