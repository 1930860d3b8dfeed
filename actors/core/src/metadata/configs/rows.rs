//! What the tables say of a config, and the names and words that tables and code share.
//!
//! A row is data: a name, a type, what it takes, its default, and its documentation. `topic.rs`, `broker.rs` and
//! `others.rs` look rows up and check values by them.

use super::value::{Takes, Type};
use crate::limits;

/// The fate of a config's value.
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
    /// It is refused, but for these words.
    Refused(&'static [&'static str]),
}

impl Class {
    /// In words.
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

/// One topic config.
pub(super) struct TopicConfig {
    pub name: &'static str,
    pub kind: Type,
    pub takes: Takes,
    /// The default where no broker config is one.
    pub default: &'static str,
    /// The broker config that is its default.
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
pub(super) const MIN_LAG: &str = "min.compaction.lag.ms";
pub(super) const MAX_LAG: &str = "max.compaction.lag.ms";
pub(super) const REMOTE: &str = "remote.storage.enable";
/// What the broker does with its own topics.
pub(super) const COMPACT: &str = "compact";
pub(super) const LOG_APPEND_TIME: &str = "LogAppendTime";
pub(super) const FOREVER: &str = "9223372036854775807";
/// Kafka's least segment.
pub(super) const SEGMENTS: Takes = Takes::AtLeast(1 << 20);
pub(super) const TIMESTAMP_TYPES: Takes = Takes::OneOf(&["CreateTime", LOG_APPEND_TIME]);
pub(super) const POLICIES: Takes = Takes::OneOf(&["compact", "delete"]);
pub(super) const COMPRESSIONS: Takes =
    Takes::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]);
pub(super) const MESSAGE_SIZES: Takes = Takes::UpTo(limits::MESSAGE_MAX_BYTES_CEILING as i64);
/// Policies that work: deletion, and (none) keeping everything.
pub(super) const DELETE_ONLY: &[&str] = &["delete"];
/// Codecs that work.
pub(super) const PRODUCER_ONLY: &[&str] = &["producer"];

/// How a broker config changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// At run time, for one broker or all.
    Dynamic,
    /// The same, and listed only where it is set.
    WhereSet,
    /// In Kafka at run time; here it takes only these words.
    Only(&'static [&'static str]),
    /// By the configuration file alone.
    Static,
}

/// One broker config.
pub(super) struct BrokerConfig {
    pub name: &'static str,
    pub kind: Type,
    pub takes: Takes,
    /// Its default: Kafka's, but for `log.flush.interval.messages`.
    pub default: Option<&'static str>,
    pub mode: Mode,
    pub doc: &'static str,
}

/// One config of a group or of a subscription.
pub(super) struct OtherConfig {
    pub name: &'static str,
    pub kind: Type,
    pub takes: Takes,
    pub default: &'static str,
    /// The broker config that is its default.
    pub broker: Option<&'static str>,
    /// The broker's bounds, by Kafka's defaults: the least and the most.
    pub within: Option<(i64, i64)>,
    pub doc: &'static str,
}
