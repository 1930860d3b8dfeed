//! A cluster with everything that faults take hold of: nodes on the wire, each with a disk of its own, and a load over them.
//!
//! ```text
//!   begin   a load on a topic of its own; every partition whole
//!   …       the fault does its work with the functions here
//!   heal    whatever is broken is mended, so a fault that fails half-way leaves nothing behind
//! ```
//! Where the machine allows no wire or no disks, nodes stand on the loopback and in plain directories. Faults that need more
//! are not played then.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

use super::cluster::Cluster;
use super::disk::{Disk, Frozen};
use super::machine::{Machine, Need};
use super::map::{View, view_at};
use super::options::Options;
use super::round::STUCK;
use super::work::Work;
use crate::process::faults::Faults;
use crate::process::load::Rng;
use crate::process::{Nodes, scratch};
use crate::timeline::Phase;
use crate::wire::Lan;

/// Writes that were under way when a node was stopped have settled after so long.
const QUIET: Duration = Duration::from_millis(150);
const LOOK: Duration = Duration::from_millis(100);

/// The roles of the nodes at one moment, by their numbers.
#[derive(Clone, Debug)]
pub struct Roles {
    pub view: View,
    pub controller: usize,
    /// It leads most partitions of those that are not the controller's node.
    pub leader: usize,
}

/// The cluster and its surroundings.
pub struct Bench<'a> {
    frozen: Option<Frozen>,
    paused: BTreeSet<usize>,
    pub cluster: Cluster,
    work: Option<Work>,
    pub disks: Vec<Disk>,
    lan: Option<Lan>,
    /// A node whose disk can fail, and its faults.
    sick: Option<(usize, Faults)>,
    /// Findings of a play against its expectation, beside losses.
    pub complaints: Vec<String>,
    /// No further play should have this cluster: something of it is broken for good.
    pub spent: bool,
    /// The time of the play's first injection, and of the end of its last one if the play goes on behind it.
    pub first: Option<Instant>,
    pub last: Option<Instant>,
    pub rng: Rng,
    /// The id of the fault that is played.
    name: &'static str,
    /// Ids of the nodes at which it lasts; −1 is none in particular.
    lasting: BTreeSet<i32>,
    pub machine: &'a Machine,
    pub options: Options,
    _dir: TempDir,
}

impl<'a> Bench<'a> {
    /// Starts a cluster with all that the machine allows.
    pub fn start(machine: &'a Machine, options: &Options) -> Result<Bench<'a>> {
        let dir = scratch()?;
        let count = options.nodes;
        let lan = match machine.lacks(Need::Wire) {
            None => Some(Lan::start(machine.tool()?, count, options.seed)?),
            Some(_) => None,
        };
        let disks = match machine.lacks(Need::Disks) {
            None => (0..count)
                .map(|node| Disk::new(dir.path(), &format!("disk{node}")))
                .collect::<Result<Vec<_>>>()?,
            Some(_) => Vec::new(),
        };
        let cluster = Cluster::start_with(options, |start| {
            let placed = |node: usize| {
                let mut start = start.clone();
                start.data = disks.get(node).map(Disk::data);
                if let Some(lan) = &lan {
                    start.listeners = Some(format!("{}:9092", lan.node(node)));
                    start.wrap = lan.wrap(node);
                }
                start
            };
            match &lan {
                Some(lan) => {
                    Nodes::at((0..count).map(|node| format!("{}:7946", lan.node(node))).collect(), placed)
                }
                None => Nodes::new(count, start),
            }
        })?;
        Ok(Bench {
            frozen: None,
            paused: BTreeSet::new(),
            cluster,
            work: None,
            disks,
            lan,
            sick: None,
            complaints: Vec::new(),
            spent: false,
            first: None,
            last: None,
            rng: Rng::new(options.seed),
            name: "",
            lasting: BTreeSet::new(),
            machine,
            options: options.clone(),
            _dir: dir,
        })
    }

    /// Starts a load on a new topic for a fault, with the choices of a seed; returns when every partition moves.
    pub fn begin(
        &mut self,
        fault: &'static str,
        topic: &str,
        topic_durability: Option<&'static str>,
        seed: u64,
    ) -> Result<()> {
        if let Some((node, _)) = self.sick.take() {
            let wrap = self.lan.as_ref().map_or_else(Vec::new, |lan| lan.wrap(node));
            self.rewrap(node, wrap)?;
        }
        self.rng = Rng::new(seed);
        (self.first, self.last) = (None, None);
        self.complaints.clear();
        self.lasting.clear();
        self.name = fault;
        self.cluster.forget();
        let options = Options { topic: topic.to_owned(), topic_durability, seed, ..self.options.clone() };
        self.cluster.topic = topic.to_owned();
        self.work = Some(Work::start(self.cluster.map(), &options)?);
        self.roles().map(drop)
    }

    /// The load of this play; an error before `begin`.
    pub fn work(&self) -> Result<&Work> {
        self.work.as_ref().context("there is no load")
    }

    /// The same, for its end.
    pub fn work_mut(&mut self) -> Result<&mut Work> {
        self.work.as_mut().context("there is no load")
    }

    /// The wire; an error where the machine allows none.
    pub fn lan(&self) -> Result<&Lan> {
        self.lan.as_ref().context("there is no wire")
    }

    /// Nodes of the cluster.
    #[must_use]
    pub fn count(&self) -> usize {
        self.options.nodes
    }

    /// The roles of the nodes, once everything is whole.
    pub fn roles(&mut self) -> Result<Roles> {
        let view = self.cluster.wait_whole(self.options.partitions, STUCK)?;
        let controller = self.cluster.controller()?;
        let led = |node: &usize| {
            let id = self.cluster.id(*node);
            view.places.values().filter(|place| place.leader == id).count()
        };
        let leader = (0..self.count()).filter(|node| *node != controller).max_by_key(led);
        Ok(Roles { controller, leader: leader.context("one node only")?, view })
    }

    /// Notes that a fault begins. It takes the place of what lasts there.
    pub fn injected(&mut self, node: Option<usize>, words: impl Into<String>) {
        self.first.get_or_insert_with(Instant::now);
        self.healed(node);
        let id = node.map_or(-1, |node| self.cluster.id(node));
        self.lasting.insert(id);
        self.cluster.events.note(Phase::Begins, id, self.name, &words.into());
    }

    /// Notes that what was injected there is over.
    pub fn healed(&mut self, node: Option<usize>) {
        let id = node.map_or(-1, |node| self.cluster.id(node));
        if self.lasting.remove(&id) {
            self.cluster.events.note(Phase::Ends, id, self.name, "");
        }
    }

    /// Notes that everything is over.
    pub fn mended(&mut self) {
        for id in std::mem::take(&mut self.lasting) {
            self.cluster.events.note(Phase::Ends, id, self.name, "");
        }
    }

    /// A node that leads nothing and is not the controller's. Some partitions have a replica there, and others have none, if
    /// the cluster is large enough.
    pub fn bystander(&mut self) -> Result<usize> {
        let roles = self.roles()?;
        let has = |node: usize| {
            let id = self.cluster.id(node);
            let with = roles.view.places.values().filter(|place| place.replicas.contains(&id));
            with.count().min(roles.view.places.len().saturating_sub(1))
        };
        let others = (0..self.count()).filter(|node| *node != roles.leader && *node != roles.controller);
        others.min_by_key(|node| usize::from(has(*node) == 0)).context("no third node")
    }

    /// Latencies of partitions with a replica at a node, and of the others: from a time to the first injection, since then,
    /// and in the last seconds.
    pub fn latencies(&self, node: usize, from: Instant) -> Result<String> {
        let (work, id) = (self.work()?, self.cluster.id(node));
        let places = work.view()?.places;
        let (with, without): (Vec<i32>, Vec<i32>) = places
            .keys()
            .partition(|partition| places.get(partition).is_some_and(|p| p.replicas.contains(&id)));
        let of = |partitions: &[i32]| self.latencies_of(work, partitions, from);
        Ok(format!("p99 of partitions there: {}; of others: {}", of(&with), of(&without)))
    }

    fn latencies_of(&self, work: &Work, partitions: &[i32], from: Instant) -> String {
        const LAST: Duration = Duration::from_secs(4);
        if partitions.is_empty() {
            return "there are none".to_owned();
        }
        let now = Instant::now();
        let injected = self.first.unwrap_or(now);
        let ms = |from, to| {
            work.p99(partitions, from, to).map_or("none".to_owned(), |p99| p99.as_millis().to_string())
        };
        let late = now.checked_sub(LAST).map_or(injected, |late| late.max(injected));
        format!(
            "{} ms before, {} ms meanwhile, {} ms in the last {} s",
            ms(from, injected),
            ms(injected, now),
            ms(late, now),
            LAST.as_secs()
        )
    }

    /// Lets a fault last.
    pub fn hold(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
            self.cluster.drain();
        }
    }

    /// Lets a fault last for a time between these, by the seed.
    pub fn hold_some(&mut self, low_ms: u64, high_ms: u64) {
        let time = low_ms + self.rng.below(high_ms.saturating_sub(low_ms) + 1);
        self.hold(Duration::from_millis(time));
    }

    /// Stops a node's process in its steps.
    pub fn pause(&mut self, node: usize) -> Result<()> {
        let pid = self.cluster.nodes.nodes.get(node).and_then(crate::process::Broker::pid);
        kill_process(pid.context("the node does not run")?, Signal::STOP).context("SIGSTOP")?;
        self.paused.insert(node);
        Ok(())
    }

    /// Lets a stopped node go on.
    pub fn resume(&mut self, node: usize) {
        self.paused.remove(&node);
        if let Some(pid) = self.cluster.nodes.nodes.get(node).and_then(crate::process::Broker::pid) {
            // A process that has ended needs no waking.
            let _ = kill_process(pid, Signal::CONT);
        }
    }

    /// Cuts the power of these nodes at once. Their disks stay unmounted until `heal`.
    pub fn power_cut(&mut self, nodes: &[usize]) -> Result<()> {
        nodes.iter().try_for_each(|node| self.pause(*node))?;
        std::thread::sleep(QUIET);
        let tool = self.machine.tool()?;
        for node in nodes {
            self.disks.get_mut(*node).context("the node has no disk")?.power_cut(tool)?;
        }
        for node in nodes {
            self.cluster.kill(*node)?;
            self.paused.remove(node);
        }
        nodes.iter().try_for_each(|node| self.disk(*node)?.unmount())
    }

    fn disk(&mut self, node: usize) -> Result<&mut Disk> {
        self.disks.get_mut(node).context("the node has no disk")
    }

    /// Lets all writes to a node's disk hang until `thaw`.
    pub fn freeze(&mut self, node: usize) -> Result<()> {
        self.frozen = Some(self.disk(node)?.freeze()?);
        Ok(())
    }

    /// Lets a hung disk go on.
    pub fn thaw(&mut self) {
        self.frozen = None;
    }

    /// Starts a node again on a disk that can fail; `fails` says how it fails from then on.
    pub fn sicken(&mut self, node: usize) -> Result<()> {
        let faults = Faults::build()?.context("no faulty disk on this machine")?;
        let mut wrap = self.lan.as_ref().map_or_else(Vec::new, |lan| lan.wrap(node));
        wrap.extend(faults.wrap());
        self.rewrap(node, wrap)?;
        self.sick = Some((node, faults));
        self.roles().map(drop)
    }

    /// Makes a node lead something: others die and return until it does. Returns how many partitions it leads.
    pub fn make_leader(&mut self, node: usize) -> Result<usize> {
        let id = self.cluster.id(node);
        let mut last = 0;
        for _ in 0..2 * self.count() {
            let view = self.roles()?.view;
            let led = view.places.values().filter(|place| place.leader == id).count();
            let other = view.places.values().find(|place| place.leader != id && place.replicas.contains(&id));
            let Some(other) = other.filter(|_| led == 0) else { return Ok(led) };
            last = self.cluster.number(other.leader)?;
            self.cluster.kill(last)?;
            self.await_move(id)?;
            self.cluster.launch(last)?;
            self.cluster.wait_ready(last)?;
        }
        anyhow::bail!("node {id} leads nothing, though node {} and others died", self.cluster.id(last))
    }

    /// How many partitions a node leads, and in how many ISRs it stands, as the first other node that answers says.
    pub fn standing(&self, node: usize) -> Result<(usize, usize)> {
        let id = self.cluster.id(node);
        let others = self.cluster.addrs().into_iter().enumerate().filter(|(other, _)| *other != node);
        let view = others.filter_map(|(_, addr)| view_at(addr, &self.cluster.topic).ok()).next();
        let view = view.context("no other node answers")?;
        let led = view.places.values().filter(|place| place.leader == id).count();
        Ok((led, view.places.values().filter(|place| place.isr.contains(&id)).count()))
    }

    /// Kills a node, and waits until it stands in no ISR.
    pub fn leaves_isrs(&mut self, node: usize) -> Result<()> {
        self.cluster.kill(node)?;
        let until = Instant::now() + STUCK;
        while self.standing(node)?.1 > 0 {
            anyhow::ensure!(Instant::now() < until, "node {} stays in ISRs", self.cluster.id(node));
            self.hold(LOOK);
        }
        Ok(())
    }

    /// Complains if a node still leads something.
    pub fn leads_nothing(&mut self, node: usize, words: &str) -> Result<()> {
        let (led, _) = self.standing(node)?;
        if led > 0 {
            let id = self.cluster.id(node);
            self.complaints.push(format!("node {id} still leads {led} partitions, though {words}"));
        }
        Ok(())
    }

    /// Waits until no partition is led by a node that does not run.
    fn await_move(&mut self, witness: i32) -> Result<()> {
        let witness = self.cluster.number(witness)?;
        let addr = self.cluster.addrs().get(witness).copied().context("no such node")?;
        let until = Instant::now() + STUCK;
        while Instant::now() < until {
            let brokers = self.cluster.nodes.nodes.iter_mut().enumerate();
            let dead: Vec<usize> =
                brokers.filter_map(|(node, broker)| (!broker.running()).then_some(node)).collect();
            let dead: Vec<i32> = dead.into_iter().map(|node| self.cluster.id(node)).collect();
            let view = view_at(addr, &self.cluster.topic);
            if view.is_ok_and(|view| view.places.values().all(|p| p.leader >= 0 && !dead.contains(&p.leader)))
            {
                return Ok(());
            }
            self.hold(LOOK);
        }
        anyhow::bail!("partitions stay with a node that is dead")
    }

    /// Sets the faults of the disk that can fail, in the lines of `faults.c`.
    pub fn fails(&self, rules: &str) -> Result<()> {
        self.sick.as_ref().context("no disk here can fail")?.1.set(rules)
    }

    fn rewrap(&mut self, node: usize, wrap: Vec<String>) -> Result<()> {
        self.cluster.kill(node)?;
        self.cluster.nodes.nodes.get_mut(node).context("no such node")?.set_wrap(wrap);
        self.cluster.launch(node)?;
        self.cluster.wait_ready(node)
    }

    /// Mounts all disks again.
    pub fn mount(&mut self) -> Result<()> {
        self.disks.iter_mut().try_for_each(Disk::mount)
    }

    /// Mends whatever is broken and starts what does not run; returns when each node serves.
    pub fn heal(&mut self) -> Result<()> {
        self.thaw();
        for node in std::mem::take(&mut self.paused) {
            self.resume(node);
        }
        if let Some(lan) = &self.lan {
            lan.heal();
        }
        if self.sick.is_some() {
            self.fails("")?;
        }
        self.mount()?;
        self.disks.iter().try_for_each(Disk::unfill)?;
        self.cluster.revive()
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        // A process on a hung disk cannot be killed, and a stopped one should not stay.
        self.thaw();
        for node in std::mem::take(&mut self.paused) {
            self.resume(node);
        }
    }
}
