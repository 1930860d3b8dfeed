//! Seeds are names, and the addresses behind them change: for all nodes at once while they are down, and for some while
//! the others run.
//!
//! ```text
//!   hosts file   n1 127.0.0.2   n2 127.0.0.3   n3 127.0.0.4      one port on all of them
//!   later        n1 127.0.0.3   n2 127.0.0.4   n3 127.0.0.2      an old address leads to another node
//! ```
//! Each node sees a hosts file of the test at `/etc/hosts`, in a mount namespace of its own, which needs no privilege.
//! A node keeps its directory, and with it its id; its peers must find it behind the name.

use std::fs::{File, OpenOptions};
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::chaos::Map;
use callboard_cluster_tests::chaos::map::view_at;
use callboard_cluster_tests::process::{Broker, HANG, Nodes, Options, find_program, run, say, scratch};
use serde_json::Value;
use tempfile::TempDir;

use crate::records::{Records, patiently};

/// Addresses of this machine. All have the same length, so that a file of them keeps its length.
const PLACES: [&str; 4] = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
const TOPIC: &str = "named";
const PARTITIONS: u16 = 4;

/// The hosts file that all nodes of a test see.
struct Hosts {
    dir: TempDir,
    file: File,
}

impl Hosts {
    /// A file with these addresses; `None` where a user may make no mount namespace.
    fn new(places: [&str; 3]) -> Result<Option<Hosts>> {
        let dir = scratch()?;
        let path = dir.path().join("hosts");
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let hosts = Hosts { dir, file };
        hosts.lead_to(places)?;
        let Some(unshare) = find_program("unshare") else { return Ok(None) };
        let wrap = hosts.wrap();
        let args = [wrap[1..].iter().map(String::as_str).collect(), vec!["cat", "/etc/hosts"]].concat();
        let seen = run(&unshare, &args, |_| ())?;
        Ok((seen.status.success() && seen.stdout == std::fs::read(&path)?).then_some(hosts))
    }

    /// Changes the file in place, because the nodes have mounted this very file. One write of the same length shows no
    /// reader half a file.
    fn lead_to(&self, places: [&str; 3]) -> Result<()> {
        let [one, two, three] = places;
        let text = format!("127.0.0.1 localhost\n{one} n1\n{two} n2\n{three} n3\n");
        Ok(self.file.write_all_at(text.as_bytes(), 0)?)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("hosts")
    }

    /// The program and arguments that start a node which sees the file.
    fn wrap(&self) -> Vec<String> {
        let script = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
        let path = self.path().to_string_lossy().into_owned();
        ["unshare", "-rm", "sh", "-c", script, &path].map(str::to_owned).to_vec()
    }
}

/// Three nodes behind names.
struct Site {
    nodes: Nodes,
    hosts: Hosts,
    places: [&'static str; 3],
    port: u16,
}

impl Site {
    fn start() -> Result<Option<Site>> {
        let places = [PLACES[0], PLACES[1], PLACES[2]];
        let Some(hosts) = Hosts::new(places)? else {
            say(
                "NOT RUN: names that lead elsewhere: this machine lets nobody mount a hosts file (unshare -rm)",
            );
            return Ok(None);
        };
        let port = patiently(free_on_all)?;
        let seeds = ["n1", "n2", "n3"].map(|name| format!("{name}:{port}"));
        let nodes = Nodes::at(seeds.to_vec(), |node| {
            let options = Options { wrap: hosts.wrap(), ..Options::default() };
            options.with_env("CALLBOARD_CLUSTER", format!("{}:{port}", places[node]))
        })?;
        let mut site = Site { nodes, hosts, places, port };
        site.nodes.restart()?;
        Ok(Some(site))
    }

    /// Moves the names; nodes listen at their new places from their next start on.
    fn move_to(&mut self, places: [&'static str; 3]) -> Result<()> {
        for (node, place) in self.nodes.nodes.iter_mut().zip(places) {
            node.set_env("CALLBOARD_CLUSTER", format!("{place}:{}", self.port));
        }
        self.places = places;
        self.hosts.lead_to(places)
    }

    fn map(&self) -> Map {
        Map::new(self.nodes.nodes.iter().map(Broker::addr).collect())
    }

    /// Starts nodes again; returns when they serve at their places.
    fn launch(&mut self, nodes: &[usize]) -> Result<()> {
        for node in nodes {
            self.nodes.nodes[*node].launch()?;
        }
        for node in nodes {
            let broker = &mut self.nodes.nodes[*node];
            broker.wait_ready()?;
            let says = format!("listening for other nodes on {}:{} (udp)", self.places[*node], self.port);
            if broker.lines().wait_for(&says, 0, HANG).is_none() {
                return Err(broker.broken(&format!("it does not say `{says}`")));
            }
        }
        Ok(())
    }

    /// Waits until these nodes describe each partition with so many replicas in the ISR.
    fn wait_isr(&self, nodes: &[usize], count: usize) -> Result<()> {
        nodes.iter().try_for_each(|node| {
            let addr = self.nodes.nodes[*node].addr();
            patiently(|| {
                let view = view_at(addr, TOPIC)?;
                let full = |partition: &i32| {
                    let place = view.places.get(partition);
                    place.is_some_and(|place| place.leader > 0 && place.isr.len() == count)
                };
                ensure!((0..i32::from(PARTITIONS)).all(|partition| full(&partition)), "{addr}: {view:?}");
                Ok(())
            })
        })
    }

    /// Each node's identity on disk, and the id that it tells.
    fn who(&mut self) -> Result<Vec<(i32, [Value; 4])>> {
        (0..self.nodes.nodes.len())
            .map(|node| Ok((self.nodes.id(node)?, identity(&self.nodes.nodes[node].data())?)))
            .collect()
    }

    /// An error with the last lines of all nodes.
    fn story(&mut self, error: &anyhow::Error) -> anyhow::Error {
        let tails = self.nodes.nodes.iter().map(|node| node.lines().tail(30)).collect::<Vec<_>>();
        anyhow::anyhow!("{error:#}\n{}", tails.join("\n"))
    }
}

/// A port that is free on all places.
fn free_on_all() -> Result<u16> {
    let first = UdpSocket::bind((PLACES[0], 0))?;
    let port = first.local_addr()?.port();
    let _held = PLACES[1..]
        .iter()
        .map(|place| UdpSocket::bind((*place, port)))
        .collect::<std::io::Result<Vec<_>>>()?;
    Ok(port)
}

/// The ids of a node that its directory keeps for ever.
fn identity(data: &Path) -> Result<[Value; 4]> {
    let text = std::fs::read_to_string(data.join("identity"))?;
    let (json, _) = text.trim_end().rsplit_once('\n').context("an identity without a checksum")?;
    let json: Value = serde_json::from_str(json)?;
    let fields = ["cluster_id", "node_uuid", "node_id", "directory_id"].map(|field| json[field].clone());
    ensure!(!fields.iter().any(Value::is_null), "a field is missing: {text}");
    Ok(fields)
}

#[test]
fn all_stop_and_return_with_each_others_addresses() -> Result<()> {
    rotated(|nodes| nodes.iter_mut().try_for_each(Broker::stop))
}

#[test]
fn all_are_killed_and_return_with_each_others_addresses() -> Result<()> {
    rotated(|nodes| nodes.iter_mut().try_for_each(Broker::kill9))
}

fn rotated(end: impl Fn(&mut [Broker]) -> Result<()>) -> Result<()> {
    let Some(mut site) = Site::start()? else { return Ok(()) };
    let outcome = rotate(&mut site, end);
    outcome.map_err(|error| site.story(&error))
}

fn rotate(site: &mut Site, end: impl Fn(&mut [Broker]) -> Result<()>) -> Result<()> {
    let map = site.map();
    let mut records = Records::new(&map, TOPIC, PARTITIONS)?;
    let who = site.who()?;
    // Twice, so that a name also moves away from an address that was not its first.
    for _ in 0..2 {
        records.more(&map, 10)?;
        end(&mut site.nodes.nodes)?;
        let [one, two, three] = site.places;
        site.move_to([two, three, one])?;
        site.launch(&[0, 1, 2])?;
        ensure!(site.who()? == who, "the nodes were {who:?} and are {:?}", site.who()?);
        site.wait_isr(&[0, 1, 2], 3)?;
        records.more(&map, 10)?;
        records.are_there(&map)?;
    }
    Ok(())
}

#[test]
fn nodes_return_at_other_addresses_while_the_rest_runs() -> Result<()> {
    let Some(mut site) = Site::start()? else { return Ok(()) };
    let outcome = while_the_rest_runs(&mut site);
    outcome.map_err(|error| site.story(&error))
}

fn while_the_rest_runs(site: &mut Site) -> Result<()> {
    let map = site.map();
    let mut records = Records::new(&map, TOPIC, PARTITIONS)?;
    let who = site.who()?;
    records.more(&map, 10)?;
    // One returns where no node was before.
    site.nodes.nodes[0].kill9()?;
    site.wait_isr(&[1, 2], 2)?;
    records.more(&map, 10)?;
    site.move_to([PLACES[3], PLACES[1], PLACES[2]])?;
    site.launch(&[0])?;
    site.wait_isr(&[0, 1, 2], 3)?;
    records.more(&map, 10)?;
    // Two return with each other's addresses: the address that the third one used last is that of the wrong node.
    site.nodes.nodes[1].kill9()?;
    site.nodes.nodes[2].kill9()?;
    site.move_to([PLACES[3], PLACES[2], PLACES[1]])?;
    site.launch(&[1, 2])?;
    site.wait_isr(&[0, 1, 2], 3)?;
    ensure!(site.who()? == who, "the nodes were {who:?} and are {:?}", site.who()?);
    records.more(&map, 10)?;
    records.are_there(&map)
}
