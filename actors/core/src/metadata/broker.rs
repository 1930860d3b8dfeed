//! A node as the cluster knows it: what it said when it registered, and what the controller has decided about it since.
//!
//! A registration begins one life of the node's process, and its index in the metadata log names that life (I13). A
//! node of a cluster starts fenced: it leads nothing and is in no ISR until it has caught up (R20).
//!
//! This file says what a missing field of an older build means. It decides nothing about nodes.

use crate::ids::{BrokerEpoch, BrokerId, DirectoryId, NodeUuid, Peer, ProcessId, TopicPartition};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Synced journal positions: by directory, and in it by shard. A recorded position never falls (R46).
pub type SyncedPositions = BTreeMap<DirectoryId, BTreeMap<u16, u64>>;

/// The security protocol of a listener, under Kafka's names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Protocol {
    #[serde(rename = "PLAINTEXT")]
    Plaintext,
    #[serde(rename = "SSL")]
    Ssl,
    #[serde(rename = "SASL_PLAINTEXT")]
    SaslPlaintext,
    #[serde(rename = "SASL_SSL")]
    SaslSsl,
}

/// An address at which a node serves clients.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Listener {
    pub name: String,
    pub host: String,
    pub port: u16,
    pub protocol: Protocol,
}

impl Listener {
    /// A listener without encryption and authentication, under Kafka's usual name.
    #[must_use]
    pub fn plaintext(host: impl Into<String>, port: u16) -> Listener {
        Listener { name: "PLAINTEXT".to_owned(), host: host.into(), port, protocol: Protocol::Plaintext }
    }
}

/// The feature levels that a build can run at. The cluster runs at one of them, which all of its nodes can.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LevelRange {
    pub min: i16,
    pub max: i16,
}

impl LevelRange {
    /// Whether a build of this range can run at a level.
    #[must_use]
    pub fn holds(self, level: i16) -> bool {
        (self.min..=self.max).contains(&level)
    }
}

/// The levels of this build. Level 0 is a directory of a build that kept no level. Level 1 has the records that a
/// cluster needs; it leaves `min.insync.replicas` of a single node at 1.
pub const LEVELS: LevelRange = LevelRange { min: 0, max: 1 };

/// The name under which clients are told the feature level.
pub const FEATURE: &str = "callboard.version";

/// What a process says of itself when it registers.
///
/// A field that a stored registration lacks is empty: its build did not keep it. An unknown id equals no other id.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Registration {
    pub broker: BrokerId,
    pub uuid: Option<NodeUuid>,
    pub process: Option<ProcessId>,
    /// How often the node has started.
    pub incarnation: u64,
    /// The hash of the node's public key, in hex (RELIABILITY §11.1).
    pub key_hash: Option<String>,
    pub directories: Vec<DirectoryId>,
    /// Host and port of the UDP socket for other nodes.
    pub cluster_address: Option<String>,
    pub listeners: Vec<Listener>,
    pub rack: Option<String>,
    pub levels: LevelRange,
    /// Where the node's journals end, as its recovery found them.
    pub synced: SyncedPositions,
    /// The starts of this directory since its last granted broker epoch, that one included (R46). The controller judges
    /// them, and its record keeps none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessId>,
    /// Replicas that may lack bytes which they acknowledged. The node names what its recovery found; the controller adds
    /// what it knows better before it records the registration (R46).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unclean: Vec<TopicPartition>,
}

/// A registered node of the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Broker {
    pub id: BrokerId,
    /// The index of the node's last registration. It is 0 in a snapshot of a build that did not keep it.
    pub epoch: BrokerEpoch,
    /// A fenced node leads nothing and is in no ISR.
    pub fenced: bool,
    /// The node ends soon: it is given no leadership and joins no ISR.
    pub shutting_down: bool,
    pub listeners: Vec<Listener>,
    pub rack: Option<String>,
    pub uuid: Option<NodeUuid>,
    pub process: Option<ProcessId>,
    pub incarnation: u64,
    pub key_hash: Option<String>,
    pub directories: Vec<DirectoryId>,
    pub cluster_address: Option<String>,
    /// The levels of the node's build.
    pub feature_level: LevelRange,
    /// The highest journal positions that this node was ever heard to have synced.
    pub synced: SyncedPositions,
    /// Replicas that came back unclean and have not left their ISR or ELR yet. Each election leaves them out.
    pub unclean: BTreeSet<TopicPartition>,
}

impl Broker {
    /// A node that has just registered, after whatever was known of it before.
    #[must_use]
    pub fn registered(
        said: Registration,
        epoch: BrokerEpoch,
        fenced: bool,
        before: Option<&Broker>,
    ) -> Broker {
        let mut synced = before.map(|before| before.synced.clone()).unwrap_or_default();
        raise(&mut synced, &said.synced);
        // A replica that an earlier start named stays named until it has left.
        let mut unclean = before.map(|before| before.unclean.clone()).unwrap_or_default();
        unclean.extend(said.unclean);
        Broker {
            id: said.broker,
            epoch,
            fenced,
            shutting_down: false,
            listeners: said.listeners,
            rack: said.rack,
            uuid: said.uuid,
            process: said.process,
            incarnation: said.incarnation,
            key_hash: said.key_hash,
            directories: said.directories,
            cluster_address: said.cluster_address,
            feature_level: said.levels,
            synced,
            unclean,
        }
    }

    /// This life of the node.
    #[must_use]
    pub fn peer(&self) -> Peer {
        Peer { broker: self.id, epoch: self.epoch }
    }

    /// Whether the node may lead and join ISRs.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.shutting_down
    }

    /// Host and port of the listener that clients are told where nothing names another.
    #[must_use]
    pub fn address(&self) -> (&str, u16) {
        self.listeners.first().map_or(("", 0), |listener| (&listener.host, listener.port))
    }
}

/// Takes over the positions that are higher than the known ones.
pub fn raise(known: &mut SyncedPositions, heard: &SyncedPositions) {
    for (directory, shards) in heard {
        let known = known.entry(*directory).or_default();
        for (shard, position) in shards {
            let at = known.entry(*shard).or_default();
            *at = (*at).max(*position);
        }
    }
}

/// A broker of a snapshot. Builds without listeners stored one host and one port.
#[derive(Deserialize)]
struct Stored {
    id: BrokerId,
    #[serde(default)]
    epoch: BrokerEpoch,
    #[serde(default)]
    fenced: bool,
    #[serde(default)]
    shutting_down: bool,
    #[serde(default)]
    listeners: Vec<Listener>,
    host: Option<String>,
    port: Option<u16>,
    rack: Option<String>,
    uuid: Option<NodeUuid>,
    process: Option<ProcessId>,
    #[serde(default)]
    incarnation: u64,
    key_hash: Option<String>,
    #[serde(default)]
    directories: Vec<DirectoryId>,
    cluster_address: Option<String>,
    #[serde(default)]
    feature_level: LevelRange,
    #[serde(default)]
    synced: SyncedPositions,
    #[serde(default)]
    unclean: BTreeSet<TopicPartition>,
}

impl From<Stored> for Broker {
    fn from(stored: Stored) -> Broker {
        let mut listeners = stored.listeners;
        if let (Some(host), Some(port)) = (stored.host, stored.port) {
            listeners.push(Listener::plaintext(host, port));
        }
        Broker {
            id: stored.id,
            epoch: stored.epoch,
            fenced: stored.fenced,
            shutting_down: stored.shutting_down,
            listeners,
            rack: stored.rack,
            uuid: stored.uuid,
            process: stored.process,
            incarnation: stored.incarnation,
            key_hash: stored.key_hash,
            directories: stored.directories,
            cluster_address: stored.cluster_address,
            feature_level: stored.feature_level,
            synced: stored.synced,
            unclean: stored.unclean,
        }
    }
}
