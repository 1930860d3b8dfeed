//! Configs of topics and brokers: which there are, what they take, where a value comes from.
//!
//! ```text
//!   topic's own ─> this broker's, dynamic ─> all brokers', dynamic ─> configuration file ─> default     (layers.rs)
//!   topic.rs, broker.rs: the tables      alter: controller/configs.rs       what a leader is told: leader_config
//! ```
//!
//! A config is in a table only if it is *enforced* (its value changes what the broker does) or *read-only* (it says
//! what the broker does, and takes that value only). Everything else is refused: nothing is stored and ignored.
//!
//! | topic config | |
//! |---|---|
//! | `callboard.durability`, `flush.messages` | enforced: one choice in two words, so they may not contradict each other |
//! | `max.message.bytes` | enforced |
//! | `message.timestamp.type`, `message.timestamp.before.max.ms`, `message.timestamp.after.max.ms` | enforced |
//! | `retention.ms`, `retention.bytes` | enforced |
//! | `cleanup.policy` | read-only `delete`; of an internal topic, which the broker compacts by itself, `compact` |
//! | `compression.type` | read-only `producer`: batches are stored as they were sent |
//! | `min.insync.replicas` | read-only 1: there is one replica |
//! | `remote.storage.enable`, `unclean.leader.election.enable` | read-only `false` |
//! | `segment.bytes` | read-only: segments belong to the node, not to a topic; internal topics may say Kafka's value |
//! | all others of Kafka | unknown here: compaction's, index, segment, jitter, preallocation, throttling and tiering have nothing they could change |
//!
//! Defaults are Kafka's, but for two: `flush.messages` is 1 (a record is on disk before it is acknowledged), and
//! `segment.bytes` is the journal's.
//!
//! Broker configs that Kafka can change at run time and that are enforced here are dynamic, for one broker or for all;
//! they are the defaults of topic configs. All others of the table are read-only and come from the configuration file.

mod broker;
mod layers;
mod topic;

#[cfg(test)]
mod tests;

pub use broker::{Statics, check_broker, is_broker_list};
pub use layers::{
    Entry, Layers, Source, Synonym, broker_entries, cluster_entries, leader_config, topic_entries,
};
pub use topic::{agree, check_topic, is_list};

/// Types of values, by Kafka's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum Type {
    /// `true` or `false`.
    Boolean = 1,
    /// Words.
    String = 2,
    /// 32 bits.
    Int = 3,
    /// 16 bits.
    Short = 4,
    /// 64 bits.
    Long = 5,
    /// Words with commas.
    List = 7,
}

/// Which values a config takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Takes {
    /// Whatever its type does.
    Any,
    /// Numbers from here on.
    AtLeast(i64),
    /// Numbers from here to there.
    Between(i64, i64),
    /// −1, or numbers from 1 on.
    UnlimitedOrPositive,
    /// One of these words; of a list, any of them.
    OneOf(&'static [&'static str]),
}

/// Why a config is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nobody knows it.
    #[error("Unknown {0} config name: {1}")]
    Unknown(&'static str, String),
    /// A value that its type or its bounds do not allow.
    #[error("Invalid value {value} for configuration {name}: {wants}")]
    Invalid {
        /// The config.
        name: String,
        /// What was asked.
        value: String,
        /// What it takes.
        wants: String,
    },
    /// It says what the broker does, and that is something else.
    #[error("{name}={value} is not supported by this version: leave it out, or set it to {honoured}")]
    Unsupported {
        /// The config.
        name: String,
        /// What was asked.
        value: String,
        /// What is honoured.
        honoured: String,
    },
    /// Only the configuration file sets it.
    #[error("Cannot update these configs dynamically: [{0}]")]
    NotDynamic(String),
    /// Two configs of one topic that cannot both hold.
    #[error("{0}")]
    Conflict(String),
}

/// A value in the form in which it is stored, if its type and its bounds allow it.
fn parse(name: &str, kind: Type, takes: Takes, value: &str) -> Result<String, ConfigError> {
    let invalid = |wants: String| ConfigError::Invalid { name: name.into(), value: value.into(), wants };
    let trimmed = value.trim();
    let number = |least: i64, most: i64, of: &str| {
        let n: i64 = trimmed.parse().map_err(|_| invalid(format!("Not a number of type {of}")))?;
        if n < least || n > most {
            return Err(invalid(format!("Not a number of type {of}")));
        }
        Ok(n)
    };
    let bounded = |n: i64| match takes {
        Takes::AtLeast(least) if n < least => Err(invalid(format!("Value must be at least {least}"))),
        Takes::Between(least, _) if n < least => Err(invalid(format!("Value must be at least {least}"))),
        Takes::Between(_, most) if n > most => {
            Err(invalid(format!("Value must be no more than {most}, the most this version takes")))
        }
        Takes::UnlimitedOrPositive if n < 1 && n != -1 => {
            Err(invalid("Value must be unlimited (-1) or, greater than or equal to 1".into()))
        }
        _ => Ok(n.to_string()),
    };
    match kind {
        Type::Int => bounded(number(i32::MIN.into(), i32::MAX.into(), "INT")?),
        Type::Short => bounded(number(i16::MIN.into(), i16::MAX.into(), "SHORT")?),
        Type::Long => bounded(number(i64::MIN, i64::MAX, "LONG")?),
        Type::Boolean => match trimmed.to_ascii_lowercase() {
            word if word == "true" || word == "false" => Ok(word),
            _ => Err(invalid("Expected value to be either true or false".into())),
        },
        Type::String | Type::List => {
            let Takes::OneOf(words) = takes else { return Ok(trimmed.to_owned()) };
            let parts: Vec<&str> = match kind {
                Type::List => trimmed.split(',').map(str::trim).filter(|part| !part.is_empty()).collect(),
                _ => vec![trimmed],
            };
            if parts.iter().all(|part| words.contains(part)) {
                return Ok(parts.join(","));
            }
            Err(invalid(format!("String must be one of: {}", words.join(", "))))
        }
    }
}
