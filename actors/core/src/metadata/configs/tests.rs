//! The tables agree with themselves, and values come from where Kafka takes them.

use super::rows::{DURABILITY, FLUSH, FOREVER, MAX_MESSAGE, Mode};
use super::{broker, broker_table, others_table, topic_table, *};
use crate::partition::ReplicaConfig;
use crate::storage::Durability;
use std::collections::BTreeMap;

type Configs = BTreeMap<String, String>;

fn own<const N: usize>(pairs: [(&str, &str); N]) -> Configs {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn checked(name: &str, value: &str) -> Result<Configs, ConfigError> {
    check_topic("t", &own([(name, value)]))
}

fn layered<T>(broker: &Configs, cluster: &Configs, statics: &Statics, of: impl Fn(&Layers<'_>) -> T) -> T {
    of(&Layers { broker: Some(broker), cluster, statics, nodes: 1 })
}

#[test]
fn every_default_passes_its_own_check() {
    assert!(topic_table::TABLE.is_sorted_by_key(|c| (!c.name.starts_with("callboard."), c.name)));
    for config in &topic_table::TABLE {
        assert_eq!(checked(config.name, config.default), Ok(own([(config.name, config.default)])));
        if let Some(name) = config.broker {
            let broker = broker::config(name).unwrap();
            let unlike = ["log.retention.ms", "log.flush.interval.ms"].contains(&name);
            assert_eq!((broker.kind, broker.takes == config.takes || unlike), (config.kind, true), "{name}");
            assert!(broker.default.is_none_or(|default| default == config.default), "{name}");
            match (broker.mode, config.class) {
                (Mode::Only(broker), Class::Refused(topic)) => assert_eq!(broker, topic),
                (mode, _) => assert_eq!(mode, Mode::Dynamic, "{name}"),
            }
        }
    }
    assert!(broker_table::TABLE.is_sorted_by_key(|c| c.name));
    for config in broker_table::TABLE.iter().filter(|c| c.mode != Mode::Static) {
        if let Some(default) = config.default {
            assert_eq!(check_broker(&own([(config.name, default)])), Ok(own([(config.name, default)])));
        }
    }
    for config in &others_table::GROUPS {
        assert_eq!(
            check_group(&own([(config.name, config.default)])),
            Ok(own([(config.name, config.default)]))
        );
    }
    for config in &others_table::METRICS {
        let set = own([(config.name, config.default)]);
        assert_eq!(check_metrics(&set), Ok(set));
    }
}

#[test]
fn the_documentation_says_what_becomes_of_a_value() {
    for config in &topic_table::TABLE {
        let says = |words: &str| assert!(config.doc.contains(words), "{}: {}", config.name, config.doc);
        match config.class {
            Class::Layout => says("Changes nothing: "),
            Class::Compaction => says("Takes effect with compaction."),
            Class::With(what) => says(&format!("Takes effect with {what}")),
            Class::Enforced | Class::Refused(_) => {}
        }
        // So does that of the broker's, which is its default.
        let broker = config.broker.and_then(broker::config).map_or("", |broker| broker.doc);
        match config.class {
            Class::Layout => assert!(broker.ends_with("which changes nothing here."), "{broker}"),
            Class::Compaction | Class::With(_) => {
                assert!(broker.is_empty() || broker.contains("which takes effect with"), "{broker}");
            }
            Class::Enforced | Class::Refused(_) => {}
        }
    }
    let others = others_table::GROUPS.iter().chain(&others_table::METRICS);
    others.for_each(|config| assert!(config.doc.contains(". Takes effect with "), "{}", config.name));
}

#[test]
fn what_is_not_honoured_is_refused() {
    for (name, value) in [
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "delete,compact"),
        ("compression.type", "gzip"),
        ("compression.type", "zstd"),
        ("compression.type", "uncompressed"),
    ] {
        assert!(matches!(checked(name, value), Err(ConfigError::Unsupported { .. })), "{name}={value}");
        let broker = own([(if name == "cleanup.policy" { "log.cleanup.policy" } else { name }, value)]);
        assert!(matches!(check_broker(&broker), Err(ConfigError::Unsupported { .. })), "{name}={value}");
    }
    for (name, value) in [
        ("cleanup.policy", "DELETE"),
        ("unclean.leader.election.enable", "maybe"),
        ("message.timestamp.type", "logappendtime"),
        ("retention.ms", "-2"),
        ("retention.ms", ""),
        (MAX_MESSAGE, "many"),
        (MAX_MESSAGE, "-1"),
        (MAX_MESSAGE, "33554433"),
        (FLUSH, "0"),
        (DURABILITY, "page-cache"),
    ] {
        assert!(matches!(checked(name, value), Err(ConfigError::Invalid { .. })), "{name}={value}");
    }
    assert!(matches!(checked("no.such", "1"), Err(ConfigError::Unknown(..))));
    assert_eq!(checked("retention.ms", " 5000 "), Ok(own([("retention.ms", "5000")])));
    let policies = |value| checked("cleanup.policy", value).unwrap().into_values().next().unwrap();
    assert_eq!((policies("delete,delete"), policies("")), ("delete".to_owned(), String::new()));
    let long = "0:1,".repeat(crate::limits::CONFIG_VALUE_MAX);
    let refused = checked("leader.replication.throttled.replicas", &long).unwrap_err().to_string();
    assert!(refused.len() < 200, "what is too long is not said again: {}", refused.len());
}

#[test]
fn what_a_topic_without_a_policy_has_is_kept_and_may_be_cut_by_hand() {
    let (none, statics) = (Configs::new(), Statics::default());
    let told = |own: &Configs| layered(&none, &none, &statics, |layers| replica_config(own, layers));
    let kept = told(&own([("cleanup.policy", "")]));
    assert_eq!((kept.compact, kept.delete), (false, false));
    let offsets = told(&own([("cleanup.policy", "compact")]));
    assert_eq!((offsets.compact, offsets.delete), (true, false));
    let broker = own([("log.cleanup.policy", "")]);
    assert!(!layered(&none, &broker, &statics, |layers| replica_config(&none, layers)).delete);
    assert!(!told(&own([("callboard.validate.records", "false")])).validate_records);
}

#[test]
fn a_write_waits_for_no_more_replicas_than_there_are() {
    let (none, statics) = (Configs::new(), Statics::default());
    let waits = |own: &Configs, cluster: &Configs, replicas| {
        layered(&none, cluster, &statics, |layers| min_insync_replicas(own, layers, replicas))
    };
    let two = own([("min.insync.replicas", "2")]);
    let counts = |replicas| waits(&two, &none, replicas);
    assert_eq!((counts(1), counts(2), counts(3)), (1, 2, 2));
    assert_eq!((waits(&none, &none, 3), waits(&none, &two, 3), waits(&none, &none, 0)), (1, 2, 1));
}

#[test]
fn what_stays_local_is_a_part_of_what_is_kept() {
    let (none, statics) = (Configs::new(), Statics::default());
    let agreed = |own: &Configs, statics: &Statics| layered(&none, own, statics, agree_broker);
    let set = |value: &str| own([("log.local.retention.ms", value)]);
    for (value, why) in [
        ("-1", "Value must not be -1 as log.retention.ms value is set as 604800000."),
        ("99999999999", "Value must not be more than log.retention.ms property value: 604800000"),
    ] {
        let words = format!("Invalid value {value} for configuration log.local.retention.ms: {why}");
        assert_eq!(agreed(&set(value), &statics).unwrap_err().to_string(), words);
    }
    let forever = Statics::new([("log.retention.ms", "-1".to_owned())]);
    assert_eq!(agreed(&set("-2"), &statics).and(agreed(&set("99999999999"), &forever)), Ok(()));
    let bytes = own([("log.retention.bytes", "50"), ("log.local.retention.bytes", "100")]);
    assert!(agreed(&bytes, &statics).is_err());
    // A topic's are compared only where its records are tiered, and none are.
    assert!(check_topic("t", &own([("retention.ms", "50"), ("local.retention.ms", "100")])).is_ok());
}

#[test]
fn internal_topics_may_be_compacted_and_no_others() {
    let offsets = own([
        ("cleanup.policy", "compact"),
        ("compression.type", "producer"),
        ("segment.bytes", "104857600"),
    ]);
    let statics = Statics::default();
    assert_eq!(check_topic("__consumer_offsets", &offsets), Ok(offsets.clone()));
    assert!(check_topic("mine", &offsets).is_err());
    let said = check_topic("__consumer_offsets", &Configs::new());
    assert_eq!(said, Ok(own([("cleanup.policy", "compact")])), "whoever makes it, retention does not apply");
    for other in ["delete", "", "compact,delete"] {
        assert!(check_topic("__consumer_offsets", &own([("cleanup.policy", other)])).is_err(), "{other}");
    }
    let none = Configs::new();
    let delete = |own: &Configs| layered(&none, &none, &statics, |layers| replica_config(own, layers).delete);
    assert!(!delete(&offsets));
    assert!(delete(&none));
}

#[test]
fn durability_is_kafkas_flush_or_our_own_word() {
    let (none, fsync) = (Configs::new(), Statics::default());
    let statics = Statics::new([("log.flush.interval.messages", FOREVER.to_owned())]);
    let of = |name: &str, value: &str, statics: &Statics| {
        let own = own([(name, value)]);
        layered(&none, &none, statics, |layers| replica_config(&own, layers).durability)
    };
    assert_eq!(of(DURABILITY, "os", &fsync), Durability::Os);
    assert_eq!(of(DURABILITY, "fsync", &statics), Durability::Fsync);
    assert_eq!(of(FLUSH, "1", &statics), Durability::Fsync);
    assert_eq!(of(FLUSH, "10000", &fsync), Durability::Os);
    let node = |statics| layered(&none, &none, statics, |layers| replica_config(&none, layers).durability);
    assert_eq!((node(&fsync), node(&statics)), (Durability::Fsync, Durability::Os));
    let at_run_time = own([("log.flush.interval.messages", "5")]);
    let dynamic = layered(&none, &at_run_time, &fsync, |layers| replica_config(&none, layers).durability);
    assert_eq!(dynamic, Durability::Os);
    // Both words, contradicting each other.
    let both = own([(DURABILITY, "os"), (FLUSH, "1")]);
    assert!(matches!(check_topic("t", &both), Err(ConfigError::Conflict(_))));
    // What is reported is what holds, whichever word said it.
    let reported = |own: &Configs, name: &str| {
        let entries = layered(&none, &none, &fsync, |layers| topic_entries(own, layers));
        entries.into_iter().find(|e| e.name == name).unwrap().value.unwrap()
    };
    assert_eq!(reported(&own([(FLUSH, "7")]), DURABILITY), "os");
    assert_eq!(reported(&own([(DURABILITY, "os")]), FLUSH), FOREVER);
    assert_eq!((reported(&none, DURABILITY), reported(&none, FLUSH)), ("fsync".to_owned(), "1".to_owned()));
}

#[test]
fn a_value_comes_from_the_first_layer_that_says_something() {
    let statics = Statics::new([("log.retention.ms", "4000".to_owned())]);
    let (broker, cluster) = (own([("log.retention.ms", "2000")]), own([("log.retention.ms", "3000")]));
    let (mine, none) = (own([("retention.ms", "1000")]), Configs::new());
    let retention = |own: &Configs, broker: &Configs, cluster: &Configs, statics: &Statics| {
        layered(broker, cluster, statics, |layers| {
            let entry = topic_entries(own, layers).into_iter().find(|e| e.name == "retention.ms").unwrap();
            let said = replica_config(own, layers).retention_ms;
            assert_eq!(entry.value.as_deref(), Some(&*said.to_string()));
            let synonyms =
                entry.synonyms.iter().map(|s| (s.name, s.value.parse().unwrap(), s.source as i8)).collect();
            (said, entry.source, synonyms)
        })
    };
    let (value, source, synonyms): (_, _, Vec<(&str, i64, i8)>) =
        retention(&mine, &broker, &cluster, &statics);
    assert_eq!((value, source), (1000, Source::Topic));
    let expected = [
        ("retention.ms", 1000, 1),
        ("log.retention.ms", 2000, 2),
        ("log.retention.ms", 3000, 3),
        ("log.retention.ms", 4000, 4),
        ("log.retention.hours", 168, 5),
    ];
    assert_eq!(synonyms, expected);
    assert_eq!(retention(&none, &broker, &cluster, &statics).0, 2000);
    assert_eq!(retention(&none, &none, &cluster, &statics).0, 3000);
    assert_eq!(retention(&none, &none, &none, &statics).0, 4000);
    // What is a default of its own under another name is a synonym only beside the one that is set, as in Kafka.
    let rolled = own([("log.roll.ms", "7000")]);
    let synonyms = |cluster: &Configs| {
        let entries = layered(&none, cluster, &Statics::default(), |layers| topic_entries(&none, layers));
        let entry = entries.into_iter().find(|e| e.name == "segment.ms").unwrap();
        entry.synonyms.into_iter().map(|s| (s.name, s.value)).collect::<Vec<_>>()
    };
    assert_eq!(synonyms(&none), []);
    assert_eq!(synonyms(&rolled), [("log.roll.ms", "7000".into()), ("log.roll.hours", "168".into())]);
    // Kafka's: hours alone are not named.
    let (value, source, synonyms) = retention(&none, &none, &none, &Statics::default());
    assert_eq!((value, source, synonyms.len()), (604_800_000, Source::Default, 0));
}

#[test]
fn a_default_of_in_sync_replicas_is_told_as_what_a_topic_can_have() {
    let (none, statics) = (Configs::new(), Statics::default());
    let told = |mine: &Configs, cluster: &Configs, replicas| {
        let entries = layered(&none, cluster, &statics, |layers| topic_entries_of(mine, layers, replicas));
        let entry = entries.into_iter().find(|entry| entry.name == "min.insync.replicas").unwrap();
        (entry.value.unwrap(), entry.source)
    };
    let two = own([("min.insync.replicas", "2")]);
    let row = |value: &str, source| (value.to_owned(), source);
    assert_eq!(told(&none, &two, 1), row("1", Source::DynamicDefault));
    assert_eq!(told(&none, &two, 3), row("2", Source::DynamicDefault));
    assert_eq!(told(&none, &none, 3), row("1", Source::Default));
    assert_eq!(told(&two, &none, 1), row("2", Source::Topic), "its own value is told as it is set");
}

#[test]
fn the_cluster_lists_what_is_set_for_all_and_a_broker_everything() {
    let (none, statics) = (Configs::new(), Statics::new([("num.partitions", "3".to_owned())]));
    let cluster = own([("message.max.bytes", "5")]);
    let listed = layered(&none, &cluster, &statics, cluster_entries);
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].name, listed[0].source), ("message.max.bytes", Source::DynamicDefault));
    assert_eq!(listed[0].synonyms.len(), 1);
    let all = layered(&none, &cluster, &statics, broker_entries);
    let of = |name: &str| all.iter().find(|e| e.name == name).unwrap();
    assert_eq!(of("num.partitions").value.as_deref(), Some("3"));
    assert_eq!((of("num.partitions").source, of("num.partitions").read_only), (Source::Static, true));
    assert_eq!(
        (of("message.max.bytes").source, of("message.max.bytes").read_only),
        (Source::DynamicDefault, false)
    );
    assert_eq!((of("log.retention.ms").value.as_deref(), of("log.retention.ms").synonyms.len()), (None, 0));
    let rates = |entries: &[Entry]| entries.iter().filter(|e| e.name.ends_with("throttled.rate")).count();
    let throttled = own([("leader.replication.throttled.rate", "5")]);
    let listed = layered(&none, &throttled, &statics, broker_entries);
    assert_eq!((rates(&all), rates(&listed)), (0, 1), "a rate is listed where it is set, as by Kafka");
}

#[test]
fn kafkas_defaults_are_a_leaders_own() {
    let none = Configs::new();
    let statics = Statics::default();
    assert_eq!(
        layered(&none, &none, &statics, |layers| replica_config(&none, layers)),
        ReplicaConfig::default()
    );
}

#[test]
fn a_number_of_replicas_in_the_file_counts_also_if_it_is_kafkas_default() {
    let none = Configs::new();
    // Nodes, the file's number; the number that holds, and where it comes from.
    let rows = [
        (1, None, 1, Source::Default),
        (2, None, 2, Source::Default),
        (5, None, 3, Source::Default),
        (5, Some("1"), 1, Source::Static),
        (5, Some("3"), 3, Source::Static),
        (5, Some("4"), 4, Source::Static),
        (1, Some("3"), 3, Source::Static),
    ];
    for (nodes, said, factor, source) in rows {
        let statics = Statics::new(said.map(|said| ("default.replication.factor", said.to_owned())));
        let layers = Layers { broker: None, cluster: &none, statics: &statics, nodes };
        let entries = broker_entries(&layers);
        let entry = entries.iter().find(|entry| entry.name == "default.replication.factor").unwrap();
        assert_eq!((layers.default_factor(), entry.source), (factor, source), "{nodes} {said:?}");
        assert_eq!(entry.value, Some(factor.to_string()));
        assert_eq!(layers.chosen_factor(), nodes.min(3), "internal topics follow no setting");
    }
}

#[test]
fn the_time_that_a_follower_may_lag_comes_from_the_file() {
    let none = Configs::new();
    let statics = Statics::new([("replica.lag.time.max.ms", "4000".to_owned())]);
    let config = layered(&none, &none, &statics, |layers| replica_config(&none, layers));
    assert_eq!(config.replica_lag_max_ms, 4_000);
}
