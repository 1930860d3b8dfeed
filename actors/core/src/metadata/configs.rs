//! Topic configs: one table of those that are enforced, with their defaults and checks.
//!
//! A config that is not enforced yet is refused, with the value that would be honoured; nothing is stored and ignored.

use crate::limits;
use crate::partition::LeaderConfig;
use crate::storage::Durability;
use std::collections::BTreeMap;

/// Why a config is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nobody knows it.
    #[error("unknown topic config {0}")]
    Unknown(String),
    /// Known, and this value is not enforced yet.
    #[error("{name}={value} is not supported by this version: leave it out, or set it to {honoured}")]
    Unsupported {
        /// The config.
        name: String,
        /// What was asked.
        value: String,
        /// What would be honoured.
        honoured: &'static str,
    },
    /// Not a value it can have.
    #[error("{name}={value} is invalid: {wants}")]
    Invalid {
        /// The config.
        name: String,
        /// What was asked.
        value: String,
        /// What it takes.
        wants: String,
    },
}

enum Kind {
    /// A number in a range.
    Number(i64, i64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Only this value means what the broker does.
    Only(&'static str),
}

struct Config {
    name: &'static str,
    default: &'static str,
    kind: Kind,
}

const fn config(name: &'static str, default: &'static str, kind: Kind) -> Config {
    Config { name, default, kind }
}

const MAX_MESSAGE: &str = "max.message.bytes";
const BEFORE: &str = "message.timestamp.before.max.ms";
const AFTER: &str = "message.timestamp.after.max.ms";
const DURABILITY: &str = "callboard.durability";
const FLUSH: &str = "flush.messages";

static TABLE: [Config; 13] = [
    config(DURABILITY, "fsync", Kind::Word(&["fsync", "os"])),
    config("cleanup.policy", "delete", Kind::Only("delete")),
    config("compression.type", "producer", Kind::Only("producer")),
    config("delete.retention.ms", "86400000", Kind::Only("86400000")),
    config(FLUSH, "1", Kind::Number(1, i64::MAX)),
    config(MAX_MESSAGE, "1048588", Kind::Number(0, limits::MESSAGE_MAX_BYTES_CEILING as i64)),
    config(AFTER, "3600000", Kind::Number(0, i64::MAX)),
    config(BEFORE, "9223372036854775807", Kind::Number(0, i64::MAX)),
    config("message.timestamp.type", "CreateTime", Kind::Only("CreateTime")),
    config("min.insync.replicas", "1", Kind::Only("1")),
    config("retention.bytes", "-1", Kind::Only("-1")),
    config("retention.ms", "-1", Kind::Only("-1")),
    config("unclean.leader.election.enable", "false", Kind::Only("false")),
];

/// Checks one config.
pub fn check(name: &str, value: &str) -> Result<(), ConfigError> {
    let Some(config) = TABLE.iter().find(|c| c.name == name) else {
        return Err(ConfigError::Unknown(name.into()));
    };
    let invalid = |wants: String| ConfigError::Invalid { name: name.into(), value: value.into(), wants };
    match config.kind {
        Kind::Only(honoured) if value == honoured => Ok(()),
        Kind::Only(honoured) => {
            Err(ConfigError::Unsupported { name: name.into(), value: value.into(), honoured })
        }
        Kind::Word(words) if words.contains(&value) => Ok(()),
        Kind::Word(words) => Err(invalid(format!("it takes {}", words.join(" or ")))),
        Kind::Number(least, most) => match value.trim().parse::<i64>() {
            Ok(n) if n >= least && n <= most => Ok(()),
            _ => Err(invalid(format!("it takes a number from {least} to {most}"))),
        },
    }
}

/// All configs with the values a topic has, and whether each is its own.
pub fn effective(configs: &BTreeMap<String, String>) -> impl Iterator<Item = (&'static str, String, bool)> {
    TABLE.iter().map(|c| match configs.get(c.name) {
        Some(value) => (c.name, value.clone(), true),
        None => (c.name, c.default.to_owned(), false),
    })
}

/// What a topic's configs say to its leaders; `default` is the node's durability.
#[must_use]
pub fn leader_config(configs: &BTreeMap<String, String>, default: Durability) -> LeaderConfig {
    let number = |name: &str, or: i64| configs.get(name).and_then(|v| v.trim().parse().ok()).unwrap_or(or);
    let base = LeaderConfig::default();
    let durability = match (configs.get(DURABILITY).map(String::as_str), configs.get(FLUSH)) {
        (Some("os"), _) => Durability::Os,
        (Some(_), _) => Durability::Fsync,
        // Kafka's own words for the same choice: every message flushed, or left to the system.
        (None, Some(every)) if every.trim() == "1" => Durability::Fsync,
        (None, Some(_)) => Durability::Os,
        (None, None) => default,
    };
    LeaderConfig {
        durability,
        max_message_bytes: number(MAX_MESSAGE, base.max_message_bytes as i64) as usize,
        timestamp_before_max_ms: number(BEFORE, base.timestamp_before_max_ms),
        timestamp_after_max_ms: number(AFTER, base.timestamp_after_max_ms),
        ..base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_passes_its_own_check() {
        for config in &TABLE {
            assert_eq!(check(config.name, config.default), Ok(()), "{}", config.name);
        }
        assert!(TABLE.is_sorted_by_key(|c| c.name));
    }

    #[test]
    fn what_is_not_enforced_is_refused() {
        assert!(matches!(check("retention.ms", "1000"), Err(ConfigError::Unsupported { .. })));
        assert!(matches!(check("no.such", "1"), Err(ConfigError::Unknown(_))));
        assert!(matches!(check(MAX_MESSAGE, "many"), Err(ConfigError::Invalid { .. })));
        assert!(matches!(check(MAX_MESSAGE, "99999999999"), Err(ConfigError::Invalid { .. })));
    }

    #[test]
    fn durability_is_kafkas_flush_or_our_own_word() {
        let of = |name: &str, value: &str| {
            leader_config(&BTreeMap::from([(name.to_owned(), value.to_owned())]), Durability::Fsync)
                .durability
        };
        assert_eq!(of(DURABILITY, "os"), Durability::Os);
        assert_eq!(of(FLUSH, "1"), Durability::Fsync);
        assert_eq!(of(FLUSH, "10000"), Durability::Os);
    }
}
