//! The node's vocabulary: the replicas that recovery found, inputs that tell the node something, and effects that it
//! wants done.

use crate::ids::{BrokerId, LeaderEpoch, Peer, ReplicaId, Seq, TopicPartition};
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
    /// The time at which it was marked stray, if it was.
    pub stray: Option<UnixMillis>,
    pub verdict: Verdict,
}

/// One life of a replica on this node. The same partition may leave and come back while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    pub id: TopicPartition,
    pub number: u64,
}

/// The source of a replica's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The replica is opened now, and its log is empty.
    New,
    /// Recovery found the log in the shard.
    Recovered(ReplicaId),
    /// The replica left this node earlier in this process, and its log is read again.
    Returned,
}

/// An event that a node hears of.
#[derive(Clone, Debug)]
pub enum Input {
    /// The controller registered this process; the index of that record is its broker epoch.
    Registered {
        epoch: u64,
    },
    Image(Arc<Image>),
    /// The replica is up, and its `Open` is on disk.
    Ready(Life),
    /// The replica cannot be served; its handle says why.
    Broken(Life),
    /// The replica cannot serve what it acknowledged. `mendable` says that its shard still takes a new one.
    Damaged {
        life: Life,
        why: String,
        mendable: bool,
    },
    /// The replica wants a leader epoch above this one, because its former actor led in it (R7).
    Spent {
        life: Life,
        leader_epoch: LeaderEpoch,
    },
    /// A shard's replicas have been told everything that the image with this index says.
    Told {
        index: u64,
    },
    /// The answer to `RecordOpened`: whether the openings are committed.
    Recorded(bool),
    /// The answer to `Gather`.
    Gathered,
    /// A deadline may have passed.
    Tick,
}

/// An action that a node wants done.
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
    /// Warn that a replica may lack its newest records. It serves all the same, because it is the only replica.
    Unclean {
        id: TopicPartition,
        why: String,
    },
    /// Say in each heartbeat that this replica cannot serve what it acknowledged up to this leader epoch, until it is
    /// withdrawn (R41).
    Damaged {
        life: Life,
        epoch: LeaderEpoch,
    },
    /// Tell the operator that a replica begins anew, to be filled by its leader. It may be the leader, elected uncleanly.
    Mended {
        id: TopicPartition,
        leader: BrokerId,
        why: String,
    },
    /// Show the partition as offline, because it has no replica that works here.
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
    /// Answer `Told` when the shard has handled everything that it was told so far.
    Mark {
        shard: usize,
        index: u64,
    },
    /// End a replica and mark it stray, because the image no longer lists it here.
    Leave {
        id: TopicPartition,
        shard: usize,
    },
    /// End a replica for good: its topic was deleted.
    Drop {
        id: TopicPartition,
        shard: usize,
    },
    /// Journal that no image knows this replica: mark it stray at this time, or drop it if there is no time.
    Stray {
        found: Found,
        at: Option<UnixMillis>,
    },
    /// Let go of what recovery found: each replica is started, or was judged.
    Claimed,
    /// Ask the controller to record these replicas as opened.
    RecordOpened(Vec<TopicPartition>),
    /// Ask the controller for a leader epoch above this one.
    Renew {
        from: Peer,
        id: TopicPartition,
        leader_epoch: LeaderEpoch,
    },
    /// Send `Gathered` to the node behind the messages in its mailbox, so that one swap of the directory takes many
    /// replicas.
    Gather,
    /// Put these replicas into the directory.
    Serve(Vec<Life>),
    /// Take these partitions out of the directory.
    Withdraw(Vec<TopicPartition>),
    /// The node follows the image up to this index.
    Served(u64),
    /// This node serves the image that holds its registration, in this broker epoch. Said once.
    Ready {
        epoch: u64,
    },
}
