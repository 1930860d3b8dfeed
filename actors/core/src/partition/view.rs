//! What everyone else sees of a partition: published by its leader, read without a lock.

use crate::ids::{LeaderEpoch, Offset};
use crate::records::Rules;

/// This node's part in a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// It leads.
    Leader,
    /// Its replica cannot serve; the reason says why.
    Offline(String),
}

/// A partition's boundaries at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// This node's part in it.
    pub role: Role,
    /// The current leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// First offset that can be read.
    pub log_start: Offset,
    /// Log end offset: nothing at or above it is written yet.
    pub end: Offset,
    /// Consumers read below this.
    pub high_watermark: Offset,
    /// `read_committed` consumers read below this.
    pub last_stable_offset: Offset,
    /// Changes only when truncation went below the high watermark, so that a read can tell it was overtaken.
    pub log_id: u64,
    /// What the edge asks of a producer's batch; none where the partition takes no batches.
    pub rules: Option<Rules>,
    /// Leader epochs and the offset each starts at, ascending.
    pub epochs: std::sync::Arc<Vec<(LeaderEpoch, Offset)>>,
}
