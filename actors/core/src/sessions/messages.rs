//! The vocabulary of the judge of sessions: what nodes say, what else it hears, and what it says.

use crate::ids::{LeaderEpoch, Peer, TopicPartition};
use crate::metadata::{Image, Judgement, Leadership, SyncedPositions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Milliseconds between two heartbeats of a node, and between two looks of the judge.
pub const HEARTBEAT_MS: u64 = 500;
/// Milliseconds of silence after which a node is fenced.
pub const SESSION_MS: u64 = 3_000;
/// Milliseconds for which a new judge listens before it judges a silent node.
pub const PATIENCE_MS: u64 = 1_500;
/// Milliseconds, counted from the start of a leadership, in which a judge that hears few fences nobody for silence.
pub const GUARD_MS: u64 = 3 * SESSION_MS;
/// Milliseconds of one sync after which a node's leaderships move.
pub const STALLED_MS: u64 = 2_000;
/// Milliseconds of one sync after which a node is fenced.
pub const HUNG_MS: u64 = 10_000;

/// A node's words about itself, twice a second.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Heartbeat {
    pub from: Peer,
    /// Rises in the process. A heartbeat that was overtaken counts only as contact (R45).
    pub number: u64,
    /// Up to this index the node has applied the metadata log.
    pub applied: u64,
    /// The node's storage is recovered.
    pub recovered: bool,
    /// The node wants to end.
    pub ending: bool,
    /// The node has ended cleanly: nothing of it acknowledges or serves any more. Its last word.
    #[serde(default)]
    pub ended: bool,
    /// Milliseconds for which the oldest unfinished sync has run.
    pub sync_age_ms: u64,
    /// A disk of the node has no room for more batches.
    #[serde(default)]
    pub full: bool,
    /// Where the node's journals are synced (R46).
    pub synced: SyncedPositions,
    /// Replicas that cannot serve now (R38, R41).
    pub unable: BTreeSet<TopicPartition>,
    /// Replicas that cannot serve what they acknowledged, until they have it again from another replica (R41); each with the
    /// last leader epoch in which anybody may count on it.
    #[serde(default)]
    pub damaged: BTreeSet<(TopicPartition, LeaderEpoch)>,
}

/// The answer to a heartbeat, of a node that leads the metadata log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Heard {
    /// Milliseconds since it sent what a majority of the voters has answered. A leader that is cut off itself answers too.
    #[serde(default)]
    pub majority_ms: u64,
    /// Up to this index it has applied the metadata log.
    #[serde(default)]
    pub applied: u64,
}

/// An event that the judge hears of.
#[derive(Clone, Debug)]
pub enum Input {
    /// The node that leads the metadata log now; none while that is unknown. It arrives in the order of the log.
    Lead(Option<Leadership>),
    /// The newest committed image.
    Image(Arc<Image>),
    Heartbeat(Heartbeat),
    /// The kernel of a node's machine says that no process listens there. It counts while a new judge listens.
    Refused(Peer),
    /// A deadline may have passed.
    Tick,
}

/// An action that the judge wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    Judge(Judgement),
}
