//! Broker configs: what the table says of one, what the configuration file says, what may be set at run time.

use super::broker_table::TABLE;
use super::layers::Layers;
use super::topic::honoured;
use super::value::{ConfigError, Takes, Type, parse};
use std::collections::BTreeMap;

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

pub(super) fn config(name: &str) -> Option<&'static BrokerConfig> {
    TABLE.iter().find(|c| c.name == name)
}

/// Whether a broker config is a list, to which words can be added.
#[must_use]
pub fn is_broker_list(name: &str) -> bool {
    config(name).is_some_and(|c| c.kind == Type::List)
}

/// What the configuration file says, by Kafka's names: only what differs from the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statics(BTreeMap<String, String>);

impl Statics {
    /// Of these values; one that is the default says nothing.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = (&'static str, String)>) -> Statics {
        let says = |name: &str, value: &str| config(name).is_some_and(|c| c.default != Some(value));
        Statics(
            values
                .into_iter()
                .filter(|(name, value)| says(name, value))
                .map(|(n, v)| (n.to_owned(), v))
                .collect(),
        )
    }

    /// What the file says.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// What the file says, or the default.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).or_else(|| config(name)?.default)
    }

    pub(super) fn number(&self, name: &str, or: i64) -> i64 {
        self.value(name).and_then(|v| v.parse().ok()).unwrap_or(or)
    }
}

/// Everything a broker, or all of them, is to have set at run time, in the form in which it is stored.
pub fn check_broker(own: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut checked = BTreeMap::new();
    for (name, asked) in own {
        let Some(config) = config(name) else {
            return Err(ConfigError::Unknown("broker config name", name.clone()));
        };
        if config.mode == Mode::Static {
            return Err(ConfigError::NotDynamic(name.clone()));
        }
        let value = parse(name, config.kind, config.takes, asked)?;
        if let Mode::Only(works) = config.mode
            && !honoured(&value, works)
        {
            return Err(ConfigError::Unsupported { name: name.clone(), value, honoured: works.join(" or ") });
        }
        checked.insert(name.clone(), value);
    }
    Ok(checked)
}

/// Whether what holds for a broker can hold together: what stays local is a part of what is kept.
pub fn agree_broker(layers: &Layers<'_>) -> Result<(), ConfigError> {
    let hours = layers.broker_number("log.retention.hours").map(|hours| hours.saturating_mul(3_600_000));
    let kept_ms = layers.broker_number("log.retention.ms").or(hours);
    let pairs = [
        ("log.local.retention.ms", "log.retention.ms", kept_ms),
        ("log.local.retention.bytes", "log.retention.bytes", layers.broker_number("log.retention.bytes")),
    ];
    for (local, kept, most) in pairs {
        let (Some(part), Some(most)) = (layers.broker_number(local), most) else { continue };
        let wants = match part {
            _ if most < 0 || part == -2 => continue,
            -1 => format!("Value must not be -1 as {kept} value is set as {most}."),
            _ if part > most => format!("Value must not be more than {kept} property value: {most}"),
            _ => continue,
        };
        return Err(ConfigError::Invalid { name: local.to_owned(), value: part.to_string(), wants });
    }
    Ok(())
}
