//! The tables agree with themselves, and values come from where Kafka takes them.

use super::topic::{self, DURABILITY, FLUSH, MAX_MESSAGE};
use super::*;
use crate::partition::LeaderConfig;
use crate::storage::Durability;
use std::collections::BTreeMap;

type Configs = BTreeMap<String, String>;

fn own<const N: usize>(pairs: [(&str, &str); N]) -> Configs {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn checked(name: &str, value: &str) -> Result<Configs, ConfigError> {
    check_topic("t", &own([(name, value)]), &Statics::default())
}

fn layered<T>(broker: &Configs, cluster: &Configs, statics: &Statics, of: impl Fn(&Layers<'_>) -> T) -> T {
    of(&Layers { broker: Some(broker), cluster, statics })
}

#[test]
fn every_default_passes_its_own_check() {
    let statics = Statics::default();
    assert!(topic::TABLE.is_sorted_by_key(|c| c.name) || topic::TABLE[0].name == DURABILITY);
    for config in &topic::TABLE {
        assert_eq!(checked(config.name, config.default), Ok(own([(config.name, config.default)])));
        if let Some(name) = config.broker {
            let broker = broker::config(name).unwrap();
            assert_eq!(
                (broker.kind, broker.takes == config.takes || name == "log.retention.ms"),
                (config.kind, true)
            );
            assert!(broker.default.is_none_or(|default| default == config.default), "{name}");
            assert_eq!(broker.mode == broker::Mode::Fixed, config.fixed, "{name}");
        }
    }
    assert!(broker::TABLE.is_sorted_by_key(|c| c.name));
    for config in broker::TABLE.iter().filter(|c| c.mode != broker::Mode::Static) {
        if let Some(default) = config.default {
            assert_eq!(
                check_broker(&own([(config.name, default)]), &statics),
                Ok(own([(config.name, default)]))
            );
        }
    }
}

#[test]
fn what_is_not_honoured_is_refused() {
    for (name, value) in [
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "delete,compact"),
        ("cleanup.policy", ""),
        ("compression.type", "gzip"),
        ("min.insync.replicas", "2"),
        ("segment.bytes", "104857600"),
        ("unclean.leader.election.enable", "true"),
    ] {
        assert!(matches!(checked(name, value), Err(ConfigError::Unsupported { .. })), "{name}={value}");
    }
    for (name, value) in [
        ("cleanup.policy", "DELETE"),
        ("unclean.leader.election.enable", "maybe"),
        ("message.timestamp.type", "logappendtime"),
        ("retention.ms", "-2"),
        ("retention.ms", ""),
        (MAX_MESSAGE, "many"),
        (MAX_MESSAGE, "-1"),
        (MAX_MESSAGE, "99999999999"),
        (MAX_MESSAGE, "2147483647"),
        (FLUSH, "0"),
    ] {
        assert!(matches!(checked(name, value), Err(ConfigError::Invalid { .. })), "{name}={value}");
    }
    assert!(matches!(checked("no.such", "1"), Err(ConfigError::Unknown(..))));
    assert!(matches!(checked("segment.ms", "1"), Err(ConfigError::Unknown(..))));
    assert_eq!(checked("retention.ms", " 5000 "), Ok(own([("retention.ms", "5000")])));
    assert_eq!(
        checked("unclean.leader.election.enable", "FALSE").unwrap().into_values().next().unwrap(),
        "false"
    );
}

#[test]
fn internal_topics_may_be_compacted_and_no_others() {
    let offsets = own([
        ("cleanup.policy", "compact"),
        ("compression.type", "producer"),
        ("segment.bytes", "104857600"),
    ]);
    let statics = Statics::default();
    assert_eq!(check_topic("__consumer_offsets", &offsets, &statics), Ok(offsets.clone()));
    assert!(check_topic("mine", &offsets, &statics).is_err());
    let said = check_topic("__consumer_offsets", &Configs::new(), &statics);
    assert_eq!(said, Ok(own([("cleanup.policy", "compact")])), "whoever makes it, retention does not apply");
    assert!(check_topic("__consumer_offsets", &own([("cleanup.policy", "delete")]), &statics).is_err());
    let none = Configs::new();
    let delete = |own: &Configs| layered(&none, &none, &statics, |layers| leader_config(own, layers).delete);
    assert!(!delete(&offsets));
    assert!(delete(&none));
}

#[test]
fn durability_is_kafkas_flush_or_our_own_word() {
    let (none, fsync) = (Configs::new(), Statics::default());
    let statics = Statics::new([("log.flush.interval.messages", topic::FOREVER.to_owned())]);
    let of = |name: &str, value: &str, statics: &Statics| {
        let own = own([(name, value)]);
        layered(&none, &none, statics, |layers| leader_config(&own, layers).durability)
    };
    assert_eq!(of(DURABILITY, "os", &fsync), Durability::Os);
    assert_eq!(of(DURABILITY, "fsync", &statics), Durability::Fsync);
    assert_eq!(of(FLUSH, "1", &statics), Durability::Fsync);
    assert_eq!(of(FLUSH, "10000", &fsync), Durability::Os);
    let node = |statics| layered(&none, &none, statics, |layers| leader_config(&none, layers).durability);
    assert_eq!((node(&fsync), node(&statics)), (Durability::Fsync, Durability::Os));
    let at_run_time = own([("log.flush.interval.messages", "5")]);
    let dynamic = layered(&none, &at_run_time, &fsync, |layers| leader_config(&none, layers).durability);
    assert_eq!(dynamic, Durability::Os);
    // Both words, contradicting each other.
    let both = own([(DURABILITY, "os"), (FLUSH, "1")]);
    assert!(matches!(check_topic("t", &both, &statics), Err(ConfigError::Conflict(_))));
    // What is reported is what holds, whichever word said it.
    let reported = |own: &Configs, name: &str| {
        let entries = layered(&none, &none, &fsync, |layers| topic_entries(own, layers));
        entries.into_iter().find(|e| e.name == name).unwrap().value.unwrap()
    };
    assert_eq!(reported(&own([(FLUSH, "7")]), DURABILITY), "os");
    assert_eq!(reported(&own([(DURABILITY, "os")]), FLUSH), topic::FOREVER);
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
            let said = leader_config(own, layers).retention_ms;
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
    // Kafka's: hours alone are not named.
    let (value, source, synonyms) = retention(&none, &none, &none, &Statics::default());
    assert_eq!((value, source, synonyms.len()), (604_800_000, Source::Default, 0));
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
}

#[test]
fn kafkas_defaults_are_a_leaders_own() {
    let none = Configs::new();
    let statics = Statics::default();
    assert_eq!(
        layered(&none, &none, &statics, |layers| leader_config(&none, layers)),
        LeaderConfig::default()
    );
}

#[test]
fn a_fixed_value_that_the_node_has_no_more_is_not_reported() {
    let (none, own) = (Configs::new(), own([("segment.bytes", "65536")]));
    let of = |statics: &Statics| {
        let entries = layered(&none, &none, statics, |layers| topic_entries(&own, layers));
        entries.into_iter().find(|e| e.name == "segment.bytes").unwrap().value.unwrap()
    };
    assert_eq!(of(&Statics::new([("log.segment.bytes", "65536".to_owned())])), "65536");
    assert_eq!(of(&Statics::new([("log.segment.bytes", "131072".to_owned())])), "131072");
}
