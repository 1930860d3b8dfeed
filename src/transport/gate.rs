//! The composition root's knowledge that connections need: this node's words about itself, and its judgement of others.
//!
//! The root builds it from the identity file, the image and the machine of the bootstrap. A gate answers at once and
//! from memory: it is asked during each hello. It opens no connection.

use callboard_core::bootstrap::hello::{Hello, HelloRefusal};
use callboard_core::{BrokerEpoch, BrokerId, NodeUuid};

/// A node that this one may dial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The node that an address has to prove.
    pub uuid: NodeUuid,
    /// Candidates as HOST:PORT. A name is resolved at each dial, because addresses change.
    pub addresses: Vec<String>,
}

/// The judgement of hellos, and the addresses of nodes.
pub trait Gate: Send + Sync {
    /// This node's words about itself, now.
    fn hello(&self) -> Hello;

    /// The broker epoch that was granted to this process.
    fn epoch(&self) -> Option<BrokerEpoch>;

    /// Judges a peer that has proved the secret. `dialled` is the node that this side meant to reach.
    fn judge(&self, hello: &Hello, key_hash: &str, dialled: Option<NodeUuid>) -> Result<(), HelloRefusal>;

    /// Hears each hello that was accepted, of dialled nodes and of those that dialled.
    fn met(&self, hello: &Hello);

    /// The id of a node, if a grant or the image gives it one.
    fn broker_of(&self, uuid: NodeUuid) -> Option<BrokerId>;

    /// Where a node is found, and which node it has to be.
    fn member(&self, node: BrokerId) -> Option<Member>;
}
