//! The types that openraft is built with.
//!
//! An entry carries one batch of records with the id of its proposal. Everything else is openraft's default: ids of nodes
//! and terms are `u64`, and a leadership is (term, node), never a term alone (R45).

use callboard_core::BrokerId;
use callboard_core::metadata::{Image, Leadership, MetadataRecord, ProposalId};
use openraft::impls::EmptyNode;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// One batch of records on its way through the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub id: ProposalId,
    pub records: Arc<Vec<MetadataRecord>>,
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records of node {} ({})", self.records.len(), self.id.node, self.id.number)
    }
}

openraft::declare_raft_types!(
    /// A node has no payload, because membership holds no addresses. A write answers with its index alone.
    pub TypeConfig: D = Batch, R = (), Node = EmptyNode,
);

/// The position of an entry: leadership and index.
pub type LogId = openraft::alias::LogIdOf<TypeConfig>;
/// A vote, and whether a quorum has granted it.
pub type Vote = openraft::alias::VoteOf<TypeConfig>;
/// One entry of the log.
pub type Entry = openraft::alias::EntryOf<TypeConfig>;
/// A leadership in openraft's words.
pub type Lead = openraft::alias::CommittedLeaderIdOf<TypeConfig>;
/// The voters and learners, with the position of the entry that named them.
pub type Membership = openraft::alias::StoredMembershipOf<TypeConfig>;
/// The position and membership of a snapshot.
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
/// A snapshot is the image itself; only rows and the wire turn it into bytes.
pub type Snapshot = openraft::alias::SnapshotOf<TypeConfig, Arc<Image>>;

/// A node's id in openraft's words. A negative id names no node.
pub fn node_id(broker: BrokerId) -> Option<u64> {
    u64::try_from(broker).ok()
}

/// A node's id in our words; −1 where it is none of ours.
pub fn broker(node: u64) -> BrokerId {
    BrokerId::try_from(node).unwrap_or(-1)
}

/// A leadership in our words.
pub fn leadership(lead: Lead) -> Leadership {
    Leadership { term: lead.term, node: broker(lead.node_id) }
}

/// The index behind a position.
pub fn next(position: Option<LogId>) -> u64 {
    position.map_or(0, |id| id.index.saturating_add(1))
}
