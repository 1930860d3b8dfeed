//! A partition's published boundaries: its replica publishes them, and every request reads them without a lock.
//!
//! The view holds copies of the log's numbers at one moment. It answers no request itself.

use super::config::ReplicaConfig;
use crate::Reject;
use crate::ids::{BrokerId, LeaderEpoch, Offset};
use crate::records::Rules;
use std::cmp::Ordering;

/// This node's part in a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// This node leads the partition.
    Leader,
    /// This node follows the node that leads.
    Follower { leader: BrokerId },
    /// This node has no role: no node leads, or the replica's log is being read again.
    Idle,
    /// The replica cannot serve, because of this failure.
    Offline(String),
    /// The topic was deleted. No other role follows.
    Deleted,
}

impl Role {
    /// The refusal that a request gets in this role, if any. Every API asks here, so that all give Kafka's one
    /// answer.
    pub fn serves(&self) -> Result<(), Reject> {
        match self {
            Role::Leader => Ok(()),
            Role::Follower { .. } => Err(Reject::NotLeader),
            Role::Idle => Err(Reject::Unavailable),
            Role::Offline(why) => Err(Reject::Storage(why.clone())),
            Role::Deleted => Err(Reject::TopicDeleted),
        }
    }
}

/// A partition's boundaries at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    pub role: Role,
    /// The epoch of the last assignment; before the first one, the epoch of the log's last record.
    pub leader_epoch: LeaderEpoch,
    /// First offset that can be read.
    pub log_start: Offset,
    /// Log end offset: the next batch gets it.
    pub end: Offset,
    /// Consumers read below this offset.
    pub high_watermark: Offset,
    /// Consumers with `read_committed` read below this offset.
    pub last_stable_offset: Offset,
    /// Grows with each truncation and each life of the actor, so that a read can tell that one overtook it.
    pub log_id: u64,
    /// The log end at which this leadership began. Until the high watermark is there, the newest committed offset is
    /// not known (R4).
    pub epoch_start: Offset,
    /// The rules by which the front-end checks a producer's batch.
    pub rules: Rules,
    /// Leader epochs and the offset each starts at, ascending.
    pub epochs: std::sync::Arc<Vec<(LeaderEpoch, Offset)>>,
}

impl View {
    /// The view of a replica whose log is not known yet.
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
            epoch_start: 0,
            rules: ReplicaConfig::default().rules(),
            epochs: std::sync::Arc::default(),
        }
    }

    /// The refusal of a request that needs the leader, if any. `claimed` is the leader epoch that its client knows.
    /// Like Kafka, a replica that leads or follows judges the epoch before its role.
    pub fn leads(&self, claimed: Option<LeaderEpoch>) -> Result<(), Reject> {
        if let (Role::Leader | Role::Follower { .. }, Some(claimed)) = (&self.role, claimed) {
            match claimed.cmp(&self.leader_epoch) {
                Ordering::Less => return Err(Reject::FencedLeaderEpoch),
                Ordering::Greater => return Err(Reject::UnknownLeaderEpoch),
                Ordering::Equal => {}
            }
        }
        self.role.serves()
    }

    /// Whether the newest committed offset is not known yet, because this leadership has just begun (R4).
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        self.high_watermark < self.epoch_start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_one_answer_by_name_and_by_id() {
        // Each row: the role, the code for a request by name, the code for a request by topic id.
        let rows = [
            (Role::Leader, 0, 0),
            (Role::Follower { leader: 2 }, 6, 6),
            (Role::Idle, 6, 6),
            (Role::Offline("the disk is broken".into()), 56, 56),
            (Role::Deleted, 3, 100),
        ];
        for (role, by_name, by_id) in rows {
            let code = |by_id| role.serves().map_or_else(|reject| reject.code_for(by_id).code(), |()| 0);
            assert_eq!((code(false), code(true)), (by_name, by_id), "{role:?}");
        }
    }

    #[test]
    fn who_leads_or_follows_judges_the_epoch_first() {
        let code = |role, claimed| {
            View::unknown(role, 5).leads(claimed).map_or_else(|reject| reject.code().code(), |()| 0)
        };
        let follower = || Role::Follower { leader: 2 };
        let fenced = [code(Role::Leader, Some(4)), code(follower(), Some(4))];
        let unknown = [code(Role::Leader, Some(6)), code(follower(), Some(6))];
        assert_eq!((fenced, unknown), ([74; 2], [75; 2]));
        assert_eq!([code(Role::Leader, Some(5)), code(Role::Leader, None)], [0; 2]);
        assert_eq!([code(follower(), Some(5)), code(follower(), None)], [6; 2]);
        assert_eq!([code(Role::Idle, Some(4)), code(Role::Deleted, Some(4))], [6, 3]);
    }
}
