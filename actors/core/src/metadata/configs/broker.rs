//! Broker configs: what the table says of one, and what may be set at run time.

use super::broker_table::TABLE;
use super::rows::{BrokerConfig, Mode};
use super::topic::honoured;
use super::value::{ConfigError, Type, parse};
use std::collections::BTreeMap;

pub(super) fn config(name: &str) -> Option<&'static BrokerConfig> {
    TABLE.iter().find(|c| c.name == name)
}

/// Whether a broker config is a list, to which words can be added.
#[must_use]
pub fn is_broker_list(name: &str) -> bool {
    config(name).is_some_and(|c| c.kind == Type::List)
}

/// Checks all configs that a broker, or all brokers, would have at run time; returns them in the form in which they
/// are stored.
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
