//! Settings of a node among others: where it listens for them, which seeds it knows, and the secret that all share.
//!
//! A node with seeds belongs to a cluster, or forms one with them. A node without is alone.

use super::error::ConfigError;
use serde::Deserialize;
use std::path::PathBuf;

/// Where a node with seeds listens for other nodes, unless it is told.
const LISTEN: &str = "0.0.0.0:7946";

/// The cluster port, the seeds and the secret.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Cluster {
    /// Where other nodes connect, by UDP: HOST:PORT; empty takes 0.0.0.0:7946 if there are seeds.
    #[serde(rename = "cluster")]
    pub listen: String,
    /// The nodes that form the cluster, HOST:PORT each, the same list on every node; none: a single node.
    pub seeds: Vec<String>,
    /// File with the secret that all nodes of the cluster share.
    pub cluster_secret_file: PathBuf,
}

impl Cluster {
    /// Whether the node belongs to a cluster.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.seeds.is_empty()
    }

    /// Where the node listens for others.
    #[must_use]
    pub fn address(&self) -> &str {
        if self.listen.is_empty() { LISTEN } else { &self.listen }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for seed in &self.seeds {
            if parts(seed).is_none_or(|(_, port)| port == 0) {
                return Err(ConfigError::value("seeds", seed, "each seed is HOST:PORT"));
            }
        }
        if !self.listen.is_empty() && parts(&self.listen).is_none() {
            return Err(ConfigError::value("cluster", &self.listen, "it takes HOST:PORT"));
        }
        if !self.is_on() && !self.listen.is_empty() {
            let wants =
                "a node with a cluster port needs --seeds: the nodes that form the cluster, itself included";
            return Err(ConfigError::value("cluster", &self.listen, wants));
        }
        if self.is_on() && self.cluster_secret_file.as_os_str().is_empty() {
            let wants =
                "a node with seeds needs --cluster-secret-file: a file with the same secret on every node";
            return Err(ConfigError::value("cluster_secret_file", "\"\"", wants));
        }
        Ok(())
    }
}

/// Host and port of an address; an IPv6 host stands in brackets.
fn parts(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.trim().rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let sound = bare.map_or(!host.is_empty() && !host.contains(':'), |host| !host.is_empty());
    sound.then_some((host, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_needs_seeds_and_a_secret() {
        let seeds = || vec!["a:7946".to_owned(), "[::1]:7946".to_owned()];
        let refused = |cluster: Cluster| cluster.check().unwrap_err().to_string();
        assert!(Cluster::default().check().is_ok());
        assert!(refused(Cluster { listen: "a:1".into(), ..Cluster::default() }).contains("--seeds"));
        assert!(refused(Cluster { seeds: seeds(), ..Cluster::default() }).contains("--cluster-secret-file"));
        for bad in ["a", ":7946", "a:0", "a:x", "::1:7946", ""] {
            let said = refused(Cluster { seeds: vec![bad.to_owned()], ..Cluster::default() });
            assert!(said.contains("HOST:PORT"), "{bad}: {said}");
        }
        let whole = Cluster { seeds: seeds(), cluster_secret_file: "s".into(), ..Cluster::default() };
        assert!(whole.check().is_ok());
        assert_eq!(whole.address(), LISTEN);
    }
}
