//! Topic configs: their rows in the table, and the checks of the values that a topic gets.

use super::rows::{CLEANUP, COMPACT, Class, DURABILITY, FLUSH, MAX_LAG, MIN_LAG, REMOTE, TopicConfig};
use super::topic_table::TABLE;
use super::value::{ConfigError, Type, parse};
use crate::metadata::OFFSETS_TOPIC;
use std::collections::BTreeMap;

pub(super) fn config(name: &str) -> Option<&'static TopicConfig> {
    TABLE.iter().find(|c| c.name == name)
}

/// Whether a topic config is a list, to which words can be added.
#[must_use]
pub fn is_list(name: &str) -> bool {
    config(name).is_some_and(|c| c.kind == Type::List)
}

/// What becomes of the value of a topic config.
#[must_use]
pub fn topic_class(name: &str) -> Option<Class> {
    config(name).map(|c| c.class)
}

/// Whether this version honours every word of a checked value.
pub(super) fn honoured(value: &str, works: &[&str]) -> bool {
    value.split(',').all(|word| word.is_empty() || works.contains(&word))
}

/// Checks all configs of a topic; returns them in the form in which they are stored.
pub fn check_topic(
    topic: &str,
    own: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    if let Some(unknown) = own.keys().find(|name| config(name).is_none()) {
        return Err(ConfigError::Unknown("topic config name", unknown.clone()));
    }
    let internal = topic == OFFSETS_TOPIC;
    let mut checked = BTreeMap::new();
    for (name, asked) in own {
        let Some(config) = config(name) else { continue };
        let value = parse(name, config.kind, config.takes, asked)?;
        let works: &[&str] = match config.class {
            Class::Refused(_) if internal && name == CLEANUP => &[COMPACT],
            Class::Refused(words) => words,
            _ => &[],
        };
        let empty = internal && value.is_empty();
        if !works.is_empty() && (empty || !honoured(&value, works)) {
            return Err(unsupported(name, &value, works));
        }
        checked.insert(name.clone(), value);
    }
    if internal {
        // Set or not, because retention must not delete committed offsets.
        checked.insert(CLEANUP.to_owned(), COMPACT.to_owned());
    }
    agree(&checked)?;
    Ok(checked)
}

/// Refuses a value that Kafka takes and this version does not honour. Without tiered storage Kafka refuses it too.
fn unsupported(name: &str, value: &str, works: &[&str]) -> ConfigError {
    if name == REMOTE {
        let why = "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.";
        return ConfigError::Conflict(why.to_owned());
    }
    ConfigError::Unsupported { name: name.into(), value: value.into(), honoured: works.join(" or ") }
}

/// Whether the configs of a topic contradict each other.
pub fn agree(own: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    if let (Some(durability), Some(every)) = (own.get(DURABILITY), own.get(FLUSH))
        && (durability == "fsync") != (every == "1")
    {
        let why =
            format!("{DURABILITY}={durability} and {FLUSH}={every} contradict each other: set one of them");
        return Err(ConfigError::Conflict(why));
    }
    let lag = |name| own.get(name).and_then(|value| value.parse::<i64>().ok());
    if let (Some(least), Some(most)) = (lag(MIN_LAG), lag(MAX_LAG))
        && least > most
    {
        let why = format!("conflict topic config setting {MIN_LAG} ({least}) > {MAX_LAG} ({most})");
        return Err(ConfigError::Conflict(why));
    }
    Ok(())
}
