//! A power cut of all nodes under a topic of durability `os`: the one fault that may cost acknowledged records.
//!
//! ```text
//!   the load rests ── the topic is written for 3 s ── cut of all ── all return ── which partitions say that they may lack
//!   records? ── these are elected uncleanly ── everything is read, and each loss is held against that
//! ```
//! A sync of any topic covers the shard's whole journal, so nothing else may be written meanwhile. The load's own topic, which
//! is synced, must come back without a hand.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use kafka_protocol::messages::ElectLeadersRequest;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;

use super::super::bench::Bench;
use super::super::fault::{Fault, Promise};
use super::super::machine::Need;
use super::super::map::{Map, ask_at, view_at};
use super::super::round::STUCK;
use crate::process::load::{Script, batch};
use crate::process::wire::{RETRY, Wire, code, name};

/// The commits of the group have ended by then, and so has their last sync.
const REST: Duration = Duration::from_millis(1_500);
const WRITES: Duration = Duration::from_secs(3);
/// A partition that has a leader must tell it by then.
const SETTLES: Duration = Duration::from_secs(10);
const UNCLEAN: i8 = 1;

pub(super) const LIST: &[Fault] = &[Fault {
    id: "F20",
    words: "power cut of all nodes under a topic of durability os",
    needs: &[Need::Wire, Need::Disks],
    nodes: 3,
    promise: Promise::Fsync,
    expected: "records of that topic may be lost, and its partitions say so; the others come back without a hand",
    play: everyone,
}];

/// Acknowledged records of one partition: offset and value.
type Acked = Vec<(i64, Bytes)>;

fn everyone(bench: &mut Bench<'_>) -> Result<String> {
    bench.roles()?;
    let (topic, partitions) = (format!("{}-os", bench.cluster.topic), bench.options.partitions);
    let map = bench.cluster.map();
    map.create(&topic, partitions, 3, &[("callboard.durability", "os")])?;
    bench.work()?.rest(true)?;
    bench.hold(REST);
    let acked = write(&map, &topic, partitions, Script::small(bench.rng.any()))?;
    bench.injected(None, "power cut of all nodes");
    let all: Vec<usize> = (0..bench.count()).collect();
    bench.power_cut(&all)?;
    bench.mount()?;
    bench.cluster.revive()?;
    bench.healed(None);
    bench.work()?.rest(false)?;
    bench.cluster.wait_whole(partitions, STUCK).context("the topic that is synced")?;
    let offline = offline(bench, &topic)?;
    for partition in &offline {
        elect(bench, &topic, *partition)?;
    }
    let told = judged(bench, &map, &topic, &acked, &offline)?;
    map.delete(&topic)?;
    Ok(told)
}

/// Writes to each partition until the time is over.
fn write(map: &Map, topic: &str, partitions: i32, script: Script) -> Result<Vec<Acked>> {
    let until = Instant::now() + WRITES;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..partitions)
            .map(|partition| scope.spawn(move || writer(map, topic, partition, script, until)))
            .collect();
        let ends = writers.into_iter();
        ends.map(|writer| writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?).collect()
    })
}

fn writer(map: &Map, topic: &str, partition: i32, script: Script, until: Instant) -> Result<Acked> {
    let mut acked = Acked::new();
    let producer = u32::try_from(partition)?;
    let (_, addr) = map.view(topic)?.leader(partition).context("it has no leader")?;
    let mut wire = Wire::connect(addr)?;
    let identity = wire.init_producer_id()?;
    let mut n = 0;
    while Instant::now() < until {
        wire.send_batch(topic, partition, -1, batch(script, producer, n, 1, identity, i32::try_from(n)?)?)?;
        match wire.receive_batch()? {
            (code::NONE, offset) => acked.push((offset, script.payload(producer, n))),
            (error, _) => {
                ensure!(code::retriable(error), "{topic}-{partition}: error {error} before the cut");
                std::thread::sleep(RETRY);
                continue;
            }
        }
        n += 1;
    }
    ensure!(!acked.is_empty(), "{topic}-{partition}: nothing was acknowledged");
    Ok(acked)
}

/// Partitions that every node tells without a leader.
fn offline(bench: &mut Bench<'_>, topic: &str) -> Result<BTreeSet<i32>> {
    let until = Instant::now() + SETTLES;
    loop {
        let mut led_by_none = BTreeSet::new();
        let mut agree = true;
        for (n, addr) in bench.cluster.addrs().into_iter().enumerate() {
            let view = view_at(addr, topic)?;
            let own =
                view.places.iter().filter(|(_, place)| place.leader < 0).map(|(partition, _)| *partition);
            let own: BTreeSet<i32> = own.collect();
            agree &= n == 0 || own == led_by_none;
            led_by_none = own;
        }
        if agree && (led_by_none.is_empty() || Instant::now() > until) {
            return Ok(led_by_none);
        }
        ensure!(Instant::now() < until + SETTLES, "nodes do not agree on which partitions have a leader");
        bench.hold(RETRY);
    }
}

/// The operator's word that losses are accepted.
fn elect(bench: &mut Bench<'_>, topic: &str, partition: i32) -> Result<()> {
    let asked = TopicPartitions::default().with_topic(name(topic)).with_partitions(vec![partition]);
    let request = ElectLeadersRequest::default()
        .with_election_type(UNCLEAN)
        .with_topic_partitions(Some(vec![asked]))
        .with_timeout_ms(30_000);
    let until = Instant::now() + STUCK;
    loop {
        let mut said = String::new();
        for addr in bench.cluster.addrs() {
            // A node that is not the controller's passes the question on, or says who is.
            said = format!("{:?}", ask_at(addr, 2, &request));
            if view_at(addr, topic)?.places.get(&partition).is_some_and(|place| place.leader >= 0) {
                return Ok(());
            }
        }
        if Instant::now() > until {
            bail!("{topic}-{partition} has no leader after unclean elections: {said}");
        }
        bench.hold(RETRY);
    }
}

/// Holds what was lost against what was reported.
fn judged(
    bench: &mut Bench<'_>,
    map: &Map,
    topic: &str,
    acked: &[Acked],
    offline: &BTreeSet<i32>,
) -> Result<String> {
    let (mut all, mut lost, mut silent) = (0, 0, Vec::new());
    for (partition, acked) in (0..).zip(acked) {
        let reads = map.read(topic, partition)?;
        let there = |(offset, value): &&(i64, Bytes)| {
            let read = usize::try_from(*offset).ok().and_then(|at| reads.get(at));
            read.is_some_and(|read| read.offset == *offset && read.value == *value)
        };
        let gone = acked.len() - acked.iter().filter(there).count();
        (all, lost) = (all + acked.len(), lost + gone);
        let places = vec![0; bench.count()];
        let logged = format!("{topic}-{partition} is led by node");
        if gone > 0
            && !offline.contains(&partition)
            && bench.cluster.said(usize::MAX, &places, &[&logged]).is_none()
        {
            silent.push(format!("{topic}-{partition}: {gone} of {} acknowledged records", acked.len()));
        }
    }
    if !silent.is_empty() {
        bench.complaints.push(format!("lost without a word: {}", silent.join("; ")));
    }
    Ok(format!(
        "{all} records of os acknowledged while the load rested, {lost} of them lost; partitions {offline:?} were offline until \
         an unclean election"
    ))
}
