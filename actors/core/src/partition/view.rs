//! What everyone else sees of a partition: published by its leader, read without a lock.

use super::config::ReplicaConfig;
use crate::Reject;
use crate::ids::{LeaderEpoch, Offset};
use crate::records::Rules;

/// This node's part in a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// It leads.
    Leader,
    /// No role on this node now: another node leads, or the actor ended and the next one is not up yet.
    Idle,
    /// A failure: its replica cannot serve, and the reason says why.
    Offline(String),
    /// An orderly end: its topic was deleted. No other role follows.
    Deleted,
}

impl Role {
    /// Why a request is refused in this role, if it is. Every API asks here, so that all give Kafka's one answer.
    pub fn serves(&self) -> Result<(), Reject> {
        match self {
            Role::Leader => Ok(()),
            Role::Idle => Err(Reject::Unavailable),
            Role::Offline(why) => Err(Reject::Storage(why.clone())),
            Role::Deleted => Err(Reject::TopicDeleted),
        }
    }
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
    /// The edge's rules for a producer's batch.
    pub rules: Rules,
    /// Leader epochs and the offset each starts at, ascending.
    pub epochs: std::sync::Arc<Vec<(LeaderEpoch, Offset)>>,
}

impl View {
    /// Of a replica whose log is not known yet.
    #[must_use]
    pub fn unknown(role: Role, leader_epoch: LeaderEpoch) -> View {
        View {
            role,
            leader_epoch,
            log_start: 0,
            end: 0,
            high_watermark: 0,
            last_stable_offset: 0,
            log_id: 0,
            rules: ReplicaConfig::default().rules(),
            epochs: std::sync::Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_one_answer_by_name_and_by_id() {
        // Role, code where a request names the topic, code where it gives the topic's id.
        let rows = [
            (Role::Leader, 0, 0),
            (Role::Idle, 6, 6),
            (Role::Offline("the disk is broken".into()), 56, 56),
            (Role::Deleted, 3, 100),
        ];
        for (role, by_name, by_id) in rows {
            let code = |by_id| role.serves().map_or_else(|reject| reject.code_for(by_id).code(), |()| 0);
            assert_eq!((code(false), code(true)), (by_name, by_id), "{role:?}");
        }
    }
}
