//! What a topic's configuration says to the replicas of its partitions.

use crate::limits;
use crate::records::{Rules, TimestampBounds};
use crate::storage::Durability;

/// What a topic's configuration says to its leaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// What an acknowledgement means.
    pub durability: Durability,
    /// `max.message.bytes`.
    pub max_message_bytes: usize,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: i64,
    /// Whether `message.timestamp.type` is `LogAppendTime`.
    pub log_append_time: bool,
    /// Whether `cleanup.policy` contains `compact`: without `delete` beside it records cannot be deleted.
    pub compact: bool,
    /// Whether `cleanup.policy` contains `delete`: without it nothing expires.
    pub delete: bool,
    /// `callboard.validate.records`: whether compressed batches are opened before they are stored.
    pub validate_records: bool,
    /// `retention.ms`; negative: never.
    pub retention_ms: i64,
    /// `retention.bytes`; negative: no bound.
    pub retention_bytes: i64,
    /// `log.retention.check.interval.ms`.
    pub retention_check_ms: u64,
}

impl ReplicaConfig {
    /// The edge's rules for a producer's batch.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let bounds = TimestampBounds {
            before_max_ms: self.timestamp_before_max_ms,
            after_max_ms: self.timestamp_after_max_ms,
        };
        Rules {
            max_bytes: self.max_message_bytes,
            open: self.validate_records,
            timestamps: (!self.log_append_time).then_some(bounds),
        }
    }
}

impl Default for ReplicaConfig {
    fn default() -> ReplicaConfig {
        ReplicaConfig {
            durability: Durability::Fsync,
            max_message_bytes: limits::MESSAGE_MAX_BYTES_DEFAULT,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            producer_expiration_ms: 86_400_000,
            log_append_time: false,
            compact: false,
            delete: true,
            validate_records: true,
            retention_ms: 604_800_000,
            retention_bytes: -1,
            retention_check_ms: 300_000,
        }
    }
}
