//! A topic's configuration, as the replicas of its partitions need it.
//!
//! The layers of topic, broker and cluster settings are resolved elsewhere (`metadata/configs`). This file holds the
//! resolved values and their defaults; it parses no setting.

use crate::limits;
use crate::records::{Rules, TimestampBounds};
use crate::storage::Durability;

/// The resolved settings of one topic, for the replicas of its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// When an entry counts as durable, and so when a batch is acknowledged.
    pub durability: Durability,
    /// Largest batch, in bytes (`max.message.bytes`).
    pub max_message_bytes: usize,
    /// How far a timestamp may lie in the past (`message.timestamp.before.max.ms`).
    pub timestamp_before_max_ms: i64,
    /// How far a timestamp may lie in the future (`message.timestamp.after.max.ms`).
    pub timestamp_after_max_ms: i64,
    /// An idle producer is forgotten after this time (`producer.id.expiration.ms`).
    pub producer_expiration_ms: i64,
    /// Whether `message.timestamp.type` is `LogAppendTime`.
    pub log_append_time: bool,
    /// Whether `cleanup.policy` contains `compact`. Without `delete` beside it clients cannot delete records.
    pub compact: bool,
    /// Whether `cleanup.policy` contains `delete`. Without it no record expires.
    pub delete: bool,
    /// `callboard.validate.records`: whether compressed batches are opened before they are stored.
    pub validate_records: bool,
    /// Age at which records expire (`retention.ms`); a negative one never comes.
    pub retention_ms: i64,
    /// Size above which the oldest records expire (`retention.bytes`); a negative one is no bound.
    pub retention_bytes: i64,
    /// Time between two looks for expired records (`log.retention.check.interval.ms`).
    pub retention_check_ms: u64,
    /// A member of the ISR whose records lag for longer leaves it (`replica.lag.time.max.ms`).
    pub replica_lag_max_ms: u64,
}

impl ReplicaConfig {
    /// The rules by which the front-end checks a producer's batch before the replica sees it.
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
            replica_lag_max_ms: 30_000,
        }
    }
}
