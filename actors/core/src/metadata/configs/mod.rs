//! Configs of topics, brokers, groups and client metrics: their names, the values that they take, and the layer
//! that a value comes from.
//!
//! ```text
//!   topic's own ─> this broker's, dynamic ─> all brokers', dynamic ─> configuration file ─> default     (layers.rs)
//!   topic_table.rs, broker_table.rs, others_table.rs: the tables       topic.rs, broker.rs, others.rs: what may be set
//!   value.rs, words.rs: types and bounds      alter: controller/alter.rs      what a leader is told: replica_config
//! ```
//!
//! The table has every topic config of Kafka 4.3, so that this broker takes what Kafka takes. The `Class` of a
//! config says what becomes of its value. All values but refused ones are checked as in Kafka, stored, and
//! returned.
//!
//! | class | topic configs |
//! |---|---|
//! | enforced | `callboard.durability` and `flush.messages` (one choice in two words, which may not contradict each other), `callboard.validate.records`, `max.message.bytes`, `message.timestamp.*`, `min.insync.replicas`, `retention.*`, `unclean.leader.election.enable` |
//! | layout: about files that this store does not have; the documentation says why they change nothing | `file.delete.delay.ms`, `flush.ms`, `index.interval.bytes`, `preallocate`, `segment.*` |
//! | compaction tuning: takes effect with compaction | `delete.retention.ms`, `max.compaction.lag.ms`, `min.cleanable.dirty.ratio`, `min.compaction.lag.ms` |
//! | with `compression.type`, reassignment, tiered storage: takes effect when that is here | `compression.*.level`; `*.replication.throttled.replicas`; `local.retention.*`, `remote.log.*` |
//! | refused, but for what works | `cleanup.policy` (`delete`, or empty; of an internal topic `compact`), `compression.type` (`producer`), `remote.storage.enable` (`false`, as in Kafka without tiered storage) |
//!
//! Defaults are Kafka's, except `flush.messages`: 1, so that a record is on disk before it is acknowledged.
//!
//! Broker configs that are defaults of topic configs are dynamic as in Kafka, and have the class of theirs. Each
//! can be set for one broker or for all; `min.insync.replicas` only for all. The configuration file sets all
//! others, and other configs of Kafka are unknown here.
//!
//! Configs of groups (KIP-848, share and streams groups) and of subscriptions to clients' metrics are checked
//! against Kafka's default bounds, stored and returned. Their documentation names the feature that they take effect
//! with.

mod agree;
mod broker;
mod broker_table;
mod entry;
mod layers;
mod others;
mod others_table;
mod rows;
mod statics;
mod topic;
mod topic_table;
mod value;
mod words;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod values_tests;

pub use agree::agree_broker;
pub use broker::{check_broker, is_broker_list};
pub use entry::{Entry, Source, Synonym};
pub use layers::{
    Layers, broker_entries, cluster_entries, flag, min_insync_replicas, replica_config, topic_entries,
    topic_entries_of,
};
pub use others::{check_group, check_metrics, group_entries, metrics_entries};
pub use rows::Class;
pub use statics::Statics;
pub use topic::{agree, check_topic, is_list, topic_class};
pub use value::{ConfigError, Type};
