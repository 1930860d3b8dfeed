//! Configs of groups and of subscriptions to clients' metrics. They are checked and stored as in Kafka, and take
//! effect with features to come.
//!
//! ```text
//!   consumer.*  with the groups of KIP-848     share.*  with share groups     streams.*  with streams groups (KIP-1071)
//!   interval.ms, match, metrics  with client telemetry (KIP-714)
//! ```
//! As in Kafka, classic groups have no configs.

use super::entry::{Entry, Source, Synonym};
use super::others_table::{GROUPS, METRICS};
use super::rows::OtherConfig;
use super::value::{ConfigError, parse};
use std::collections::BTreeMap;

/// Bounds of the time between two metrics of a client, in milliseconds.
const INTERVALS: std::ops::RangeInclusive<i64> = 100..=3_600_000;

/// Checks all configs of a group; returns them in the form in which they are stored.
pub fn check_group(own: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ConfigError> {
    let checked = check(&GROUPS, "group config name", own)?;
    for config in &GROUPS {
        let value = checked.get(config.name).and_then(|value| value.parse::<i64>().ok());
        let (Some(value), Some((least, most))) = (value, config.within) else { continue };
        let (compared, bound) = match value {
            _ if value < least => ("greater", "min"),
            _ if value > most => ("less", "max"),
            _ => continue,
        };
        let (protocol, rest) = config.name.split_once('.').unwrap_or((config.name, ""));
        let rest = rest.strip_prefix("num.").unwrap_or(rest);
        let why =
            format!("{} must be {compared} than or equal to group.{protocol}.{bound}.{rest}", config.name);
        return Err(ConfigError::Conflict(why));
    }
    Ok(checked)
}

/// Checks all configs of a subscription; returns them in the form in which they are stored.
pub fn check_metrics(own: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ConfigError> {
    let checked = check(&METRICS, "client metrics configuration", own)?;
    match checked.get("interval.ms") {
        Some(value) if !value.parse().is_ok_and(|ms: i64| INTERVALS.contains(&ms)) => {
            let (least, most) = (INTERVALS.start(), INTERVALS.end());
            Err(ConfigError::Conflict(format!(
                "Invalid value {value} for interval.ms, interval must be between {least} and {most} (1 hour)"
            )))
        }
        _ => Ok(checked),
    }
}

fn check(
    table: &[OtherConfig],
    what: &'static str,
    own: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let of = |name: &str| table.iter().find(|config| config.name == name);
    if let Some(unknown) = own.keys().find(|name| of(name).is_none()) {
        return Err(ConfigError::Unknown(what, unknown.clone()));
    }
    let mut checked = BTreeMap::new();
    for (config, asked) in own.iter().filter_map(|(name, asked)| Some((of(name)?, asked))) {
        let value = parse(config.name, config.kind, config.takes, asked)?;
        checked.insert(config.name.to_owned(), value);
    }
    Ok(checked)
}

/// All configs of a group.
#[must_use]
pub fn group_entries(own: &BTreeMap<String, String>) -> Vec<Entry> {
    GROUPS.iter().map(|config| entry(config, own, Source::Group)).collect()
}

/// All configs of a subscription.
#[must_use]
pub fn metrics_entries(own: &BTreeMap<String, String>) -> Vec<Entry> {
    METRICS.iter().map(|config| entry(config, own, Source::ClientMetrics)).collect()
}

fn entry(config: &'static OtherConfig, own: &BTreeMap<String, String>, source: Source) -> Entry {
    let mine = own.get(config.name).map(|value| (config.name, value.clone(), source));
    let below = config.broker.map(|name| (name, config.default.to_owned(), Source::Default));
    let synonyms: Vec<Synonym> =
        mine.into_iter().chain(below).map(|(name, value, source)| Synonym { name, value, source }).collect();
    Entry::new(config.name, (config.kind, config.doc), Some(config.default), synonyms)
}
