//! SIGSTOP to the controller's node under a verified load: a short pause changes nothing, a long one costs it every office.
//!
//! ```text
//!   short, 1 s     nobody is fenced, the term and every leader stay                          CALLBOARD_PAUSES, else 5
//!   long, 7.5 s    fenced and replaced; the others go on; on waking it acknowledges nothing of its old epochs
//! ```
//! The long pause comes with requests under way at the paused node: some sent before, some while it stands still, because
//! its kernel goes on accepting. Each of the former must end in an error, in the end of its connection, or in a true
//! acknowledgement: its records stand in the final log, once, where the answer says. None of the latter may be acknowledged,
//! because others lead when the node first sees them. A machine that stands still by itself for longer than a
//! pause makes a round void: the test sees that on its own clock, and says so.

#[path = "cluster_pauses/direct.rs"]
mod direct;
#[path = "cluster_pauses/places.rs"]
mod places;
#[path = "cluster_pauses/pulse.rs"]
mod pulse;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::chaos::map::{View, quorum_leader_at};
use callboard_cluster_tests::chaos::{Cluster, Options, STUCK, Work, finish};
use callboard_cluster_tests::process::wire::RETRY;
use callboard_cluster_tests::process::{HANG, say};
use direct::Direct;
use parking_lot::{Mutex, MutexGuard};
use places::Commits;
use pulse::Pulse;
use rustix::process::{Signal, kill_process};

const SHORT: Duration = Duration::from_secs(1);
/// Twice the longest fail-over of a controller that was measured, and more.
const LONG: Duration = Duration::from_millis(7_500);
/// A pause that this machine made longer than that says nothing about a pause of a second.
const OVERRUN: Duration = Duration::from_millis(200);
const DIRECT: &str = "direct";
const DIRECT_PARTITIONS: i32 = 3;

/// Three nodes and their load: one cluster at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock()
}

fn pauses() -> u32 {
    std::env::var("CALLBOARD_PAUSES").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

fn options() -> Options {
    Options { seed: 7, logs: std::env::var_os("CALLBOARD_LOGS").map(Into::into), ..Options::default() }
}

/// A stopped node. Drop wakes it, so that a failing test leaves none behind.
struct Stopped(rustix::process::Pid, Instant);

impl Stopped {
    fn new(cluster: &Cluster, node: usize) -> Result<Stopped> {
        let pid = cluster.nodes.nodes[node].pid().context("the node does not run")?;
        kill_process(pid, Signal::STOP).context("SIGSTOP")?;
        Ok(Stopped(pid, Instant::now()))
    }

    /// Wakes it; returns for how long it stood still.
    fn wake(self) -> Duration {
        self.1.elapsed()
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // A process that has ended needs no waking.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// Leaders and epochs of partitions, which a short pause must not change.
fn offices(view: &View) -> Vec<(i32, i32, i32)> {
    view.places.iter().map(|(n, place)| (*n, place.leader, place.epoch)).collect()
}

/// Changes that the nodes' logs tell since these places.
fn changes(cluster: &Cluster, places: &[usize], text: &str) -> Vec<String> {
    let nodes = cluster.nodes.nodes.iter().zip(places);
    let lines = nodes.flat_map(|(node, place)| node.lines().since(*place));
    lines.filter(|line| line.contains(text)).collect()
}

const FENCED: &str = " is fenced, broker epoch ";
const TERM: &str = " leads the metadata log, term ";

/// Runs this under the verified load, and judges the load at the end.
fn under_load(pause: fn(&mut Cluster, &Work) -> Result<()>) -> Result<()> {
    let _alone = alone();
    let options = options();
    let mut cluster = Cluster::start(&options)?;
    let mut work = Work::start(cluster.map(), &options).map_err(|error| cluster.story(&error))?;
    let outcome = pause(&mut cluster, &work);
    if outcome.is_err() {
        work.stop();
    }
    outcome.map_err(|error| cluster.story(&error))?;
    let report = finish(&mut cluster, &mut work, Vec::new()).map_err(|error| cluster.story(&error))?;
    ensure!(report.good(), "{report}");
    Ok(())
}

#[test]
fn a_second_of_sleep_costs_the_controller_nothing() -> Result<()> {
    under_load(short_pauses)
}

fn short_pauses(cluster: &mut Cluster, work: &Work) -> Result<()> {
    let (mut counted, mut void, mut longest, mut slept) = (0, 0, Duration::ZERO, Duration::ZERO);
    while counted < pauses() {
        let before = cluster.wait_whole(work.partitions(), STUCK).context("before the pause")?;
        let node = cluster.controller()?;
        let places = cluster.places();
        let pulse = Pulse::start();
        let begun = Instant::now();
        let stopped = Stopped::new(cluster, node)?;
        std::thread::sleep(SHORT);
        let pause = stopped.wake();
        let woken = Instant::now();
        answers(cluster, node)?;
        work.moves_on(woken, STUCK, || cluster.all_run()).context("after the pause")?;
        let after = cluster.wait_whole(work.partitions(), STUCK).context("after the pause")?;
        let end = Instant::now();
        let still = pulse.longest();
        let gap = (0..work.partitions()).map(|partition| work.gap(partition, begun, end)).max();
        let gap = gap.unwrap_or_default();
        let fenced = changes(cluster, &places, FENCED);
        let terms = changes(cluster, &places, TERM);
        let same = offices(&before) == offices(&after) && cluster.controller()? == node;
        let quiet = fenced.is_empty() && terms.is_empty() && same;
        if !quiet && (still > OVERRUN || pause > SHORT + OVERRUN) {
            say(&format!("void: this machine stood still for {still:?}, the pause took {pause:?}"));
            void += 1;
            ensure!(void <= pauses(), "this machine stands still too often");
            continue;
        }
        ensure!(
            quiet,
            "a pause of {pause:?} of node {} (this machine: {still:?}): fenced {fenced:?}, terms {terms:?}, \
             {before:?} became {after:?}",
            cluster.id(node)
        );
        counted += 1;
        (longest, slept) = (longest.max(gap), slept.max(still));
    }
    say(&format!(
        "{counted} pauses of {SHORT:?}: 0 fenced, 0 new terms, {void} void; longest gap {} ms, this machine stood still \
         for at most {} ms",
        longest.as_millis(),
        slept.as_millis()
    ));
    Ok(())
}

/// Waits until the node itself answers and names a leader of the metadata log.
fn answers(cluster: &Cluster, node: usize) -> Result<()> {
    let until = Instant::now() + HANG;
    while !matches!(quorum_leader_at(cluster.addrs()[node]), Ok(Some(_))) {
        ensure!(Instant::now() < until, "node {} does not answer after its pause", cluster.id(node));
        std::thread::sleep(RETRY);
    }
    Ok(())
}

#[test]
fn a_long_sleep_costs_the_controller_every_office() -> Result<()> {
    under_load(long_pause)
}

fn long_pause(cluster: &mut Cluster, work: &Work) -> Result<()> {
    let map = cluster.map();
    map.create(DIRECT, DIRECT_PARTITIONS, 3, &[])?;
    cluster.wait_whole(work.partitions(), STUCK).context("before the pause")?;
    let node = cluster.controller()?;
    let (id, addr, places) = (cluster.id(node), cluster.addrs()[node], cluster.places());
    let led = map.view(DIRECT)?.places.into_iter().filter(|(_, place)| place.leader == id);
    let led: Vec<(i32, i32)> = led.map(|(partition, place)| (partition, place.epoch)).collect();
    ensure!(!led.is_empty(), "node {id} leads nothing of {DIRECT}");
    let here: Vec<_> = led.iter().map(|(partition, _)| (*partition, addr)).collect();
    let mut direct = Direct::connect(DIRECT, 0, &here)?;
    let mut commits = Commits::of_node(&map, addr)?;
    direct.acknowledged()?;
    commits.acknowledged(1)?;
    direct.send(20)?;
    commits.send(2)?;
    let stopped = Stopped::new(cluster, node)?;
    let begun = Instant::now();
    // The kernel of a stopped process accepts bytes.
    direct.asleep();
    direct.send(20)?;
    commits.send(3)?;
    let others = (0..3).filter(|other| *other != node).map(|other| cluster.addrs()[other]);
    let others: Vec<_> = others.collect();
    let replaced = direct::led_by_others(&others, DIRECT, id)?;
    let replaced_after = begun.elapsed();
    let there = |(partition, _): &(i32, i32)| Some((*partition, replaced.leader(*partition)?.1));
    let there: Vec<_> = led.iter().filter_map(there).collect();
    let mut others = Direct::connect(DIRECT, 100, &there)?;
    others.acknowledged()?;
    work.acks(1_000, STUCK, || Ok(())).context("while the old controller sleeps")?;
    let moved_after = begun.elapsed();
    direct.send(10)?;
    std::thread::sleep(LONG.saturating_sub(begun.elapsed()));
    let pause = stopped.wake();
    let answers = direct.answers()?;
    others.acknowledged()?;
    let others_said = others.answers()?;
    let committed = commits.answers()?;
    self::answers(cluster, node)?;
    cluster.wait_whole(work.partitions(), STUCK).context("after the long pause")?;
    ensure!(cluster.controller()? != node, "node {id} still leads the metadata log after {pause:?}");
    for text in [FENCED, TERM] {
        ensure!(!changes(cluster, &places, text).is_empty(), "no node's log says `{text}` after {pause:?}");
    }
    for (partition, epoch) in &led {
        let now = replaced.places.get(partition).context("a partition is gone")?;
        ensure!(now.leader != id && now.epoch > *epoch, "{DIRECT}-{partition}: {now:?} after epoch {epoch}");
    }
    direct.judge(&map, &answers)?;
    others.judge(&map, &others_said)?;
    commits.judge(&map, &committed)?;
    let mut said: BTreeMap<Option<i16>, u32> = BTreeMap::new();
    for answer in &answers {
        *said.entry(answer.said.map(|(error, _)| error)).or_default() += 1;
    }
    say(&format!(
        "a pause of {} ms of node {id}: replaced after {} ms, 1,000 records more after {} ms; answers to batches sent to it, \
         by error code: {said:?}; to commits: {committed:?}",
        pause.as_millis(),
        replaced_after.as_millis(),
        moved_after.as_millis(),
    ));
    Ok(())
}
