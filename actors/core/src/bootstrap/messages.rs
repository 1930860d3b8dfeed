//! The words of the machine that forms a cluster: inputs, effects, and what goes between the nodes.

use super::identity::{ClusterId, Grant, Identity, Seat, Stage};
use super::seeds::SeedList;
use super::words::{Refusal, Word};
use crate::ids::{BrokerId, NodeUuid, ProcessId, Ticket};
use serde::{Deserialize, Serialize};

/// Random values, drawn by the shell at a start. The machine uses those that it has no stored value for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Fresh {
    pub uuid: NodeUuid,
    pub process: ProcessId,
    pub cluster: ClusterId,
    /// Milliseconds, added to each probe interval so that seeds that start together do not probe together.
    pub jitter: u64,
}

/// A node's words about itself when it is probed, over a connection that proved the uuid and the key.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ProbeReply {
    pub uuid: NodeUuid,
    pub key_hash: String,
    pub version: u16,
    pub stage: Stage,
    /// Once its Raft log is not empty: then others can join.
    pub cluster: Option<ClusterId>,
    /// The cluster that this directory is bound to, with a log or without.
    pub bound: Option<ClusterId>,
    /// The whole list, so that both sides can say which entries differ.
    pub seeds: SeedList,
    /// A virgin's promise, by which others see who founds.
    pub grant: Option<Grant>,
    /// It has yes from all seeds.
    pub founding: bool,
}

/// A seed's answer to a founder.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum GrantAnswer {
    /// The whole grant is on disk.
    Yes,
    No(Refusal),
}

/// The end of a JOIN.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum JoinOutcome {
    Joined(BrokerId),
    /// The uuid was removed from the cluster.
    Removed,
    /// Asked again at the next tick.
    Later,
}

/// An event that the machine hears of.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    Started,
    /// The identity of the newest `Store` is synced.
    Stored,
    /// The answer to a `Probe`.
    ProbeAnswered {
        seed: String,
        reply: Box<ProbeReply>,
    },
    Probed(Ticket),
    /// `from` is the uuid that the connection proved.
    GrantAsked {
        ticket: Ticket,
        from: NodeUuid,
        grant: Grant,
    },
    GrantAnswered {
        from: NodeUuid,
        round: u64,
        answer: GrantAnswer,
    },
    /// A Member of this cluster dialled this node.
    Contacted(ClusterId),
    /// The first entry is in this node's Raft log.
    RaftHolds,
    /// This node applied the record `Cluster`.
    Committed(ClusterId),
    JoinAnswered {
        cluster: ClusterId,
        outcome: JoinOutcome,
    },
    /// The cluster says that this node was removed (NODE_REMOVED).
    Dismissed(ClusterId),
    /// The image shows this node's registration unfenced (R20).
    Unfenced,
    Tick,
}

/// An action that the machine wants done.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Write and sync, then say `Stored`. One write is in flight at a time, and a failure ends the process.
    Store(Identity),
    /// Ask the node at this address. The next tick takes the answers that came until then.
    Probe(String),
    AnswerProbe(Ticket, Box<ProbeReply>),
    /// Ask the node at this address, which must prove this uuid.
    AskGrant {
        seed: String,
        uuid: NodeUuid,
        grant: Grant,
    },
    AnswerGrant {
        ticket: Ticket,
        round: u64,
        answer: GrantAnswer,
    },
    /// Open Raft. Connections are taken as `BootstrapMachine::admits` says. A later one replaces an earlier.
    RunRaft {
        cluster: ClusterId,
        node: BrokerId,
    },
    /// `raft.initialize`, unless the log holds something already. Whom the voters elect commits `Cluster` and adds the
    /// learners under their places' ids.
    InitialiseRaft {
        cluster: ClusterId,
        voters: Vec<Seat>,
        learners: Vec<Seat>,
    },
    /// Send a JOIN to any Member of this cluster, at these seeds or over a connection that it dialled.
    Join {
        cluster: ClusterId,
        seeds: Vec<String>,
    },
    /// Member and unfenced: Kafka clients may come.
    OpenListeners,
    /// A log line for the operator. It repeats each tick; the shell writes it when it changes.
    Say(Word),
    /// A connection of a foreign cluster was met and must be closed; a counter rises.
    Alarm(Word),
    /// End the process with these words.
    Stop(Word),
}
