//! Defaults of topics: what a topic does that does not say otherwise. `kafka-configs` changes most of them at run time.

use super::error::{ConfigError, range};
use callboard_core::limits;
use callboard_core::partition::ReplicaConfig;
use clap::ValueEnum;
use serde::Deserialize;

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Journaled and synced.
    Fsync,
    /// In the page cache, synced within a second.
    Os,
}

/// Defaults of topics, and how often partitions look for what has expired.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Topics {
    /// When a batch counts as stored.
    pub durability: Durability,
    /// Partitions of a new topic (Kafka: `num.partitions`).
    pub num_partitions: i32,
    /// Replicas of a new topic; -1: 3, or as many as there are nodes (Kafka: `default.replication.factor`).
    pub default_replication_factor: i32,
    /// Whether a request for an unknown topic creates it (Kafka: `auto.create.topics.enable`).
    pub auto_create_topics_enable: bool,
    /// How long records are kept; -1 keeps them for ever (Kafka: `log.retention.ms`).
    pub log_retention_ms: i64,
    /// Bytes that a partition keeps; -1 sets no bound (Kafka: `log.retention.bytes`).
    pub log_retention_bytes: i64,
    /// Largest batch (Kafka: `message.max.bytes`).
    pub message_max_bytes: usize,
    /// A partition forgets a producer that sends it nothing for so long; a start begins the time anew (Kafka:
    /// `producer.id.expiration.ms`).
    pub producer_id_expiration_ms: i64,
    /// Time between two looks for expired records (Kafka: `log.retention.check.interval.ms`).
    pub log_retention_check_interval_ms: u64,
    /// A follower whose records lag for so long leaves the in-sync replicas (Kafka: `replica.lag.time.max.ms`).
    pub replica_lag_time_max_ms: u64,
}

impl Default for Topics {
    fn default() -> Topics {
        let leader = ReplicaConfig::default();
        Topics {
            durability: Durability::Fsync,
            num_partitions: 1,
            default_replication_factor: -1,
            auto_create_topics_enable: true,
            log_retention_ms: leader.retention_ms,
            log_retention_bytes: leader.retention_bytes,
            message_max_bytes: limits::MESSAGE_MAX_BYTES_DEFAULT,
            producer_id_expiration_ms: leader.producer_expiration_ms,
            log_retention_check_interval_ms: leader.retention_check_ms,
            replica_lag_time_max_ms: leader.replica_lag_max_ms,
        }
    }
}

impl Topics {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        range("num_partitions", self.num_partitions, 1, 10_000)?;
        let factor = self.default_replication_factor;
        range("default_replication_factor", factor, -1, i32::from(i16::MAX))?;
        if factor == 0 {
            return Err(ConfigError::value(
                "default_replication_factor",
                factor,
                "it takes -1, or 1 and more",
            ));
        }
        range("replica_lag_time_max_ms", self.replica_lag_time_max_ms, 1, u64::from(u32::MAX))?;
        range("log_retention_ms", self.log_retention_ms, -1, i64::MAX)?;
        range("log_retention_bytes", self.log_retention_bytes, -1, i64::MAX)?;
        range("message_max_bytes", self.message_max_bytes, 0, limits::MESSAGE_MAX_BYTES_CEILING)?;
        range("producer_id_expiration_ms", self.producer_id_expiration_ms, 1, i64::from(i32::MAX))?;
        let check_interval = self.log_retention_check_interval_ms;
        range("log_retention_check_interval_ms", check_interval, 1, u64::from(u32::MAX))
    }

    /// These settings under Kafka's names.
    pub(super) fn statics(&self) -> Vec<(&'static str, String)> {
        let mut out = vec![
            ("auto.create.topics.enable", self.auto_create_topics_enable.to_string()),
            ("log.retention.bytes", self.log_retention_bytes.to_string()),
            ("log.retention.check.interval.ms", self.log_retention_check_interval_ms.to_string()),
            ("message.max.bytes", self.message_max_bytes.to_string()),
            ("num.partitions", self.num_partitions.to_string()),
            ("producer.id.expiration.ms", self.producer_id_expiration_ms.to_string()),
            ("replica.lag.time.max.ms", self.replica_lag_time_max_ms.to_string()),
        ];
        if self.default_replication_factor != -1 {
            out.push(("default.replication.factor", self.default_replication_factor.to_string()));
        }
        if self.durability == Durability::Os {
            out.push(("callboard.durability", "os".to_owned()));
            // Kafka says the same with its default: a message is not flushed for being a message.
            out.push(("log.flush.interval.messages", i64::MAX.to_string()));
        }
        // Kafka's default has no value under this name, because log.retention.hours says it.
        if self.log_retention_ms != Topics::default().log_retention_ms {
            out.push(("log.retention.ms", self.log_retention_ms.to_string()));
        }
        out
    }
}
