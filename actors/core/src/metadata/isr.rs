//! A leader's proposal to change its in-sync replicas, and what the controller says of it (KIP-497, KIP-903).
//!
//! A leader wishes, its node's `IsrProposer` gathers the wishes of all leaders into one numbered ask, and the controller
//! judges each by itself (R8). Only the image brings the new ISR; an answer just ends the wait (R7).
//!
//! These are words alone. `partition/leader.rs` wishes, `node/proposer.rs` gathers, `controller/isr.rs` judges.

use crate::error::ErrorCode;
use crate::ids::{LeaderEpoch, Peer, TopicPartition};
use serde::{Deserialize, Serialize};

/// The in-sync replicas that a leader wants, decided on one state of the partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IsrWish {
    pub id: TopicPartition,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: i32,
    /// Each member with the broker epoch of the connection that brought its acknowledgements, never that of the image
    /// (KAFKA-14139). The leader itself is among them.
    pub isr: Vec<Peer>,
    /// The leader was elected uncleanly and has still to recover. Until then it is the only member (R8).
    #[serde(default)]
    pub recovering: bool,
}

/// How a wish ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum IsrOutcome {
    /// The change is committed, and an image will show it.
    Committed,
    /// The controller knows a newer state of the partition (INVALID_UPDATE_VERSION). An image will show it.
    Outdated,
    /// The leadership is over: FENCED_LEADER_EPOCH, INVALID_REQUEST for another leader, UNKNOWN_TOPIC_OR_PARTITION.
    Ended(ErrorCode),
    /// The controller knows an older state of the partition than the leader does (NOT_CONTROLLER).
    Behind,
    /// The controller judged on the very state that the leader knows, and refuses: a member is fenced, unregistered,
    /// shutting down or has another broker epoch (INELIGIBLE_REPLICA), or the ISR is malformed (INVALID_REQUEST).
    Ineligible(String),
}
