//! What the node's actor and the supervisors of its shards tell each other.

use crate::partition::PartitionHandle;
use crate::ports::{ReplicaState, ShardError};
use callboard_core::metadata::controller::Reply as Said;
use callboard_core::node::{Life, Origin};
use callboard_core::partition::{Assigned, ReplicaConfig};
use callboard_core::{ReplicaId, Seq, TopicPartition, UnixMillis};
use std::sync::Arc;

/// What the node is told.
#[derive(Debug)]
pub enum NodeMsg {
    /// The registration was answered.
    Registered(Said),
    /// There is a newer image.
    Image,
    /// A replica is up and its opening durable.
    Ready(Life),
    /// A replica cannot be served; its handle says why.
    Broken(Life),
    /// A shard's replicas have been told everything up to this index.
    Told(u64),
    /// The controller has answered whether replicas are recorded as opened.
    Recorded(Said),
    /// What was gathered for the directory is due.
    Gathered,
    /// A deadline may have passed.
    Tick,
}

/// A replica to be started.
#[derive(Debug)]
pub struct Starting {
    pub life: Life,
    pub origin: Origin,
    pub handle: Arc<PartitionHandle>,
    pub assigned: Assigned,
    pub config: ReplicaConfig,
    /// What recovery found, for an origin of `Recovered`.
    pub log: Option<Box<ReplicaState>>,
}

/// What a shard's supervisor is told.
#[derive(Debug)]
pub enum ShardMsg {
    Start(Box<Starting>),
    Assign(TopicPartition, Assigned),
    Configure(TopicPartition, ReplicaConfig),
    /// Says to the node that everything before this has been told.
    Mark(u64),
    /// The topic was deleted.
    Delete(TopicPartition),
    /// The image gives this node no replica of the partition any more.
    Leave(TopicPartition),
    /// Marks a replica that has no actor as stray; without a time, lets it go.
    Stray {
        replica: ReplicaId,
        seq: Seq,
        at: Option<UnixMillis>,
    },
    /// A replica's log was read again.
    Rebuilt(Life, Result<Box<ReplicaState>, ShardError>),
}
