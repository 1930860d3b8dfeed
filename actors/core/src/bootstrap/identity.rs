//! The promises of a node, as its `identity` file keeps them. A directory goes one way only, and nothing goes back:
//!
//! ```text
//!   Virgin { draft?, grant?, founding } ──> Joining { cluster } ──> Member { cluster } ──> Removed { cluster }
//!                    └─────────── a granted seed, when `Cluster` is applied ──^
//! ```
//! The shell writes the file; this module says only what belongs in it.

use crate::ids::{BrokerId, NodeUuid, ProcessId};
use crate::mutant::{Mutant, planted};
use serde::{Deserialize, Serialize};

/// A cluster's name, drawn once by the node that founds it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ClusterId(pub String);

impl std::fmt::Display for ClusterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One seed of a grant.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Seat {
    /// Counted from 1 in the sorted seed list; it becomes the node's id.
    pub place: BrokerId,
    pub uuid: NodeUuid,
    pub key_hash: String,
}

/// A founder's plan, and word for word what each seed promises to it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Grant {
    pub asker: NodeUuid,
    /// It rises with each new plan of the same asker.
    pub round: u64,
    pub cluster: ClusterId,
    /// Hash of the seed list.
    pub seeds: u64,
    /// One for each seed, by place.
    pub seats: Vec<Seat>,
}

impl Grant {
    /// The seat of this node.
    #[must_use]
    pub fn seat(&self, uuid: NodeUuid) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.uuid == uuid)
    }

    /// The first members of the Raft group. With one or two seeds that is the founder alone, because two voters are
    /// worse than one.
    #[must_use]
    pub fn voters(&self) -> Vec<&Seat> {
        self.seats.iter().filter(|seat| self.seats.len() > 2 || seat.uuid == self.asker).collect()
    }
}

/// The promises of a node that belongs to no cluster yet.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Promises {
    /// The newest plan that this node asks for. By itself it binds nobody.
    pub draft: Option<Grant>,
    /// The grant that this node said yes to. Only a higher round of the same asker replaces it.
    pub grant: Option<Grant>,
    /// All seeds said yes to the draft, which is also the grant: this node founds, and never asks again.
    pub founding: bool,
}

/// A directory's state on its way into a cluster.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Standing {
    Virgin(Promises),
    Joining {
        cluster: ClusterId,
        /// From the answer to JOIN.
        node: Option<BrokerId>,
    },
    Member {
        cluster: ClusterId,
        node: BrokerId,
    },
    Removed {
        cluster: ClusterId,
    },
}

/// The name of a standing, without its content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Stage {
    Virgin,
    Joining,
    Member,
    Removed,
}

impl Standing {
    /// The part of it that others are told.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self {
            Standing::Virgin(_) => Stage::Virgin,
            Standing::Joining { .. } => Stage::Joining,
            Standing::Member { .. } => Stage::Member,
            Standing::Removed { .. } => Stage::Removed,
        }
    }

    /// The cluster that this directory belongs to for ever. A grant alone is no belonging.
    #[must_use]
    pub fn cluster(&self) -> Option<&ClusterId> {
        match self {
            Standing::Virgin(_) => None,
            Standing::Joining { cluster, .. }
            | Standing::Member { cluster, .. }
            | Standing::Removed { cluster } => Some(cluster),
        }
    }
}

/// The part of `identity` that a cluster's forming needs, synced before anything that rests on it is said.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Drawn once for this directory and never reused (I14).
    pub uuid: NodeUuid,
    /// Rises at each start (R16).
    pub incarnation: u64,
    /// The process id that was granted a broker epoch last, and those of the starts since then (R46).
    pub processes: Vec<ProcessId>,
    pub standing: Standing,
}

/// Starts since the last grant of a broker epoch that are kept (R46).
pub const STARTS_KEPT: usize = 256;

impl Identity {
    /// The identity of an empty directory.
    #[must_use]
    pub fn new(uuid: NodeUuid) -> Self {
        Self { uuid, incarnation: 0, processes: Vec::new(), standing: Standing::Virgin(Promises::default()) }
    }

    /// Enters a start of the process. The first entry, the last granted process, stays.
    pub fn start(&mut self, process: ProcessId) {
        self.incarnation = self.incarnation.saturating_add(1);
        if planted(Mutant::EarlierStartForgotten) {
            self.processes.truncate(1);
        }
        self.processes.push(process);
        if self.processes.len() > STARTS_KEPT + 1 {
            self.processes.remove(1);
        }
    }

    /// Whether a Raft connection with this node is taken, in either direction. A granted seed runs Raft with the nodes of
    /// its grant only; after that the committed membership decides.
    #[must_use]
    pub fn admits(&self, cluster: &ClusterId, peer: NodeUuid) -> bool {
        match &self.standing {
            Standing::Virgin(Promises { grant: Some(grant), .. }) => {
                grant.cluster == *cluster && grant.seat(peer).is_some()
            }
            Standing::Joining { cluster: own, node: Some(_) } | Standing::Member { cluster: own, .. } => {
                own == cluster
            }
            Standing::Virgin(_) | Standing::Joining { node: None, .. } | Standing::Removed { .. } => false,
        }
    }

    /// The cluster whose Raft group this node takes part in, by its promise or by the cluster's word.
    #[must_use]
    pub fn raft_cluster(&self) -> Option<&ClusterId> {
        match &self.standing {
            Standing::Virgin(promises) => promises.grant.as_ref().map(|grant| &grant.cluster),
            standing => standing.cluster(),
        }
    }

    /// The granted broker epoch of this process is stored, so earlier processes need no proof any more.
    pub fn granted(&mut self, process: ProcessId) {
        if let Some(at) = self.processes.iter().position(|known| *known == process) {
            self.processes.drain(..at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(number: u16) -> ProcessId {
        let mut id = [0; 16];
        id[14..].copy_from_slice(&number.to_be_bytes());
        ProcessId(id)
    }

    #[test]
    fn the_granted_process_and_the_newest_starts_stay() {
        let mut identity = Identity::new(NodeUuid([1; 16]));
        identity.start(process(1));
        identity.granted(process(1));
        for number in 2..=300 {
            identity.start(process(number));
        }
        assert_eq!(identity.incarnation, 300);
        assert_eq!(identity.processes.len(), STARTS_KEPT + 1);
        assert_eq!(identity.processes[0], process(1));
        assert_eq!(identity.processes[1], process(45));
        assert_eq!(identity.processes.last(), Some(&process(300)));
        identity.granted(process(299));
        assert_eq!(identity.processes, [process(299), process(300)]);
        identity.granted(process(7));
        assert_eq!(identity.processes, [process(299), process(300)]);
    }

    #[test]
    fn one_or_two_seeds_have_one_voter() {
        let seat = |place: u8| Seat {
            place: place.into(),
            uuid: NodeUuid([place; 16]),
            key_hash: format!("key {place}"),
        };
        let grant = |n: u8| Grant {
            asker: NodeUuid([n; 16]),
            round: 1,
            cluster: ClusterId("c".into()),
            seeds: 0,
            seats: (1..=n).map(seat).collect(),
        };
        let places = |n: u8| grant(n).voters().iter().map(|seat| seat.place).collect::<Vec<_>>();
        assert_eq!(places(1), [1]);
        assert_eq!(places(2), [2]);
        assert_eq!(places(3), [1, 2, 3]);
    }

    #[test]
    fn an_identity_survives_its_file() {
        let mut identity = Identity::new(NodeUuid([1; 16]));
        identity.start(process(1));
        let text = serde_json::to_string(&identity).unwrap();
        assert_eq!(serde_json::from_str::<Identity>(&text).unwrap(), identity);
    }
}
