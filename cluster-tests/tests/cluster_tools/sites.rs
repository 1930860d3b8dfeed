//! The two clusters of three that the tools are asked about: Callboard's, and Apache Kafka's with the same settings.
//!
//! A site says where its nodes are, kills one and starts it again. It knows nothing of the tools.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use callboard_cluster_tests::chaos::map::{quorum_leader_at, view_at};
use callboard_cluster_tests::chaos::{Cluster, Options};
use callboard_cluster_tests::process::wire::RETRY;
use callboard_cluster_tests::process::{HANG, Java, Kafka};

/// Three nodes, by number from 0.
pub trait Site {
    fn addrs(&self) -> Vec<SocketAddr>;
    fn id(&self, node: usize) -> i32;
    fn controller(&mut self) -> Result<usize>;
    fn kill(&mut self, node: usize) -> Result<()>;
    /// Starts it again and waits until it serves.
    fn restart(&mut self, node: usize) -> Result<()>;
    /// The options that give a topic of one replica `min.insync.replicas=1`.
    fn alone(&self) -> &'static str;
    /// An error with what the nodes wrote.
    fn story(&mut self, error: &anyhow::Error) -> anyhow::Error;
}

pub struct Callboard(Cluster);

impl Callboard {
    pub fn start() -> Result<Self> {
        Ok(Self(Cluster::start(&Options::default())?))
    }
}

impl Site for Callboard {
    fn addrs(&self) -> Vec<SocketAddr> {
        self.0.addrs()
    }

    fn id(&self, node: usize) -> i32 {
        self.0.id(node)
    }

    fn controller(&mut self) -> Result<usize> {
        self.0.controller()
    }

    fn kill(&mut self, node: usize) -> Result<()> {
        self.0.kill(node)
    }

    fn restart(&mut self, node: usize) -> Result<()> {
        self.0.launch(node)?;
        self.0.wait_ready(node)
    }

    /// The default is never above the number of replicas.
    fn alone(&self) -> &'static str {
        ""
    }

    fn story(&mut self, error: &anyhow::Error) -> anyhow::Error {
        self.0.story(error)
    }
}

pub struct Kafkas {
    java: PathBuf,
    class_path: String,
    nodes: Vec<Kafka>,
}

impl Kafkas {
    pub fn start(java: &Java, class_path: &str) -> Result<Self> {
        // As Callboard's default, and its election only moves what must move.
        let settings = ["min.insync.replicas=2", "auto.leader.rebalance.enable=false"];
        let nodes = Kafka::start_all(java.program(), class_path, 3, &settings, &[])?;
        let kafkas = Self { java: java.program().to_owned(), class_path: class_path.to_owned(), nodes };
        let until = Instant::now() + HANG;
        for addr in kafkas.addrs() {
            while view_at(addr, "any").map_or(0, |view| view.nodes.len()) < 3 {
                if Instant::now() > until {
                    bail!("{addr} does not tell three nodes");
                }
                std::thread::sleep(RETRY);
            }
        }
        Ok(kafkas)
    }
}

impl Site for Kafkas {
    fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Kafka::addr).collect()
    }

    fn id(&self, node: usize) -> i32 {
        i32::try_from(node + 1).unwrap_or(-1)
    }

    fn controller(&mut self) -> Result<usize> {
        let leader = self.addrs().into_iter().find_map(|addr| quorum_leader_at(addr).ok().flatten());
        let leader = leader.and_then(|id| usize::try_from(id).ok()?.checked_sub(1));
        leader.ok_or_else(|| anyhow!("no node of Kafka tells the leader of the quorum"))
    }

    fn kill(&mut self, node: usize) -> Result<()> {
        self.nodes[node].kill9()
    }

    fn restart(&mut self, node: usize) -> Result<()> {
        self.nodes[node].restart(&self.java, &self.class_path)
    }

    fn alone(&self) -> &'static str {
        " --config min.insync.replicas=1"
    }

    fn story(&mut self, error: &anyhow::Error) -> anyhow::Error {
        let tail = |log: String| log.lines().rev().take(20).collect::<Vec<_>>().join("\n");
        let logs: Vec<String> = self.nodes.iter().map(|node| tail(node.log())).collect();
        anyhow!("{error:#}\n{}", logs.join("\n---\n"))
    }
}
