//! The words that travel outside of data connections: between a node and the controller, and between clients and nodes.

use callboard_core::Reject;
use callboard_core::metadata::controller::{Ask, Reply};
use callboard_core::partition::Appended;
use callboard_core::sessions::Heartbeat;

use crate::sim::batch::Batch;
use crate::sim::faults::{NodeIx, PartIx};

/// A message between two nodes on a control connection. Each has a stream of its own, so they may overtake each other.
#[derive(Clone, Debug)]
pub struct Control {
    pub from: NodeIx,
    /// The life of the process that sent it.
    pub life: u64,
    pub word: Word,
}

/// The content of such a message.
#[derive(Clone, Debug)]
pub enum Word {
    /// A question, by the sender's own number.
    Ask(u64, Ask),
    /// The answer to the question of this number; it is for this life of the asker.
    Reply(u64, Reply),
    Heartbeat(Heartbeat),
}

/// The subject of a node's question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum About {
    Registration,
    Opened,
    /// The proposer's own number.
    Isr(u64),
    /// No machine waits for the answer.
    Other,
}

/// The broker's answer to a client.
pub type Said = Result<Appended, Reject>;

/// A client's request to a partition's leader.
#[derive(Clone, Copy, Debug)]
pub enum Want {
    /// Append a batch, for this producer.
    Produce { producer: usize, sequence: i32, batch: Batch },
    /// DeleteRecords up to this percentage of the log.
    Delete { percent: u64 },
}

/// A request that was sent to a node.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub want: Want,
    pub part: PartIx,
    pub node: NodeIx,
    /// The life of the node's process that it was sent to.
    pub life: u64,
    pub arrived: bool,
    /// The node has answered.
    pub answered: bool,
    /// The client waits no longer.
    pub given_up: bool,
    /// The answer has come to the client.
    pub heard: bool,
}
