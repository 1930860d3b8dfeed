//! Resolves a config: the value of the first layer that sets one.
//!
//! Reports (`Entry`, as DescribeConfigs shows it) and leaders (`replica_config`) use the same resolution, so they
//! cannot differ. Checks of values stand elsewhere (`topic.rs`, `broker.rs`).

use super::entry::{Entry, Source, Synonym};
use super::rows::{
    AFTER, BEFORE, BrokerConfig, CLEANUP, COMPACT, Class, DURABILITY, FACTOR, FLUSH, FOREVER,
    LOG_APPEND_TIME, MAX_MESSAGE, MIN_INSYNC, Mode, RETENTION_BYTES, RETENTION_MS, TIMESTAMP_TYPE,
    TopicConfig, VALIDATE,
};
use super::statics::Statics;
use super::value::Type;
use super::{broker, broker_table, topic, topic_table};
use crate::partition::ReplicaConfig;
use crate::storage::Durability;
use std::collections::BTreeMap;

/// Replicas of a topic for which neither a request nor the file states a number, where there are as many nodes.
const FACTOR_MAX: usize = 3;

/// The layers below a topic's own configs.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// Set for this broker at run time.
    pub broker: Option<&'a BTreeMap<String, String>>,
    /// Set for all brokers at run time.
    pub cluster: &'a BTreeMap<String, String>,
    pub statics: &'a Statics,
    /// Registered nodes, fenced or not.
    pub nodes: usize,
}

/// Names of one broker config, the first to hold first.
fn names(name: &'static str) -> &'static [&'static str] {
    const RETENTION: [&str; 2] = ["log.retention.ms", "log.retention.hours"];
    const ROLL: [&str; 2] = ["log.roll.ms", "log.roll.hours"];
    const JITTER: [&str; 2] = ["log.roll.jitter.ms", "log.roll.jitter.hours"];
    const FLUSHED: [&str; 2] = ["log.flush.interval.ms", "log.flush.scheduler.interval.ms"];
    match name {
        "log.retention.ms" | "log.retention.hours" => &RETENTION,
        "log.roll.ms" | "log.roll.hours" => &ROLL,
        "log.roll.jitter.ms" | "log.roll.jitter.hours" => &JITTER,
        "log.flush.interval.ms" | "log.flush.scheduler.interval.ms" => &FLUSHED,
        _ => broker::config(name).map_or(&[], |c| std::slice::from_ref(&c.name)),
    }
}

impl Layers<'_> {
    /// Every place below the topics that sets a broker config.
    fn synonyms(&self, name: &'static str) -> Vec<Synonym> {
        let mut out = Vec::new();
        let mut look = |source, of: &dyn Fn(&str) -> Option<String>| {
            let found = names(name).iter().filter_map(|&name| Some((name, of(name)?)));
            out.extend(found.map(|(name, value)| Synonym { name, value, source }));
        };
        look(Source::DynamicBroker, &|name| self.broker?.get(name).cloned());
        look(Source::DynamicDefault, &|name| self.cluster.get(name).cloned());
        look(Source::Static, &|name| self.statics.get(name).map(str::to_owned));
        look(Source::Default, &|name| self.default(name));
        // Like Kafka, another name counts only where this one is set too.
        out.into_iter().skip_while(|synonym| synonym.name != name).collect()
    }

    fn default(&self, name: &str) -> Option<String> {
        match name {
            FACTOR => Some(self.chosen_factor().to_string()),
            _ => broker::config(name)?.default.map(str::to_owned),
        }
    }

    /// The number of replicas that the cluster chooses where nothing sets one.
    #[must_use]
    pub fn chosen_factor(&self) -> usize {
        self.nodes.clamp(1, FACTOR_MAX)
    }

    /// Replicas of a user's topic that states no number.
    #[must_use]
    pub fn default_factor(&self) -> usize {
        let said = self.broker_number(FACTOR).and_then(|factor| usize::try_from(factor).ok());
        said.unwrap_or_else(|| self.chosen_factor())
    }

    fn topic(&self, config: &'static TopicConfig, own: &BTreeMap<String, String>) -> Entry {
        let below = config.broker.map(|name| self.synonyms(name)).unwrap_or_default();
        let mine = own.get(config.name).map(|value| Synonym {
            name: config.name,
            value: value.clone(),
            source: Source::Topic,
        });
        let synonyms: Vec<Synonym> = mine.into_iter().chain(below).collect();
        Entry {
            // A list with refused words may still be empty.
            read_only: matches!(config.class, Class::Refused(_)) && config.kind != Type::List,
            ..Entry::new(config.name, (config.kind, config.doc), Some(config.default), synonyms)
        }
    }

    fn value(&self, name: &str, own: &BTreeMap<String, String>) -> String {
        topic::config(name).and_then(|c| self.topic(c, own).value).unwrap_or_default()
    }

    fn number(&self, name: &str, own: &BTreeMap<String, String>) -> i64 {
        self.value(name, own).parse().unwrap_or(-1)
    }

    /// The number that a broker has, if any layer sets it.
    pub(super) fn broker_number(&self, name: &'static str) -> Option<i64> {
        self.synonyms(name).first()?.value.parse().ok()
    }

    /// The durability of a topic, which two configs set: the one of our own counts before Kafka's.
    fn durability(&self, own: &BTreeMap<String, String>) -> Durability {
        let fsync = match own.get(DURABILITY) {
            Some(word) => word == "fsync",
            None => self.value(FLUSH, own) == "1",
        };
        if fsync { Durability::Fsync } else { Durability::Os }
    }
}

/// All configs of a topic, by name.
#[must_use]
pub fn topic_entries(own: &BTreeMap<String, String>, layers: &Layers<'_>) -> Vec<Entry> {
    let fsync = layers.durability(own) == Durability::Fsync;
    let says = |entry: Entry, value: &str| match entry.value.as_deref() {
        Some(same) if same == value => entry,
        // The topic sets it by the other config.
        _ => Entry { value: Some(value.to_owned()), source: Source::Default, synonyms: Vec::new(), ..entry },
    };
    topic_table::TABLE
        .iter()
        .map(|config| layers.topic(config, own))
        .map(|entry| match entry.name {
            DURABILITY => says(entry, if fsync { "fsync" } else { "os" }),
            FLUSH if own.contains_key(DURABILITY) && !own.contains_key(FLUSH) => {
                says(entry, if fsync { "1" } else { FOREVER })
            }
            _ => entry,
        })
        .collect()
}

/// All configs of a topic of a cluster, by name, whose smallest partition has so many replicas. Stock tools compare
/// `min.insync.replicas` with the ISR as it is told, so a default above the replicas is told as all of them.
#[must_use]
pub fn topic_entries_of(own: &BTreeMap<String, String>, layers: &Layers<'_>, replicas: usize) -> Vec<Entry> {
    let mut entries = topic_entries(own, layers);
    let unset = |entry: &&mut Entry| entry.name == MIN_INSYNC && !own.contains_key(MIN_INSYNC);
    if let Some(entry) = entries.iter_mut().find(unset) {
        entry.value = Some(min_insync_replicas(own, layers, replicas).to_string());
    }
    entries
}

fn broker_entry(config: &'static BrokerConfig, synonyms: Vec<Synonym>) -> Entry {
    Entry {
        read_only: match config.mode {
            Mode::Only(_) => config.kind != Type::List,
            Mode::Static => true,
            Mode::Dynamic | Mode::WhereSet => false,
        },
        ..Entry::new(config.name, (config.kind, config.doc), config.default, synonyms)
    }
}

/// All configs of a broker, by name.
#[must_use]
pub fn broker_entries(layers: &Layers<'_>) -> Vec<Entry> {
    let all = broker_table::TABLE.iter().map(|config| (config, layers.synonyms(config.name)));
    let listed = all.filter(|(config, synonyms)| config.mode != Mode::WhereSet || !synonyms.is_empty());
    listed.map(|(config, synonyms)| broker_entry(config, synonyms)).collect()
}

/// All configs that are set for all brokers at run time.
#[must_use]
pub fn cluster_entries(layers: &Layers<'_>) -> Vec<Entry> {
    let set = broker_table::TABLE.iter().filter(|config| layers.cluster.contains_key(config.name));
    set.map(|config| {
        let mut synonyms = layers.synonyms(config.name);
        synonyms.retain(|synonym| synonym.source == Source::DynamicDefault);
        broker_entry(config, synonyms)
    })
    .collect()
}

/// The settings of the leaders of a topic, out of all layers.
#[must_use]
pub fn replica_config(own: &BTreeMap<String, String>, layers: &Layers<'_>) -> ReplicaConfig {
    let number = |name| layers.number(name, own);
    let policies = layers.value(CLEANUP, own);
    let policy = |wanted| policies.split(',').any(|policy| policy == wanted);
    ReplicaConfig {
        durability: layers.durability(own),
        max_message_bytes: usize::try_from(number(MAX_MESSAGE)).unwrap_or(0),
        timestamp_before_max_ms: number(BEFORE),
        timestamp_after_max_ms: number(AFTER),
        producer_expiration_ms: layers.statics.number("producer.id.expiration.ms", 86_400_000),
        log_append_time: layers.value(TIMESTAMP_TYPE, own) == LOG_APPEND_TIME,
        compact: policy(COMPACT),
        delete: policy("delete"),
        validate_records: layers.value(VALIDATE, own) != "false",
        retention_ms: number(RETENTION_MS),
        retention_bytes: number(RETENTION_BYTES),
        retention_check_ms: layers.statics.number("log.retention.check.interval.ms", 300_000).unsigned_abs(),
        replica_lag_max_ms: layers.statics.number("replica.lag.time.max.ms", 30_000).unsigned_abs(),
    }
}

/// A setting of a topic that is on or off.
#[must_use]
pub fn flag(name: &str, own: &BTreeMap<String, String>, layers: &Layers<'_>) -> bool {
    layers.value(name, own) == "true"
}

/// In-sync replicas that a write with acks=all waits for, and at most as many as there are.
#[must_use]
pub fn min_insync_replicas(own: &BTreeMap<String, String>, layers: &Layers<'_>, replicas: usize) -> usize {
    let said = usize::try_from(layers.number(MIN_INSYNC, own)).unwrap_or(1);
    said.min(replicas).max(1)
}
