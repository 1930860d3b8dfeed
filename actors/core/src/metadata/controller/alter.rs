//! Decides changes of configs: all of a resource (AlterConfigs), or some of it (IncrementalAlterConfigs).
//!
//! Each resource is changed as a whole or not at all, and a refused one holds back no other. A record holds only the
//! values that differ, in their stored form. A change without a difference makes no record.

use super::basis::Basis;
use super::messages::{Alteration, ConfigOp, Refusal, ResourceKind, refuse};
use crate::error::ErrorCode;
use crate::ids::BrokerId;
use crate::limits;
use crate::metadata::configs::{
    self, ConfigError, Layers, agree_broker, check_broker, check_group, check_metrics, check_topic,
};
use crate::metadata::image::Image;
use crate::metadata::names::check_name;
use crate::metadata::record::{ConfigOf, MetadataRecord};
use std::collections::{BTreeMap, BTreeSet};

type Configs = BTreeMap<String, String>;

impl Basis<'_> {
    pub(super) fn alter(
        &self,
        asked: BrokerId,
        alterations: &[Alteration],
    ) -> (Vec<Result<(), Refusal>>, Vec<MetadataRecord>) {
        let mut resources: BTreeMap<(ResourceKind, &str), usize> = BTreeMap::new();
        for one in alterations {
            *resources.entry((one.kind, &one.name)).or_default() += 1;
        }
        let (mut outcomes, mut records) = (Vec::new(), Vec::new());
        for one in alterations {
            let changed = if resources[&(one.kind, one.name.as_str())] > 1 {
                refuse(ErrorCode::InvalidRequest, "Each resource must appear at most once.")
            } else {
                self.alter_one(asked, one)
            };
            outcomes.push(changed.map(|record| records.extend(record)));
        }
        (outcomes, records)
    }

    fn alter_one(&self, asked: BrokerId, one: &Alteration) -> Result<Option<MetadataRecord>, Refusal> {
        well_formed(one)?;
        match one.kind {
            ResourceKind::Topic => self.alter_topic(one),
            ResourceKind::Broker => self.alter_broker(asked, one),
            ResourceKind::BrokerLogger if !one.replace => {
                broker_named(asked, &one.name, "Unexpected node id. Expected")?;
                match one.changes.first() {
                    Some((logger, ..)) => {
                        refuse(ErrorCode::InvalidConfig, format!("Logger {logger} does not exist!"))
                    }
                    None => Ok(None),
                }
            }
            ResourceKind::ClientMetrics if one.name.is_empty() => {
                refuse(ErrorCode::InvalidRequest, "Subscription name can't be empty")
            }
            ResourceKind::ClientMetrics => {
                // As in Kafka, a bad value is INVALID_CONFIG, and a bad subscription is INVALID_REQUEST.
                let code = |error: &ConfigError| match error {
                    ConfigError::Unknown(..) | ConfigError::Conflict(_) => ErrorCode::InvalidRequest,
                    _ => ErrorCode::InvalidConfig,
                };
                alter_other(one, self.image, ConfigOf::ClientMetrics(one.name.clone()), check_metrics, code)
            }
            ResourceKind::Group if one.name.is_empty() => {
                refuse(ErrorCode::InvalidRequest, "Default group resources are not allowed.")
            }
            ResourceKind::Group => {
                let of = ConfigOf::Group(one.name.clone());
                alter_other(one, self.image, of, check_group, |_| ErrorCode::InvalidConfig)
            }
            ResourceKind::BrokerLogger | ResourceKind::Unknown(_) => {
                refuse(ErrorCode::InvalidRequest, format!("Unknown resource type {}", one.kind.id()))
            }
        }
    }

    fn alter_topic(&self, one: &Alteration) -> Result<Option<MetadataRecord>, Refusal> {
        if one.name.is_empty() {
            return refuse(ErrorCode::InvalidRequest, "Default topic resources are not allowed.");
        }
        check_name(&one.name).or_else(|error| refuse(ErrorCode::InvalidTopicException, error.to_string()))?;
        let topic = self.image.topic(&one.name);
        let none = Configs::new();
        let before = topic.map_or(&none, |topic| &topic.configs);
        let default = |name: &str| {
            let own = BTreeMap::new();
            let entries = configs::topic_entries(&own, &self.image.layers(-1, &self.defaults.statics));
            entries.into_iter().find(|entry| entry.name == name).and_then(|entry| entry.value)
        };
        let after = applied(one, before, configs::is_list, default, |op, name| {
            format!("Can't {op} to key {name} because its type is not LIST.")
        })?;
        let after = kept(before, after, |changed| check_topic(&one.name, changed))
            .and_then(|after| configs::agree(&after).map(|()| after))
            .or_else(|error| refuse(ErrorCode::InvalidConfig, error.to_string()))?;
        let Some(topic) = topic else {
            let message = format!("The topic '{}' does not exist.", one.name);
            return refuse(ErrorCode::UnknownTopicOrPartition, message);
        };
        Ok(difference(ConfigOf::Topic(topic.id), before, &after))
    }

    fn alter_broker(&self, asked: BrokerId, one: &Alteration) -> Result<Option<MetadataRecord>, Refusal> {
        let of = match one.name.as_str() {
            "" => ConfigOf::Cluster,
            name => ConfigOf::Broker(broker_named(asked, name, "Unexpected broker id, expected")?),
        };
        let none = Configs::new();
        let before = self.image.configs(&of).unwrap_or(&none);
        min_insync_of_all(&of, one)?;
        let default = |name: &str| self.defaults.statics.value(name).map(str::to_owned);
        let after = applied(one, before, configs::is_broker_list, default, |op, name| {
            let op = op.to_ascii_lowercase();
            format!("Config value {op} is not allowed for config key: {name}")
        })?;
        let statics = &self.defaults.statics;
        let checked = kept(before, after, check_broker).and_then(|after| {
            let mine = match of {
                ConfigOf::Cluster => Layers { cluster: &after, ..self.image.layers(asked, statics) },
                _ => Layers { broker: Some(&after), ..self.image.layers(asked, statics) },
            };
            agree_broker(&mine)?;
            Ok(after)
        });
        let after = checked.or_else(|error| {
            // As in Kafka, a bad value of a broker config is INVALID_REQUEST.
            let code = match error {
                ConfigError::Unknown(..) | ConfigError::Unsupported { .. } => ErrorCode::InvalidConfig,
                _ => ErrorCode::InvalidRequest,
            };
            refuse(code, error.to_string())
        })?;
        Ok(difference(of, before, &after))
    }
}

/// Refuses requests that no config could satisfy: names given twice, null values, unknown operations.
fn well_formed(one: &Alteration) -> Result<(), Refusal> {
    let mut names = BTreeSet::new();
    if one.changes.iter().any(|(name, ..)| !names.insert(name)) {
        return refuse(ErrorCode::InvalidRequest, "Error due to duplicate config keys");
    }
    let null = |(name, op, value): &(String, ConfigOp, Option<String>)| {
        (value.is_none() && *op != ConfigOp::Delete).then(|| name.clone())
    };
    let nulls: Vec<String> = one.changes.iter().filter_map(null).collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for : {}", nulls.join(", "));
        return refuse(ErrorCode::InvalidRequest, message);
    }
    let unknown = one.changes.iter().find_map(|(_, op, _)| match op {
        ConfigOp::Unknown(op) => Some(*op),
        _ => None,
    });
    match unknown {
        Some(op) => refuse(ErrorCode::InvalidRequest, format!("Unknown operations type {op}")),
        None => Ok(()),
    }
}

fn broker_named(asked: BrokerId, name: &str, unexpected: &str) -> Result<BrokerId, Refusal> {
    match name.parse::<BrokerId>() {
        Ok(id) if id == asked => Ok(asked),
        Ok(_) => {
            let message = format!("{unexpected} {asked}, but received {name}");
            refuse(ErrorCode::InvalidRequest, message)
        }
        Err(_) => refuse(ErrorCode::InvalidRequest, format!("Node id must be an integer, but it is: {name}")),
    }
}

/// Checks Kafka's rule for `min.insync.replicas`: all brokers share one value, and it is never taken back.
fn min_insync_of_all(of: &ConfigOf, one: &Alteration) -> Result<(), Refusal> {
    const NAME: &str = "min.insync.replicas";
    let asked = one.changes.iter().find(|(name, ..)| name == NAME).map(|(_, op, _)| *op);
    let why = match (of, asked) {
        (ConfigOf::Cluster, Some(ConfigOp::Delete)) => {
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."
        }
        (ConfigOf::Broker(_), Some(_)) => {
            "Broker-level min.insync.replicas cannot be altered while ELR is enabled."
        }
        _ => return Ok(()),
    };
    refuse(ErrorCode::InvalidConfig, why)
}

/// Alters the configs of a group or a subscription. Neither needs to exist, because its first config makes it.
fn alter_other(
    one: &Alteration,
    image: &Image,
    of: ConfigOf,
    check: fn(&Configs) -> Result<Configs, ConfigError>,
    code: fn(&ConfigError) -> ErrorCode,
) -> Result<Option<MetadataRecord>, Refusal> {
    if one.name.len() > limits::CONFIG_RESOURCE_NAME_MAX {
        let message = format!("the name has more than {} bytes", limits::CONFIG_RESOURCE_NAME_MAX);
        return refuse(ErrorCode::InvalidRequest, message);
    }
    let none = Configs::new();
    let before = image.configs(&of).unwrap_or(&none);
    // No config here counts as a list, because Kafka knows the types of topics' and brokers' configs only.
    let no_list = |op: &str, name: &str| format!("Can't {op} to key {name} because its type is not LIST.");
    let after = applied(one, before, |_| false, |_| None, no_list)?;
    let after = kept(before, after, check).or_else(|error| refuse(code(&error), error.to_string()))?;
    Ok(difference(of, before, &after))
}

/// Applies the changes to the values that are set. The result is not checked yet.
fn applied(
    one: &Alteration,
    before: &Configs,
    is_list: fn(&str) -> bool,
    default: impl Fn(&str) -> Option<String>,
    no_list: impl Fn(&str, &str) -> String,
) -> Result<Configs, Refusal> {
    let mut after = if one.replace { Configs::new() } else { before.clone() };
    for (name, op, value) in &one.changes {
        let value = value.as_deref().unwrap_or_default();
        if value.len() > limits::CONFIG_VALUE_MAX {
            let error = ConfigError::TooLong(name.clone(), value.len());
            return refuse(ErrorCode::InvalidConfig, error.to_string());
        }
        let word = if *op == ConfigOp::Append { "APPEND" } else { "SUBTRACT" };
        match op {
            ConfigOp::Set | ConfigOp::Unknown(_) => {
                after.insert(name.clone(), value.to_owned());
            }
            ConfigOp::Delete => {
                after.remove(name);
            }
            ConfigOp::Append | ConfigOp::Subtract if !is_list(name) => {
                return refuse(ErrorCode::InvalidConfig, no_list(word, name));
            }
            ConfigOp::Append | ConfigOp::Subtract => {
                let old = before.get(name).cloned().or_else(|| default(name)).unwrap_or_default();
                after.insert(name.clone(), with_words(&old, *op, value));
            }
        }
    }
    Ok(after)
}

/// Adds new words to a list, or takes words out as often as they are named.
fn with_words(old: &str, op: ConfigOp, value: &str) -> String {
    let mut words: Vec<&str> = old.split(',').filter(|word| !word.is_empty()).collect();
    if op == ConfigOp::Append {
        let mut known: BTreeSet<&str> = words.iter().copied().collect();
        words.extend(value.split(',').map(str::trim).filter(|word| known.insert(word)));
    } else {
        let mut named: BTreeMap<&str, usize> = BTreeMap::new();
        value.split(',').for_each(|word| *named.entry(word.trim()).or_default() += 1);
        words.retain(|word| match named.get_mut(word) {
            Some(times) if *times > 0 => {
                *times -= 1;
                false
            }
            _ => true,
        });
    }
    words.join(",")
}

/// Checks only the new values, because the stored ones passed their check before.
fn kept(
    before: &Configs,
    after: Configs,
    check: impl Fn(&Configs) -> Result<Configs, ConfigError>,
) -> Result<Configs, ConfigError> {
    let (same, changed): (Configs, Configs) =
        after.into_iter().partition(|(name, value)| before.get(name) == Some(value));
    let mut all = check(&changed)?;
    all.extend(same);
    Ok(all)
}

fn difference(of: ConfigOf, before: &Configs, after: &Configs) -> Option<MetadataRecord> {
    let gone = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), None));
    let set = after.iter().filter(|(name, value)| before.get(*name) != Some(*value));
    let changes: BTreeMap<_, _> =
        gone.chain(set.map(|(name, value)| (name.clone(), Some(value.clone())))).collect();
    (!changes.is_empty()).then_some(MetadataRecord::Configs { of, changes })
}
