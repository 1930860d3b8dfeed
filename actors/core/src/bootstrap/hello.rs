//! Whom a node refuses on the first words of a connection: a stranger to the cluster, and a directory that is older than
//! the cluster knows (R47).
//!
//! ```text
//!   restored copy:  starts [p1, p2]      committed registration: process p5, incarnation 5   ──> refused
//! ```
//! The connection proved uuid, key and secret before this; a virgin on either side is no stranger, because probes and
//! JOIN come from it.

use super::identity::ClusterId;
use crate::ids::{BrokerEpoch, NodeUuid, ProcessId};
use std::fmt;

/// A peer's words about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    pub version: u16,
    /// A virgin has none.
    pub cluster: Option<ClusterId>,
    pub cluster_epoch: u64,
    pub uuid: NodeUuid,
    pub incarnation: u64,
    /// The starts since its last granted broker epoch, that one included (R46).
    pub processes: Vec<ProcessId>,
    /// The last broker epoch that this directory was granted and has stored; 0 for none.
    pub granted: BrokerEpoch,
}

/// The facts that this node compares with a hello.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Here {
    pub version: u16,
    pub cluster: Option<ClusterId>,
    pub cluster_epoch: u64,
}

/// The last committed word about a uuid, from this node's image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    Registered { process: ProcessId, incarnation: u64, epoch: BrokerEpoch },
    Removed,
}

/// The reason to end a connection. Both sides log it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HelloRefusal {
    Version {
        here: u16,
        there: u16,
    },
    Cluster {
        here: ClusterId,
        there: ClusterId,
    },
    ClusterEpoch {
        here: u64,
        there: u64,
    },
    OtherNode {
        dialled: NodeUuid,
        found: NodeUuid,
    },
    /// The cluster committed another key for this uuid; the composition root compares the two.
    OtherKey,
    OldDirectory,
    Removed,
}

/// Judges a hello. `dialled` is the node that this side meant to reach, if it named one.
#[must_use]
pub fn refuses(
    here: &Here,
    hello: &Hello,
    dialled: Option<NodeUuid>,
    known: Option<Known>,
) -> Option<HelloRefusal> {
    if hello.version != here.version {
        return Some(HelloRefusal::Version { here: here.version, there: hello.version });
    }
    if let Some(dialled) = dialled.filter(|dialled| *dialled != hello.uuid) {
        return Some(HelloRefusal::OtherNode { dialled, found: hello.uuid });
    }
    if let (Some(own), Some(other)) = (&here.cluster, &hello.cluster) {
        if own != other {
            return Some(HelloRefusal::Cluster { here: own.clone(), there: other.clone() });
        }
        if hello.cluster_epoch < here.cluster_epoch {
            return Some(HelloRefusal::ClusterEpoch { here: here.cluster_epoch, there: hello.cluster_epoch });
        }
    }
    match known? {
        Known::Removed => Some(HelloRefusal::Removed),
        Known::Registered { process, incarnation, epoch } => {
            // A later grant than this node's image knows: this node is behind, and the list has gone on.
            let newer = hello.granted > epoch;
            let older = hello.incarnation < incarnation || !(newer || hello.processes.contains(&process));
            older.then_some(HelloRefusal::OldDirectory)
        }
    }
}

impl fmt::Display for HelloRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HelloRefusal::Version { here, there } => {
                write!(f, "protocol version {there} met version {here}; run one release")
            }
            HelloRefusal::Cluster { here, there } => {
                write!(f, "INCONSISTENT_CLUSTER_ID: cluster {there} met cluster {here}")
            }
            HelloRefusal::ClusterEpoch { here, there } => {
                write!(f, "the cluster was recovered: epoch {there} is over, epoch {here} goes on")
            }
            HelloRefusal::OtherNode { dialled, found } => {
                write!(f, "the address leads to node {found} and not to node {dialled}")
            }
            HelloRefusal::OtherKey => f.write_str(
                "the cluster knows this node by another key; restore its node.key, or empty the whole directory",
            ),
            HelloRefusal::OldDirectory => {
                f.write_str("this directory is older than the cluster knows; empty it")
            }
            HelloRefusal::Removed => f.write_str("NODE_REMOVED: the cluster removed this node"),
        }
    }
}
