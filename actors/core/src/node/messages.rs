//! The node's vocabulary: what recovery found, what the node is told, and what it wants done.

use crate::ids::{LeaderEpoch, ReplicaId, Seq, TopicPartition};
use crate::metadata::Image;
use crate::partition::{Assigned, ReplicaConfig};
use crate::storage::Verdict;
use crate::time::UnixMillis;
use std::sync::Arc;

/// A replica that recovery found in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub id: TopicPartition,
    pub shard: usize,
    pub replica: ReplicaId,
    /// Number of its last entry.
    pub seq: Seq,
    /// When it was marked stray, if it was.
    pub stray: Option<UnixMillis>,
    pub verdict: Verdict,
}

/// One life of a replica on this node: the same partition may leave and come back while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    pub id: TopicPartition,
    pub number: u64,
}

/// Where a replica's log comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is opened now.
    New,
    /// Recovery found it.
    Recovered(ReplicaId),
    /// It left this node earlier in this process; its log is read again.
    Returned,
}

/// What can happen to a node.
#[derive(Clone, Debug)]
pub enum Input {
    /// The controller registered this process; the index of that record is its broker epoch.
    Registered {
        epoch: u64,
    },
    Image(Arc<Image>),
    /// The replica is up and its `Open` is on disk.
    Ready(Life),
    /// The replica cannot be served; its handle says why.
    Broken(Life),
    /// A shard's replicas have been told everything of the image with this index.
    Told {
        index: u64,
    },
    /// The answer to `RecordOpened`: whether it is committed.
    Recorded(bool),
    /// The answer to `Gather`.
    Gathered,
    /// A deadline may have passed.
    Tick,
}

/// What a node wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start a replica in this shard.
    Start {
        life: Life,
        shard: usize,
        origin: Origin,
        assigned: Assigned,
        config: ReplicaConfig,
    },
    /// Say that a replica may lack its newest records and serves all the same, because it is the only one.
    Unclean {
        id: TopicPartition,
        why: String,
    },
    /// Show the partition as offline. It has no replica that works.
    Offline {
        life: Life,
        leader_epoch: LeaderEpoch,
        why: String,
    },
    /// Give a running replica another role or epoch.
    Assign {
        id: TopicPartition,
        shard: usize,
        assigned: Assigned,
    },
    Configure {
        id: TopicPartition,
        shard: usize,
        config: ReplicaConfig,
    },
    /// Answer `Told` behind everything that the shard has been told so far.
    Mark {
        shard: usize,
        index: u64,
    },
    /// End a replica and mark it stray: the image lists it here no more.
    Leave {
        id: TopicPartition,
        shard: usize,
    },
    /// End a replica for good: its topic was deleted.
    Drop {
        id: TopicPartition,
        shard: usize,
    },
    /// Journal that no image knows this replica; without a time, let it go.
    Stray {
        found: Found,
        at: Option<UnixMillis>,
    },
    /// Ask the controller to record these as opened.
    RecordOpened(Vec<TopicPartition>),
    /// Send `Gathered` behind what is in the mailbox already, so that one swap of the directory takes many.
    Gather,
    /// Put these into the directory.
    Serve(Vec<Life>),
    /// Take these out of the directory.
    Withdraw(Vec<TopicPartition>),
    /// The node does what the image says up to this index.
    Served(u64),
    /// All that recovery found is served, in this broker epoch. Said once.
    Ready {
        epoch: u64,
    },
}
