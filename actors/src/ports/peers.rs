//! Other nodes, as the actors and adapters of this one need them: questions with answers, and the words of replication.
//!
//! ```text
//!   controller, sessions, Raft ── Calls ──> one stream a question, over the control connection
//!   ReplicaActor ── Replication ──> words and feeds over the data connections ── PartitionHandle::hear ──> ReplicaActor
//! ```
//!
//! A question is bytes to the transport; who asks and who serves agree on their meaning. The ports promise no delivery:
//! a lost word is said again by the machine that said it.

use crate::partition::PartitionHandle;
use bytes::Bytes;
use callboard_core::partition::{Ack, Answer, Cursor, Position};
use callboard_core::{BrokerEpoch, BrokerId, NodeUuid, Peer, TopicPartition};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// The services that a node offers to others. The number goes over the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Service {
    /// Votes, entries and snapshots of the metadata log.
    Raft = 1,
    /// Questions to the controller.
    Ask = 2,
    /// Heartbeats to the judge of sessions.
    Heartbeat = 3,
    /// A seed's question who this node is.
    Probe = 4,
    /// A founder's question for a promise.
    Grant = 5,
    /// The wish of a node to join.
    Join = 6,
    /// A question how far the voters of the metadata log are, for its leader.
    Quorum = 7,
    /// A question whether the node serves the metadata log up to an index. It is answered when it does.
    Served = 8,
}

impl Service {
    /// Reads the number of a service.
    #[must_use]
    pub fn of(number: u8) -> Option<Service> {
        let all = [
            Service::Raft,
            Service::Ask,
            Service::Heartbeat,
            Service::Probe,
            Service::Grant,
            Service::Join,
            Service::Quorum,
            Service::Served,
        ];
        all.into_iter().find(|service| *service as u8 == number)
    }
}

/// Why a question has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CallError {
    /// The question never left this node.
    #[error("not sent: {0}")]
    NotSent(String),
    /// The question may have arrived, and may have been obeyed.
    #[error("no answer: {0}")]
    Lost(String),
    /// The other node does not serve such a question now.
    #[error("refused: {0}")]
    Refused(String),
}

/// Questions to other nodes.
pub trait Calls: Send + Sync + 'static {
    /// Asks a member, which has to prove that it is this node. A heartbeat goes over every control connection with it,
    /// whichever of the two dialled it, and the first answer counts (R45).
    fn call(
        &self,
        to: BrokerId,
        service: Service,
        question: Bytes,
        within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>>;
}

/// The node that asks, as its connection proved it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    pub uuid: NodeUuid,
    /// The hash of its public key, in hex.
    pub key_hash: String,
    /// Its id, if a grant or the image gives it one.
    pub broker: Option<BrokerId>,
    /// The broker epoch that its hello named.
    pub epoch: Option<BrokerEpoch>,
}

/// The answers of this node to the questions of others.
pub trait Serves: Send + Sync + 'static {
    /// Answers one question. An error is told to the asker, as `CallError::Refused`.
    fn serve(
        &self,
        from: Caller,
        service: Service,
        question: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, String>>;
}

/// The words of replication that leave this node. No call waits.
///
/// Words to this node's replicas arrive through [`PartitionHandle::hear`]. The handle's shard names the data connection
/// that a follower uses (R37).
pub trait Replication: Send + Sync + 'static {
    /// Keeps a data connection from the replica's shard to this node. `Heard::Linked` comes at once if it is up, and
    /// with each new connection.
    fn follow(&self, replica: &Arc<PartitionHandle>, leader: BrokerId);

    /// The replica no longer needs the connection.
    fn unfollow(&self, replica: &Arc<PartitionHandle>, leader: BrokerId);

    /// Sends a follower's Position. A newer one of the same replica replaces one that has not left.
    fn position(&self, replica: &Arc<PartitionHandle>, to: BrokerId, position: Position);

    /// Sends a follower's acknowledgement. A newer one of the same replica replaces one that has not left.
    fn ack(&self, replica: &Arc<PartitionHandle>, to: BrokerId, ack: Ack);

    /// Answers a Position that the leader did not accept.
    fn reply(&self, id: TopicPartition, to: Peer, answer: Answer);

    /// Begins a feed at this cursor, in place of any former one to that node. The first part leaves at once.
    fn feed(&self, replica: &Arc<PartitionHandle>, cursor: Cursor);

    /// Ends the feed to a node.
    fn unfeed(&self, id: TopicPartition, to: BrokerId);
}

/// No other node exists: a single node replicates nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl Replication for NoPeers {
    fn follow(&self, _replica: &Arc<PartitionHandle>, _leader: BrokerId) {}
    fn unfollow(&self, _replica: &Arc<PartitionHandle>, _leader: BrokerId) {}
    fn position(&self, _replica: &Arc<PartitionHandle>, _to: BrokerId, _position: Position) {}
    fn ack(&self, _replica: &Arc<PartitionHandle>, _to: BrokerId, _ack: Ack) {}
    fn reply(&self, _id: TopicPartition, _to: Peer, _answer: Answer) {}
    fn feed(&self, _replica: &Arc<PartitionHandle>, _cursor: Cursor) {}
    fn unfeed(&self, _id: TopicPartition, _to: BrokerId) {}
}
