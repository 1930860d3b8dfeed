//! The quorum of the metadata log as a port: who votes, and how far each voter is, for whoever watches the cluster.
//!
//! Each kind of metadata log answers for itself. In a cluster only the leader knows how far the others are, so the answer
//! may come from another node and take a while. The port changes nothing about the quorum.

use callboard_core::{BrokerId, DirectoryId};
use futures_util::future::BoxFuture;

/// A node of the metadata log, as its leader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumNode {
    pub id: BrokerId,
    /// The data directory that holds its log, if it has said it.
    pub directory: Option<DirectoryId>,
    /// The offset behind its last entry, or −1 if the leader has not heard of it.
    pub log_end: i64,
    /// When the leader last heard of it, in milliseconds since 1970; −1 is never.
    pub last_fetch_ms: i64,
    /// When it last had all that the leader had, in the same unit; −1 is never.
    pub last_caught_up_ms: i64,
}

/// The quorum at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct QuorumState {
    pub leader: BrokerId,
    /// The term of its leadership.
    pub epoch: i32,
    /// The offset behind the last committed entry.
    pub high_watermark: i64,
    pub voters: Vec<QuorumNode>,
    /// Nodes that receive the log and do not vote.
    pub observers: Vec<QuorumNode>,
}

/// The voters' word on this node's leadership of the metadata log.
pub trait Majority: Send + Sync + 'static {
    /// Milliseconds since this node sent what a majority of the voters has answered; none if it does not lead, or has no
    /// answer yet.
    fn answered_ms(&self) -> Option<u64>;
}

/// The metadata log's quorum.
pub trait Quorum: Send + Sync + 'static {
    /// The quorum as its leader sees it now; none while no leader can be asked.
    fn state(&self) -> BoxFuture<'_, Option<QuorumState>>;

    /// Whether this node leads the metadata log, as far as it knows; the controller works there.
    fn leads(&self) -> bool;
}
