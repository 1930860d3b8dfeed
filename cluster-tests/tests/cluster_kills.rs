//! Three nodes under a verified load, killed in every way that a user's cluster meets: one after the other, all at once, two
//! of three.
//!
//! No acknowledged record may be lost, be there twice or stand out of order, and the group's place never goes back. Gaps are
//! printed and not asserted: this machine runs other tests too. The same rounds, more of them, are a command for users:
//! `cargo run -p callboard-cluster-tests --release -- chaos`. `CALLBOARD_KILLS` and `CALLBOARD_SEED` change a run here.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use callboard_cluster_tests::chaos::map::{View, view_at};
use callboard_cluster_tests::chaos::{Cluster, Kind, Map, Options, STUCK, Work, finish, outage, run};
use callboard_cluster_tests::process::load::{Script, batch};
use callboard_cluster_tests::process::verdict::{Read, read_partition};
use callboard_cluster_tests::process::wire::{Wire, code};
use callboard_cluster_tests::process::{HANG, say};
use parking_lot::{Mutex, MutexGuard};

const NOT_ENOUGH_REPLICAS: i16 = 19;
/// A produce request is answered within 30 s; this client gives up later.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three nodes, their load and the build machine's other work: one cluster at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock()
}

fn options() -> Options {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let logs = std::env::var_os("CALLBOARD_LOGS").map(Into::into);
    Options {
        kills: number("CALLBOARD_KILLS").unwrap_or(9) as u32,
        seed: number("CALLBOARD_SEED").unwrap_or(20),
        logs,
        ..Options::default()
    }
}

#[test]
fn kills_of_each_kind_lose_nothing() -> Result<()> {
    let _alone = alone();
    let options = options();
    let report = run(&options)?;
    say(&report.to_string());
    ensure!(report.good(), "{report}");
    for kind in Kind::ALL {
        let count = report.rounds.iter().filter(|round| round.kind == kind).count();
        ensure!(count >= options.kills as usize / 3, "{count} kills of a {kind}");
    }
    ensure!(report.bad.is_empty(), "a node's log tells of a panic or an error:\n{}", report.bad.join("\n"));
    Ok(())
}

#[test]
fn all_killed_at_once_come_back_with_everything() -> Result<()> {
    outages(&[("all three", &[0, 1, 2]), ("all three", &[2, 0, 1])])
}

/// The next pair dies while the last one may still be behind, so a pair can hold the only copies.
#[test]
fn pairs_killed_at_once_come_back_with_everything() -> Result<()> {
    outages(&[
        ("nodes 0, 1", &[0, 1]),
        ("nodes 1, 2", &[1, 2]),
        ("nodes 2, 0", &[2, 0]),
        ("nodes 0, 1", &[0, 1]),
    ])
}

fn outages(rows: &[(&str, &[usize])]) -> Result<()> {
    let _alone = alone();
    let options = options();
    let mut cluster = Cluster::start(&options)?;
    let mut work = Work::start(cluster.map(), &options)?;
    for (who, nodes) in rows {
        let fired = outage(&mut cluster, &work, nodes);
        let (ready, moved) = fired.map_err(|error| cluster.story(&error))?;
        let (ready, moved) = (ready.as_millis(), moved.as_millis());
        say(&format!(
            "{who} killed at once: they serve after {ready} ms, each partition moves after {moved} ms"
        ));
    }
    let whole = cluster.wait_whole(work.partitions(), STUCK).map(drop);
    whole.map_err(|error| cluster.story(&error))?;
    let report = finish(&mut cluster, &mut work, Vec::new()).map_err(|error| cluster.story(&error))?;
    ensure!(report.good(), "{report}");
    say(&format!("{} records acknowledged, {} read, none lost", report.counts.acked, report.counts.read));
    Ok(())
}

#[test]
fn a_first_boot_acknowledges() -> Result<()> {
    let _alone = alone();
    let begun = Instant::now();
    let cluster = Cluster::start(&Options { logs: None, ..options() })?;
    let formed = begun.elapsed();
    let map = cluster.map();
    map.create("first", 1, 3, &[])?;
    let mut producer = Producer::new(&map, "first")?;
    producer.acknowledged(&map)?;
    say(&format!(
        "first boot of three: all serve after {} ms, the first record is acknowledged after {} ms",
        formed.as_millis(),
        begun.elapsed().as_millis()
    ));
    Ok(())
}

#[test]
fn one_of_three_acknowledges_nothing_and_reads_on() -> Result<()> {
    let _alone = alone();
    let mut cluster = Cluster::start(&options())?;
    let outcome = alone_of_three(&mut cluster);
    outcome.map_err(|error| cluster.story(&error))
}

fn alone_of_three(cluster: &mut Cluster) -> Result<()> {
    const ALL: &str = "needs-three";
    const TWO: &str = "needs-two";
    let map = cluster.map();
    map.create(ALL, 1, 3, &[("min.insync.replicas", "3")])?;
    map.create(TWO, 1, 3, &[])?;
    let (mut all, mut two) = (Producer::new(&map, ALL)?, Producer::new(&map, TWO)?);
    for _ in 0..20 {
        all.acknowledged(&map)?;
        two.acknowledged(&map)?;
    }
    // The survivor leads both topics: whoever leads `TWO` now stays, and nodes that lead the other one go first.
    let (survivor, _) = map.view(TWO)?.leader(0).context("a leader of one topic")?;
    let (other, _) = map.view(ALL)?.leader(0).context("a leader of the other topic")?;
    let survivor = cluster.number(survivor)?;
    let rest = (0..3).filter(|node| *node != survivor);
    let (mut first, mut second): (Vec<usize>, Vec<usize>) = rest.partition(|node| cluster.id(*node) == other);
    if first.is_empty() {
        first.push(second.remove(0));
    }
    let (first, second) = (first[0], second[0]);
    let addr = cluster.addrs()[survivor];
    let before = read_partition(&mut Wire::connect(addr)?, TWO, 0)?;
    cluster.kill(first)?;
    until(addr, TWO, |view| view.places.get(&0).is_some_and(|place| place.isr.len() == 2))?;
    until(addr, ALL, |view| view.places.get(&0).is_some_and(|place| place.isr.len() == 2))?;
    // With one dead, two of three still acknowledge, and three of three do not.
    two.acknowledged(&map)?;
    let leader = until(addr, ALL, |view| view.leader(0).is_some())?;
    let (leader, place) = leader.leader(0).context("a leader")?;
    let (refused, _) = all.once(place)?;
    ensure!(
        refused == NOT_ENOUGH_REPLICAS,
        "acks=all at node {leader} with 2 of min.insync.replicas=3: {refused}"
    );
    cluster.kill(second)?;
    let begun = Instant::now();
    let (refused, base) = two.once(addr)?;
    ensure!(code::retriable(refused), "acks=all on one of three: error {refused}, base {base}");
    let refused_after = begun.elapsed();
    let alone = map.view(ALL)?.leader(0).filter(|(id, _)| *id == cluster.id(survivor));
    if let Some((_, place)) = alone {
        let (refused, _) = all.once(place)?;
        ensure!(refused == NOT_ENOUGH_REPLICAS, "acks=all with 1 of min.insync.replicas=3: {refused}");
    }
    let now = read_partition(&mut Wire::connect(addr)?, TWO, 0)?;
    ensure!(now.len() > before.len() && now.starts_with(&before), "the survivor's committed records changed");
    cluster.launch(first)?;
    cluster.launch(second)?;
    cluster.wait_ready(first)?;
    cluster.wait_ready(second)?;
    two.acknowledged(&map)?;
    all.acknowledged(&map)?;
    let (_, place) = until(addr, TWO, |view| view.leader(0).is_some())?.leader(0).context("a leader")?;
    let after = read_partition(&mut Wire::connect(place)?, TWO, 0)?;
    ensure!(after.starts_with(&now), "records of before are gone");
    once_each(&after, two.script, two.next)?;
    say(&format!(
        "two of three dead: acks=all answered with error {refused} after {} ms; {} records were still read",
        refused_after.as_millis(),
        now.len()
    ));
    Ok(())
}

/// A batch that was refused is sent again with its sequence number, so each record stands in the log exactly once.
fn once_each(reads: &[Read], script: Script, sent: u64) -> Result<()> {
    let expected: Vec<Vec<u8>> = (0..sent).map(|n| script.payload(0, n).to_vec()).collect();
    let values: Vec<Vec<u8>> = reads.iter().map(|read| read.value.to_vec()).collect();
    ensure!(values == expected, "{} records where each of {sent} should stand once, in order", values.len());
    Ok(())
}

fn until(addr: SocketAddr, topic: &str, good: impl Fn(&View) -> bool) -> Result<View> {
    let until = Instant::now() + HANG;
    loop {
        let view = view_at(addr, topic);
        match view {
            Ok(view) if good(&view) => return Ok(view),
            view if Instant::now() > until => bail!("{topic} at {addr} stays {view:?}"),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// One idempotent producer of one record at a time.
struct Producer {
    topic: &'static str,
    identity: (i64, i16),
    /// Number of the record that is not acknowledged yet.
    next: u64,
    script: Script,
}

impl Producer {
    fn new(map: &Map, topic: &'static str) -> Result<Producer> {
        let addr = *map.view(topic)?.nodes.values().next().context("a node")?;
        let identity = Wire::connect(addr)?.init_producer_id()?;
        Ok(Producer { topic, identity, next: 0, script: Script::small(3) })
    }

    /// Sends the record once and says what the node answers.
    fn once(&mut self, addr: SocketAddr) -> Result<(i16, i64)> {
        let sequence = i32::try_from(self.next)?;
        let bytes = batch(self.script, 0, self.next, 1, self.identity, sequence)?;
        let mut wire = Wire::connect(addr)?.patience(PATIENCE)?;
        wire.send_batch(self.topic, 0, -1, bytes)?;
        let (error, base) = wire.receive_batch()?;
        if error == code::NONE || error == code::DUPLICATE_SEQUENCE_NUMBER {
            self.next += 1;
        }
        Ok((error, base))
    }

    /// Sends the record to whichever node leads until it is acknowledged.
    fn acknowledged(&mut self, map: &Map) -> Result<()> {
        let (until, before) = (Instant::now() + HANG, self.next);
        let mut last = String::new();
        while self.next == before {
            ensure!(Instant::now() < until, "{}: not acknowledged for {HANG:?}: {last}", self.topic);
            let leader = map.view(self.topic).ok().and_then(|view| view.leader(0));
            match leader.map(|(_, addr)| self.once(addr)) {
                Some(Ok((code::NONE, _))) => return Ok(()),
                said => last = format!("{said:?}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}
