//! Several brokers that form one cluster on this machine, each with a directory and ports of its own.
//!
//! The list of seeds names every node's UDP port, which stays the same over restarts. A test starts them as a user does on
//! three machines: at once, in any order, without ids.

use std::net::UdpSocket;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::{Broker, HANG, Options};

/// The nodes of one cluster, by number from 0. Node n has the seed n, and not always the id n + 1.
pub struct Nodes {
    pub nodes: Vec<Broker>,
    pub seeds: Vec<String>,
    dir: TempDir,
}

impl Nodes {
    /// Starts so many nodes and waits until each serves.
    pub fn start(count: usize, options: &Options) -> Result<Nodes> {
        let mut nodes = Nodes::new(count, options)?;
        nodes.restart()?;
        Ok(nodes)
    }

    /// Starts all nodes at once, for the first time or again, and waits until each serves.
    pub fn restart(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.launch()?;
        }
        for node in &mut self.nodes {
            node.wait_ready()?;
        }
        Ok(())
    }

    /// Makes nodes that do not run yet.
    pub fn new(count: usize, options: &Options) -> Result<Nodes> {
        // All ports are held until each has been drawn, so that no two nodes get the same.
        let held: Vec<UdpSocket> =
            (0..count).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
        let seeds: Vec<String> =
            held.iter().map(|socket| Ok(socket.local_addr()?.to_string())).collect::<Result<_>>()?;
        drop(held);
        Nodes::at(seeds, |_| options.clone())
    }

    /// Makes nodes with these seeds that do not run yet, each with its own options. A node listens at its seed, unless
    /// its options name another `CALLBOARD_CLUSTER`.
    pub fn at(seeds: Vec<String>, options: impl Fn(usize) -> Options) -> Result<Nodes> {
        let dir = tempfile::Builder::new().prefix("callboard-test-").tempdir().context("a directory")?;
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "a secret of these tests alone\n")?;
        restrict(&secret)?;
        let mut nodes = Vec::with_capacity(seeds.len());
        for (node, seed) in seeds.iter().enumerate() {
            nodes.push(Broker::new(member(&options(node), &seeds, seed, &secret))?);
        }
        Ok(Nodes { nodes, seeds, dir })
    }

    /// The file with the secret of these nodes.
    #[must_use]
    pub fn secret(&self) -> PathBuf {
        self.dir.path().join("secret")
    }

    /// The options of one more node with this seed list, as a member would be started.
    #[must_use]
    pub fn options(&self, options: &Options, seed: &str) -> Options {
        member(options, &self.seeds, seed, &self.secret())
    }

    /// Addresses of Kafka listeners of all nodes, for a client's `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(Broker::bootstrap).collect::<Vec<_>>().join(",")
    }

    /// The node id that a node has said in its log.
    pub fn id(&mut self, node: usize) -> Result<i32> {
        // Lines about partitions name nodes too.
        const SAYS: &str = "INFO cluster ";
        let broker = self.nodes.get_mut(node).context("no such node")?;
        let line = broker.lines().wait_for(SAYS, 0, HANG).context("it does not say its id")?;
        let id = line.split(", node ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
        id.trim().parse().with_context(|| format!("no id in: {line}"))
    }

    /// The number of the node with this id.
    pub fn by_id(&mut self, id: i32) -> Result<usize> {
        for node in 0..self.nodes.len() {
            if self.nodes[node].running() && self.id(node)? == id {
                return Ok(node);
            }
        }
        bail!("no running node has the id {id}")
    }
}

fn member(options: &Options, seeds: &[String], seed: &str, secret: &std::path::Path) -> Options {
    let mut options = options.clone();
    // The last one of a name counts.
    options.env.insert(0, ("CALLBOARD_CLUSTER".to_owned(), seed.to_owned()));
    options
        .with_env("CALLBOARD_SEEDS", seeds.join(","))
        .with_env("CALLBOARD_CLUSTER_SECRET_FILE", secret.display())
}

fn restrict(path: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?)
}
