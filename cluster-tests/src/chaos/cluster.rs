//! The nodes of one cluster as processes: who is who, which of them is the controller's, what their logs say.
//!
//! A node's number is its place in the list; its id is what the cluster calls it. The controller's node is asked by
//! DescribeQuorum. A cluster that does not answer it yet is read by its logs: `<T5-N2:Q>` is the vote for node 2 in term 5
//! that a majority has granted. All lines go to files on request, because a failure's story begins long before its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;

use super::map::{Map, View, quorum_at, view_at};
use super::options::Options;
use crate::process::{HANG, Nodes, Options as Start};
use crate::timeline::{Events, KILL, Phase, Told};

const OFFSETS: &str = "__consumer_offsets";
/// Each round waits for all partitions of the offsets topic too; few of them are enough.
const CONFIG: &str = "group_initial_rebalance_delay_ms = 100\noffsets_topic_num_partitions = 5\n";
/// Time between two looks at every node.
const LOOK: Duration = Duration::from_millis(25);

/// The nodes of one cluster.
pub struct Cluster {
    pub nodes: Nodes,
    ids: Vec<i32>,
    files: Vec<Option<File>>,
    /// Lines of each node's present run that have been read.
    marks: Vec<usize>,
    /// The newest term that some log knows a leader of, and this leader.
    vote: (u64, i32),
    bad: Vec<String>,
    /// Nodes that were started and did not say yet that they serve.
    starting: BTreeSet<usize>,
    /// The topic whose partitions are waited for.
    pub topic: String,
    /// The faults of this run, and restarts.
    pub events: Events,
    /// Elections and ISR changes, as the logs tell them.
    pub told: Told,
    /// From the first start to the last node's word that it serves.
    pub formed: Duration,
    /// Read at each start of a node.
    _config: NamedTempFile,
}

impl Cluster {
    /// Starts all nodes at once and waits until each serves.
    pub fn start(options: &Options) -> Result<Cluster> {
        Cluster::start_with(options, |start| Nodes::new(options.nodes, start))
    }

    /// Starts nodes that the caller makes of the options that all of them share.
    pub fn start_with(options: &Options, make: impl FnOnce(&Start) -> Result<Nodes>) -> Result<Cluster> {
        let config = NamedTempFile::new().context("a configuration file")?;
        std::fs::write(config.path(), CONFIG)?;
        let env = options.env.clone();
        let start = Start { shards: options.shards, durability: options.durability, env, ..Start::default() }
            .with_env("CALLBOARD_CONFIG", config.path().display());
        let mut nodes = make(&start)?;
        let begun = Instant::now();
        for node in &mut nodes.nodes {
            node.launch()?;
        }
        for node in &mut nodes.nodes {
            node.wait_ready()?;
        }
        let formed = begun.elapsed();
        let ids = (0..options.nodes).map(|node| nodes.id(node)).collect::<Result<Vec<_>>>()?;
        let files = ids.iter().map(|id| log_file(options.logs.as_deref(), *id)).collect::<Result<_>>()?;
        let (marks, topic) = (vec![0; options.nodes], options.topic.clone());
        let (events, told) = (Events::default(), Told::default());
        Ok(Cluster {
            nodes,
            ids,
            files,
            marks,
            vote: (0, -1),
            bad: Vec::new(),
            starting: BTreeSet::new(),
            topic,
            events,
            told,
            formed,
            _config: config,
        })
    }

    /// A map of all Kafka addresses.
    #[must_use]
    pub fn map(&self) -> Map {
        Map::new(self.addrs())
    }

    /// Kafka addresses by the nodes' numbers.
    #[must_use]
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.nodes.iter().map(crate::process::Broker::addr).collect()
    }

    /// The id of a node.
    #[must_use]
    pub fn id(&self, node: usize) -> i32 {
        self.ids.get(node).copied().unwrap_or(-1)
    }

    /// The number of the node with this id.
    pub fn number(&self, id: i32) -> Result<usize> {
        self.ids.iter().position(|known| *known == id).with_context(|| format!("no node has the id {id}"))
    }

    /// Kills a node as a power cut would end its process.
    pub fn kill(&mut self, node: usize) -> Result<()> {
        self.node(node)?.kill9()?;
        self.events.note(Phase::Begins, self.id(node), KILL, "");
        self.drain();
        Ok(())
    }

    /// Starts a node again and returns at once.
    pub fn launch(&mut self, node: usize) -> Result<()> {
        self.drain();
        self.marks[node] = 0;
        self.events.note(Phase::Notes, self.id(node), KILL, "its process starts");
        self.node(node)?.launch()?;
        self.starting.insert(node);
        Ok(())
    }

    /// Waits until a node says that it serves.
    pub fn wait_ready(&mut self, node: usize) -> Result<()> {
        self.node(node)?.wait_ready()?;
        self.starting.remove(&node);
        self.events.note(Phase::Ends, self.id(node), KILL, "");
        Ok(())
    }

    /// Ends a node that must not serve, if it still runs. It counts as down.
    pub fn give_up(&mut self, node: usize) -> Result<()> {
        self.starting.remove(&node);
        if !self.node(node)?.gone() {
            self.node(node)?.kill9()?;
        }
        self.drain();
        Ok(())
    }

    fn node(&mut self, node: usize) -> Result<&mut crate::process::Broker> {
        self.nodes.nodes.get_mut(node).context("no such node")
    }

    /// Whether all nodes run; else which one has ended.
    pub fn all_run(&mut self) -> Result<()> {
        for (node, id) in self.ids.iter().enumerate() {
            if !self.nodes.nodes[node].running() {
                bail!("node {id} ended by itself");
            }
        }
        Ok(())
    }

    /// The number of the node that leads the metadata log.
    pub fn controller(&mut self) -> Result<usize> {
        let until = Instant::now() + HANG;
        let mut last = String::new();
        while Instant::now() < until {
            self.drain();
            for addr in self.addrs() {
                match quorum_at(addr) {
                    Ok(Some(vote)) => {
                        // The leader that founded the cluster stands in no log.
                        self.vote = self.vote.max(vote);
                        return self.number(vote.1);
                    }
                    Ok(None) if self.vote.1 >= 0 => return self.number(self.vote.1),
                    Ok(None) => last = "no vote stands in the logs".to_owned(),
                    Err(error) => last = format!("{error:#}"),
                }
            }
            std::thread::sleep(LOOK);
        }
        bail!("no node tells the leader of the metadata log: {last}")
    }

    /// Waits until every node describes every partition with its full ISR; returns one description.
    pub fn wait_whole(&mut self, partitions: i32, limit: Duration) -> Result<View> {
        let until = Instant::now() + limit;
        loop {
            let seen: Vec<Result<View>> =
                self.addrs().into_iter().map(|addr| whole_at(addr, &self.topic, partitions)).collect();
            if seen.iter().all(Result::is_ok) {
                return seen.into_iter().next().context("there is no node")?;
            }
            self.all_run()?;
            if Instant::now() > until {
                let says = |(node, view): (usize, &Result<View>)| {
                    let words = view.as_ref().err().map_or("whole".to_owned(), |e| format!("{e:#}"));
                    format!("node {}: {words}", self.id(node))
                };
                let says: Vec<String> = seen.iter().enumerate().map(says).collect();
                bail!("no full ISR everywhere within {limit:?}:\n{}", says.join("\n"));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Places in the logs of all nodes, to look for what they say from now on.
    #[must_use]
    pub fn places(&self) -> Vec<usize> {
        self.nodes.nodes.iter().map(|node| node.lines().seen()).collect()
    }

    /// The first line of another node than `victim` since these places that holds one of the texts; the first text wins.
    #[must_use]
    pub fn said(&self, victim: usize, places: &[usize], texts: &[&str]) -> Option<String> {
        let others = || self.nodes.nodes.iter().zip(places).enumerate().filter(|(node, _)| *node != victim);
        texts.iter().find_map(|text| {
            others().find_map(|(_, (node, place))| {
                node.lines().since(*place).into_iter().find(|line| line.contains(text))
            })
        })
    }

    /// Reads the new lines of all logs: to the files, for votes, and for words that a healthy node does not say.
    pub fn drain(&mut self) {
        for (node, broker) in self.nodes.nodes.iter().enumerate() {
            let lines = broker.lines().since(self.marks[node]);
            self.marks[node] = self.marks[node].max(broker.lines().seen());
            for line in lines {
                self.told.line(&line);
                if let Some(vote) = granted(&line) {
                    self.vote = self.vote.max(vote);
                }
                if (line.contains("panicked") || line.contains(" ERROR ")) && self.bad.len() < 100 {
                    self.bad.push(format!("node {}: {line}", self.ids[node]));
                }
                if let Some(file) = &mut self.files[node] {
                    // A full disk must not end a run that tells of a loss.
                    let _ = writeln!(file, "{line}");
                }
            }
        }
    }

    /// The newest term that some log knows a leader of.
    pub fn term(&mut self) -> u64 {
        self.drain();
        self.vote.0
    }

    /// Starts the nodes that do not run, those too that ended by themselves, and waits until each serves.
    pub fn revive(&mut self) -> Result<()> {
        self.drain();
        let gone: Vec<usize> = (0..self.ids.len()).filter(|node| self.nodes.nodes[*node].gone()).collect();
        gone.iter().try_for_each(|node| self.launch(*node))?;
        let starting: Vec<usize> = self.starting.iter().copied().collect();
        starting.into_iter().try_for_each(|node| self.wait_ready(node))
    }

    /// Drops the events and the news so far, for a timeline that begins now.
    pub fn forget(&mut self) {
        self.drain();
        (self.events, self.told) = (Events::default(), Told::default());
    }

    /// Panics and errors in the logs so far.
    #[must_use]
    pub fn bad(&self) -> &[String] {
        &self.bad
    }

    /// An error that shows the last lines of every node.
    pub fn story(&mut self, error: &anyhow::Error) -> anyhow::Error {
        self.drain();
        let nodes = self.nodes.nodes.iter().enumerate();
        let tails: Vec<String> =
            nodes.map(|(n, node)| format!("--- node {}\n{}", self.id(n), node.lines().tail(40))).collect();
        anyhow::anyhow!("{error:#}\n{}", tails.join("\n"))
    }
}

fn log_file(dir: Option<&Path>, id: i32) -> Result<Option<File>> {
    let Some(dir) = dir else { return Ok(None) };
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let path = dir.join(format!("node-{id}.log"));
    let file = OpenOptions::new().create(true).append(true).open(&path);
    Ok(Some(file.with_context(|| path.display().to_string())?))
}

fn whole_at(addr: SocketAddr, topic: &str, partitions: i32) -> Result<View> {
    let view = view_at(addr, topic)?;
    let offsets = view_at(addr, OFFSETS)?;
    ensure!(view.places.len() == usize::try_from(partitions)?, "{} partitions are told", view.places.len());
    let broken = |places: &BTreeMap<i32, super::map::Place>, topic: &str| {
        let not = places.iter().filter(|(_, place)| !place.whole());
        not.map(|(n, p)| format!("{topic}-{n}: leader {}, ISR {:?}", p.leader, p.isr)).collect::<Vec<_>>()
    };
    let not = [broken(&view.places, topic), broken(&offsets.places, OFFSETS)].concat();
    ensure!(not.is_empty(), "{}", not.join("; "));
    Ok(view)
}

/// Term and node of a vote that a majority has granted: `<T5-N2:Q>`, or what each node says of a new leader.
fn granted(line: &str) -> Option<(u64, i32)> {
    const LEADS: &str = " leads the metadata log, term ";
    if let Some((before, term)) = line.split_once(LEADS) {
        return Some((term.trim().parse().ok()?, before.rsplit(' ').next()?.parse().ok()?));
    }
    let before = line.rfind(":Q>").and_then(|end| line.get(..end))?;
    let vote = before.get(before.rfind("<T")? + 2..)?;
    let (term, node) = vote.split_once("-N")?;
    Some((term.parse().ok()?, node.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_granted_vote_names_the_controller() {
        assert_eq!(granted("INFO vote is changing from <T1-N2:-> to <T12-N3:Q>"), Some((12, 3)));
        assert_eq!(granted("INFO vote is changing from <T0-N1:-> to <T1-N2:->"), None);
        assert_eq!(granted("get_initial_state: vote: <T1-N2:Q>, last_purged_log_id: None"), Some((1, 2)));
        assert_eq!(granted("INFO controller: node 3 leads the metadata log, term 12"), Some((12, 3)));
        assert_eq!(granted("nothing"), None);
    }
}
