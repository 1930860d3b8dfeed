//! Messages between the node's actor and the supervisors of its shards.
//!
//! They stand apart from the actors, so that `shard.rs` does not import `node.rs`, which imports it.

use crate::partition::PartitionHandle;
use crate::ports::{ReplicaState, ShardError};
use callboard_core::metadata::controller::Reply as Said;
use callboard_core::node::{Life, Origin};
use callboard_core::partition::{Assigned, ReplicaConfig};
use callboard_core::{BrokerEpoch, LeaderEpoch, ReplicaId, Seq, TopicPartition, UnixMillis};
use std::sync::Arc;

/// A message to the node's actor.
#[derive(Debug)]
pub enum NodeMsg {
    /// The controller has answered the registration.
    Registered(Said),
    /// The broker epoch of this process is stored, or cannot be.
    Granted(BrokerEpoch, Result<(), String>),
    /// A deadline of the registration has come.
    RegisterTick,
    /// The controller has published a newer image.
    Image,
    /// A replica is up, and its opening is durable.
    Ready(Life),
    /// A replica cannot be served; its handle says why.
    Broken(Life),
    /// The replica cannot serve what it acknowledged; the flag says whether its shard takes a new one.
    Damaged(Life, String, bool),
    /// The replica wants a leader epoch above this one, because its former actor led in it.
    Spent(Life, LeaderEpoch),
    /// A shard's replicas have been told everything up to this index.
    Told(u64),
    /// The controller has answered whether the replicas are recorded as opened.
    Recorded(Said),
    /// The replicas gathered for the directory are due.
    Gathered,
    /// A deadline may have passed.
    Tick,
}

/// A replica that a shard's supervisor is to start.
#[derive(Debug)]
pub struct Starting {
    pub life: Life,
    pub origin: Origin,
    pub handle: Arc<PartitionHandle>,
    pub assigned: Assigned,
    pub config: ReplicaConfig,
    /// The log that recovery found, for an origin of `Recovered`.
    pub log: Option<Box<ReplicaState>>,
}

/// A message to a shard's supervisor.
#[derive(Debug)]
pub enum ShardMsg {
    Start(Box<Starting>),
    Assign(TopicPartition, Assigned),
    Configure(TopicPartition, ReplicaConfig),
    /// Asks for `Told`, once everything before this message has been told.
    Mark(u64),
    /// The topic was deleted.
    Delete(TopicPartition),
    /// The image no longer gives this node a replica of the partition.
    Leave(TopicPartition),
    /// Marks a replica without an actor as stray. If no time is given, the replica is dropped.
    Stray {
        replica: ReplicaId,
        seq: Seq,
        at: Option<UnixMillis>,
    },
    /// A replica's log was read again.
    Rebuilt(Life, Result<Box<ReplicaState>, ShardError>),
}
