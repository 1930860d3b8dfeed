//! Settings of consumer groups: the times of their members, and the topic that keeps their offsets.

use super::error::{ConfigError, range};
use callboard_core::group::GroupConfig;
use serde::Deserialize;

/// Bounds and times of consumer groups and of `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Groups {
    /// A new group waits so long for more members (Kafka: `group.initial.rebalance.delay.ms`).
    pub group_initial_rebalance_delay_ms: u64,
    /// Shortest session timeout a member may ask for (Kafka: `group.min.session.timeout.ms`).
    pub group_min_session_timeout_ms: i32,
    /// Longest session timeout a member may ask for (Kafka: `group.max.session.timeout.ms`).
    pub group_max_session_timeout_ms: i32,
    /// Members of a group at most (Kafka: `group.max.size`).
    pub group_max_size: usize,
    /// Committed offsets of a group without members are kept so long (Kafka: `offsets.retention.minutes`).
    pub offsets_retention_minutes: u32,
    /// Time between two looks for expired offsets (Kafka: `offsets.retention.check.interval.ms`).
    pub offsets_retention_check_interval_ms: u64,
    /// Longest metadata of a committed offset (Kafka: `offset.metadata.max.bytes`).
    pub offset_metadata_max_bytes: usize,
    /// Partitions that `__consumer_offsets` gets when it is created (Kafka: `offsets.topic.num.partitions`).
    pub offsets_topic_num_partitions: i32,
    /// A partition of `__consumer_offsets` above so many bytes is written anew if little of it is live.
    pub offsets_rewrite_bytes: u64,
}

impl Default for Groups {
    fn default() -> Groups {
        Groups {
            group_initial_rebalance_delay_ms: 3_000,
            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 1_800_000,
            group_max_size: i32::MAX as usize,
            offsets_retention_minutes: 10_080,
            offsets_retention_check_interval_ms: 600_000,
            offset_metadata_max_bytes: 4_096,
            offsets_topic_num_partitions: 50,
            offsets_rewrite_bytes: 64 << 20,
        }
    }
}

impl Groups {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        range("group_initial_rebalance_delay_ms", self.group_initial_rebalance_delay_ms, 0, 3_600_000)?;
        range("group_min_session_timeout_ms", self.group_min_session_timeout_ms, 1, i32::MAX)?;
        let least = self.group_min_session_timeout_ms;
        range("group_max_session_timeout_ms", self.group_max_session_timeout_ms, least, i32::MAX)?;
        range("group_max_size", self.group_max_size, 1, i32::MAX as usize)?;
        range("offsets_retention_minutes", self.offsets_retention_minutes, 1, i32::MAX as u32)?;
        range("offsets_retention_check_interval_ms", self.offsets_retention_check_interval_ms, 1, 1 << 40)?;
        range("offset_metadata_max_bytes", self.offset_metadata_max_bytes, 0, i16::MAX as usize)?;
        range("offsets_topic_num_partitions", self.offsets_topic_num_partitions, 1, 10_000)?;
        range("offsets_rewrite_bytes", self.offsets_rewrite_bytes, 64 << 10, 1 << 40)
    }

    /// Bounds and times as the machine of a group takes them.
    #[must_use]
    pub fn machine(&self) -> GroupConfig {
        GroupConfig {
            initial_rebalance_delay_ms: self.group_initial_rebalance_delay_ms,
            min_session_timeout_ms: self.group_min_session_timeout_ms,
            max_session_timeout_ms: self.group_max_session_timeout_ms,
            max_size: self.group_max_size,
            offsets_retention_ms: i64::from(self.offsets_retention_minutes) * 60_000,
            offsets_retention_check_ms: self.offsets_retention_check_interval_ms,
            offset_metadata_max_bytes: self.offset_metadata_max_bytes,
        }
    }

    /// These settings under Kafka's names.
    pub(super) fn statics(&self) -> Vec<(&'static str, String)> {
        vec![
            ("group.initial.rebalance.delay.ms", self.group_initial_rebalance_delay_ms.to_string()),
            ("group.max.session.timeout.ms", self.group_max_session_timeout_ms.to_string()),
            ("group.max.size", self.group_max_size.to_string()),
            ("group.min.session.timeout.ms", self.group_min_session_timeout_ms.to_string()),
            ("offset.metadata.max.bytes", self.offset_metadata_max_bytes.to_string()),
            ("offsets.retention.check.interval.ms", self.offsets_retention_check_interval_ms.to_string()),
            ("offsets.retention.minutes", self.offsets_retention_minutes.to_string()),
            ("offsets.topic.num.partitions", self.offsets_topic_num_partitions.to_string()),
            ("offsets.topic.replication.factor", "1".to_owned()),
        ]
    }
}
