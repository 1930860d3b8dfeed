//! Directories and ports of a cluster on this machine: the usual ports where they are free, else any free ones.
//!
//! A port that is free now may be taken before the node opens it. The node then says so and ends, as anywhere else.

use anyhow::Context as _;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Ports that are tried first; each next node tries the next one.
const KAFKA: u16 = 9092;
const HTTP: u16 = 9644;
const CLUSTER: u16 = 7946;

/// The place of one node.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its place among the nodes, from 0 on; its key is one higher.
    pub number: usize,
    /// The arguments that start it there.
    pub arguments: Vec<String>,
}

/// The places of all nodes.
#[derive(Debug)]
pub struct Places {
    directory: PathBuf,
    stays: bool,
    nodes: Vec<Place>,
    kafka: Vec<SocketAddr>,
}

impl Places {
    /// Makes the directory and chooses ports for so many nodes.
    pub fn choose(nodes: u32, data: Option<PathBuf>) -> anyhow::Result<Places> {
        let stays = data.is_some();
        let directory = match data {
            Some(data) => data,
            None => std::env::temp_dir().join(format!("callboard-dev-{}", uuid::Uuid::new_v4().simple())),
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .with_context(|| format!("{}: the directory could not be made", directory.display()))?;
        let secret = secret(&directory)?;
        let (mut kafka, mut http, mut cluster) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..u16::try_from(nodes)? {
            kafka.push(tcp(KAFKA + number)?);
            http.push(tcp(HTTP + number)?);
            cluster.push(udp(CLUSTER + number)?);
        }
        let seeds: Vec<String> = cluster.iter().map(ToString::to_string).collect();
        let place = |number: usize| {
            let data = directory.join(format!("node{}", number + 1)).display().to_string();
            let mut arguments = vec!["start".to_owned()];
            let mut say = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
            say("--data", data);
            say("--kafka", kafka[number].to_string());
            say("--http", http[number].to_string());
            if nodes > 1 {
                say("--cluster", cluster[number].to_string());
                say("--seeds", seeds.join(","));
                say("--cluster-secret-file", secret.display().to_string());
            }
            Place { number, arguments }
        };
        let nodes = (0..kafka.len()).map(place).collect();
        Ok(Places { directory: directory.clone(), stays, nodes, kafka: kafka.clone() })
    }

    /// The place of each node.
    pub fn nodes(&self) -> impl Iterator<Item = Place> + '_ {
        self.nodes.iter().cloned()
    }

    /// The addresses for clients, as a client takes them.
    pub fn bootstrap(&self) -> String {
        let all: Vec<String> = self.kafka.iter().map(ToString::to_string).collect();
        all.join(",")
    }

    /// The directory of the cluster.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the directory stays when the cluster ends.
    pub fn stays(&self) -> bool {
        self.stays
    }

    /// Removes the directory, unless an operator named it.
    pub fn clean(self) -> anyhow::Result<()> {
        if self.stays {
            return Ok(());
        }
        let shown = self.directory.display();
        fs::remove_dir_all(&self.directory).with_context(|| format!("{shown}: it could not be removed"))
    }
}

/// The file with the secret of the cluster. One that is there is kept, because the nodes' directories know it.
fn secret(directory: &Path) -> anyhow::Result<PathBuf> {
    let path = directory.join("secret");
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match file {
        Ok(mut file) => {
            let random = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(|id| id.simple().to_string());
            file.write_all(random.concat().as_bytes())?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("{}: it could not be made", path.display())),
    }
    Ok(path)
}

/// The wanted TCP port of this machine if it is free, else another.
fn tcp(wanted: u16) -> anyhow::Result<SocketAddr> {
    let at = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    Ok(at(wanted).or_else(|_| at(0)).context("no port is free")?.local_addr()?)
}

/// The wanted UDP port of this machine if it is free, else another.
fn udp(wanted: u16) -> anyhow::Result<SocketAddr> {
    let at = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
    Ok(at(wanted).or_else(|_| at(0)).context("no port is free")?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_ports_and_a_directory_of_its_own_and_all_goes_again() {
        let places = Places::choose(3, None).unwrap();
        let directory = places.directory().to_owned();
        let mut seen = std::collections::BTreeSet::new();
        for place in places.nodes() {
            let own = |flag: &str| {
                let at = place.arguments.iter().position(|argument| argument == flag).unwrap();
                place.arguments[at + 1].clone()
            };
            for flag in ["--data", "--kafka", "--http", "--cluster"] {
                assert!(seen.insert((flag, own(flag))), "{flag} of node {}", place.number);
            }
            assert_eq!(own("--seeds").split(',').count(), 3);
        }
        places.clean().unwrap();
        assert!(!directory.exists());
    }

    #[test]
    fn a_directory_that_an_operator_names_stays_with_its_secret() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("cluster");
        let read = || fs::read_to_string(data.join("secret")).unwrap();
        Places::choose(2, Some(data.clone())).unwrap().clean().unwrap();
        let first = read();
        Places::choose(2, Some(data.clone())).unwrap().clean().unwrap();
        assert_eq!(read(), first);
        assert!(first.len() >= 16);
    }
}
