//! What the tables say of a config, and the names and words that tables and code share.
//!
//! A row is data: a name, a type, what it takes, its default, and its documentation. `topic.rs`, `broker.rs` and
//! `others.rs` look rows up and check values by them.

use super::value::{Takes, Type};
use crate::limits;

/// What becomes of the value of a topic config.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// It changes what the broker does.
    Enforced,
    /// It is about files that this store does not have, and changes nothing.
    Layout,
    /// It takes effect with compaction.
    Compaction,
    /// It takes effect with something else that this version does not have.
    With(&'static str),
    /// It is refused, except for these words.
    Refused(&'static [&'static str]),
}

impl Class {
    /// The class in words, as the table in README has it.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Class::Enforced => "enforced".into(),
            Class::Layout => "layout".into(),
            Class::Compaction => "compaction tuning".into(),
            Class::With(what) => format!("with {what}"),
            Class::Refused(but) => format!("refused, but for `{}`", but.join("`, `")),
        }
    }
}

pub(super) struct TopicConfig {
    pub name: &'static str,
    pub kind: Type,
    pub takes: Takes,
    /// The default, if no broker config is one.
    pub default: &'static str,
    /// The broker config that gives the default.
    pub broker: Option<&'static str>,
    pub class: Class,
    pub doc: &'static str,
}

pub(super) const MAX_MESSAGE: &str = "max.message.bytes";
pub(super) const BEFORE: &str = "message.timestamp.before.max.ms";
pub(super) const AFTER: &str = "message.timestamp.after.max.ms";
pub(super) const TIMESTAMP_TYPE: &str = "message.timestamp.type";
pub(super) const DURABILITY: &str = "callboard.durability";
pub(super) const VALIDATE: &str = "callboard.validate.records";
pub(super) const FLUSH: &str = "flush.messages";
pub(super) const RETENTION_MS: &str = "retention.ms";
pub(super) const RETENTION_BYTES: &str = "retention.bytes";
pub(super) const CLEANUP: &str = "cleanup.policy";
pub(super) const MIN_INSYNC: &str = "min.insync.replicas";
/// Where the file does not set it, the cluster chooses, so that a file's 1 is not the same as none.
pub(super) const FACTOR: &str = "default.replication.factor";
pub(super) const MIN_LAG: &str = "min.compaction.lag.ms";
pub(super) const MAX_LAG: &str = "max.compaction.lag.ms";
pub(super) const REMOTE: &str = "remote.storage.enable";
/// The policy of internal topics.
pub(super) const COMPACT: &str = "compact";
pub(super) const LOG_APPEND_TIME: &str = "LogAppendTime";
pub(super) const FOREVER: &str = "9223372036854775807";
pub(super) const SEGMENTS: Takes = Takes::AtLeast(1 << 20);
pub(super) const TIMESTAMP_TYPES: Takes = Takes::OneOf(&["CreateTime", LOG_APPEND_TIME]);
pub(super) const POLICIES: Takes = Takes::OneOf(&["compact", "delete"]);
pub(super) const COMPRESSIONS: Takes =
    Takes::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]);
pub(super) const MESSAGE_SIZES: Takes = Takes::UpTo(limits::MESSAGE_MAX_BYTES_CEILING as i64);
/// Policies that this version honours; an empty list keeps all records.
pub(super) const DELETE_ONLY: &[&str] = &["delete"];
pub(super) const PRODUCER_ONLY: &[&str] = &["producer"];

/// How a broker config can be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// At run time, for one broker or all.
    Dynamic,
    /// At run time, and listed only where it is set.
    WhereSet,
    /// At run time in Kafka; this version takes only these words.
    Only(&'static [&'static str]),
    /// By the configuration file alone.
    Static,
}

pub(super) struct BrokerConfig {
    pub name: &'static str,
    pub kind: Type,
    pub takes: Takes,
    /// Kafka's default, except for `log.flush.interval.messages`.
    pub default: Option<&'static str>,
    pub mode: Mode,
    pub doc: &'static str,
}

/// A row for a config of a group or of a subscription.
pub(super) struct OtherConfig {
    pub name: &'static str,
    pub kind: Type,
    pub takes: Takes,
    pub default: &'static str,
    /// The broker config that gives the default.
    pub broker: Option<&'static str>,
    /// Least and most by the broker's bounds, which are Kafka's defaults.
    pub within: Option<(i64, i64)>,
    pub doc: &'static str,
}
