//! The table of topic configs, and what a topic may be given.

use super::broker::Statics;
use super::{ConfigError, Takes, Type, parse};
use crate::limits;
use crate::metadata::OFFSETS_TOPIC;
use std::collections::BTreeMap;

/// One topic config.
pub(super) struct TopicConfig {
    pub name: &'static str,
    pub kind: Type,
    pub takes: Takes,
    /// The default where no broker config is one.
    pub default: &'static str,
    /// The broker config that is its default.
    pub broker: Option<&'static str>,
    /// Takes only the value it has by default.
    pub fixed: bool,
    /// What internal topics may say besides.
    pub internal: Option<&'static str>,
    pub doc: &'static str,
}

pub(super) const MAX_MESSAGE: &str = "max.message.bytes";
pub(super) const BEFORE: &str = "message.timestamp.before.max.ms";
pub(super) const AFTER: &str = "message.timestamp.after.max.ms";
pub(super) const TIMESTAMP_TYPE: &str = "message.timestamp.type";
pub(super) const DURABILITY: &str = "callboard.durability";
pub(super) const FLUSH: &str = "flush.messages";
pub(super) const RETENTION_MS: &str = "retention.ms";
pub(super) const RETENTION_BYTES: &str = "retention.bytes";
pub(super) const CLEANUP: &str = "cleanup.policy";
/// What the broker does with its own topics.
const COMPACT: &str = "compact";
pub(super) const LOG_APPEND_TIME: &str = "LogAppendTime";
pub(super) const FOREVER: &str = "9223372036854775807";
/// A journal segment, and Kafka's least segment.
pub(super) const SEGMENT: &str = "67108864";
pub(super) const SEGMENT_MIN: i64 = 1 << 20;
pub(super) const TIMESTAMP_TYPES: Takes = Takes::OneOf(&["CreateTime", LOG_APPEND_TIME]);
pub(super) const POLICIES: Takes = Takes::OneOf(&["compact", "delete"]);
pub(super) const COMPRESSIONS: Takes =
    Takes::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]);
pub(super) const MESSAGE_SIZES: Takes = Takes::Between(0, limits::MESSAGE_MAX_BYTES_CEILING as i64);

const fn enforced(
    name: &'static str,
    kind: Type,
    takes: Takes,
    default: &'static str,
    broker: Option<&'static str>,
    doc: &'static str,
) -> TopicConfig {
    TopicConfig { name, kind, takes, default, broker, fixed: false, internal: None, doc }
}

const fn fixed(
    name: &'static str,
    kind: Type,
    takes: Takes,
    default: &'static str,
    (broker, internal): (Option<&'static str>, Option<&'static str>),
    doc: &'static str,
) -> TopicConfig {
    TopicConfig { name, kind, takes, default, broker, fixed: true, internal, doc }
}

pub(super) static TABLE: [TopicConfig; 14] = [
    enforced(
        DURABILITY,
        Type::String,
        Takes::OneOf(&["fsync", "os"]),
        "fsync",
        None,
        "What an acknowledgement means: on disk (fsync), or in the page cache and synced within a second (os).",
    ),
    fixed(
        CLEANUP,
        Type::List,
        POLICIES,
        "delete",
        (Some("log.cleanup.policy"), Some("compact")),
        "Old records are deleted; compaction is not supported by this version.",
    ),
    fixed(
        "compression.type",
        Type::String,
        COMPRESSIONS,
        "producer",
        (Some("compression.type"), None),
        "Batches are stored as the producer compressed them.",
    ),
    enforced(
        FLUSH,
        Type::Long,
        Takes::AtLeast(1),
        "1",
        Some("log.flush.interval.messages"),
        "1: every record is on disk before it is acknowledged; more: in the page cache, synced within a second.",
    ),
    enforced(
        MAX_MESSAGE,
        Type::Int,
        MESSAGE_SIZES,
        "1048588",
        Some("message.max.bytes"),
        "The largest batch of records that is taken, as it was sent. Bytes.",
    ),
    enforced(
        AFTER,
        Type::Long,
        Takes::AtLeast(0),
        "3600000",
        Some("log.message.timestamp.after.max.ms"),
        "How far a record's timestamp may lie ahead of the broker's clock. Milliseconds.",
    ),
    enforced(
        BEFORE,
        Type::Long,
        Takes::AtLeast(0),
        FOREVER,
        Some("log.message.timestamp.before.max.ms"),
        "How far a record's timestamp may lie behind the broker's clock. Milliseconds.",
    ),
    enforced(
        TIMESTAMP_TYPE,
        Type::String,
        TIMESTAMP_TYPES,
        "CreateTime",
        Some("log.message.timestamp.type"),
        "Whose time a record carries: the producer's (CreateTime) or the broker's (LogAppendTime).",
    ),
    fixed(
        "min.insync.replicas",
        Type::Int,
        Takes::AtLeast(1),
        "1",
        (Some("min.insync.replicas"), None),
        "In-sync replicas that a write with acks=all waits for: there is one replica.",
    ),
    fixed(
        "remote.storage.enable",
        Type::Boolean,
        Takes::Any,
        "false",
        (None, None),
        "There is no tiered storage.",
    ),
    enforced(
        RETENTION_BYTES,
        Type::Long,
        Takes::Any,
        "-1",
        Some("log.retention.bytes"),
        "Bytes that a partition keeps at most, its oldest records deleted first; negative: no bound.",
    ),
    enforced(
        RETENTION_MS,
        Type::Long,
        Takes::AtLeast(-1),
        "604800000",
        Some("log.retention.ms"),
        "How long records are kept. Milliseconds; -1: for ever.",
    ),
    fixed(
        "segment.bytes",
        Type::Int,
        Takes::AtLeast(SEGMENT_MIN),
        SEGMENT,
        (Some("log.segment.bytes"), Some("104857600")),
        "Bytes of a journal segment of this node; partitions have none of their own.",
    ),
    fixed(
        "unclean.leader.election.enable",
        Type::Boolean,
        Takes::Any,
        "false",
        (Some("unclean.leader.election.enable"), None),
        "A replica that may miss acknowledged records never leads.",
    ),
];

pub(super) fn config(name: &str) -> Option<&'static TopicConfig> {
    TABLE.iter().find(|c| c.name == name)
}

/// Whether a topic config is a list, to which words can be added.
#[must_use]
pub fn is_list(name: &str) -> bool {
    config(name).is_some_and(|c| c.kind == Type::List)
}

/// Everything a topic is to have of its own, in the form in which it is stored.
pub fn check_topic(
    topic: &str,
    own: &BTreeMap<String, String>,
    statics: &Statics,
) -> Result<BTreeMap<String, String>, ConfigError> {
    if let Some(unknown) = own.keys().find(|name| config(name).is_none()) {
        return Err(ConfigError::Unknown("topic", unknown.clone()));
    }
    let internal = topic == OFFSETS_TOPIC;
    let mut checked = BTreeMap::new();
    for (name, asked) in own {
        let Some(config) = config(name) else { continue };
        let honoured = match internal && name.as_str() == CLEANUP {
            true => COMPACT,
            false => config.broker.and_then(|b| statics.value(b)).unwrap_or(config.default),
        };
        if config.fixed && asked.trim() == honoured {
            checked.insert(name.clone(), honoured.to_owned());
            continue;
        }
        let value = parse(name, config.kind, config.takes, asked)?;
        if config.fixed && value != honoured && !(internal && config.internal == Some(&*value)) {
            let (name, honoured) = (name.clone(), honoured.to_owned());
            return Err(ConfigError::Unsupported { name, value: asked.clone(), honoured });
        }
        checked.insert(name.clone(), value);
    }
    if internal {
        // Said or not: committed offsets do not go by retention.
        checked.insert(CLEANUP.to_owned(), COMPACT.to_owned());
    }
    agree(&checked)?;
    Ok(checked)
}

/// Whether what a topic has of its own can hold together.
pub fn agree(own: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    match (own.get(DURABILITY), own.get(FLUSH)) {
        (Some(durability), Some(every)) if (durability == "fsync") != (every == "1") => {
            let why = format!(
                "{DURABILITY}={durability} and {FLUSH}={every} contradict each other: set one of them"
            );
            Err(ConfigError::Conflict(why))
        }
        _ => Ok(()),
    }
}
