//! The types openraft is built with, and the two payloads of the probe.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One numbered entry, padded to the size of a small metadata batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cmd {
    pub seq: u64,
    pub pad: String,
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seq {}", self.seq)
    }
}

/// What `apply` answers: the index at which the entry was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub index: u64,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "index {}", self.index)
    }
}

openraft::declare_raft_types!(
    /// Everything else is openraft's default: u64 ids and terms, `leader_id_adv`, `BasicNode`.
    pub TypeConfig: D = Cmd, R = Reply,
);

pub type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub type Vote = openraft::alias::VoteOf<TypeConfig>;
pub type Entry = openraft::alias::EntryOf<TypeConfig>;
/// A leadership: (term, node), never a term alone.
pub type Lead = openraft::alias::CommittedLeaderIdOf<TypeConfig>;
pub type Membership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub type Snapshot = openraft::alias::SnapshotOf<TypeConfig, String>;
pub type Raft = openraft::Raft<TypeConfig, crate::machine::Machine>;
