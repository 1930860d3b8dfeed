//! The sample shows every field, flags win over the file, and what is wrong is refused where it stands.

use super::load::parse;
use super::names::known;
use super::{Config, Flags};

const SAMPLE: &str = include_str!("../../config/callboard.toml");

#[test]
fn the_sample_shows_every_field_with_its_default() {
    assert_eq!(parse(SAMPLE).unwrap(), Config::default());
    let table: toml::Table = toml::from_str(SAMPLE).unwrap();
    assert_eq!(known().len(), table.len());
    for field in known() {
        assert!(table.contains_key(*field), "{field} is missing in config/callboard.toml");
    }
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let with = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        config.check().unwrap_err().to_string()
    };
    assert!(with(|c| c.storage.shards = 1000).contains("shards = 1000"));
    assert!(with(|c| c.kafka.advertised = "nohost".into()).contains("HOST:PORT"));
    assert!(with(|c| c.topics.default_replication_factor = 0).contains("default_replication_factor = 0"));
    assert!(with(|c| c.topics.replica_lag_time_max_ms = 0).contains("replica_lag_time_max_ms = 0"));
    assert!(with(|c| c.storage.segment_bytes = 100_000).contains("multiple of 512"));
}

#[test]
fn the_error_that_stands_first_is_told_with_its_place() {
    let refused = |text: &str| parse(text).unwrap_err().to_string();
    let unknown = refused("data = \"a\"\nno_such_field = 1\nshards = \"x\"\n");
    assert!(unknown.contains("line 2, column 1"), "{unknown}");
    assert!(unknown.contains("unknown field `no_such_field`, expected one of"), "{unknown}");
    assert!(unknown.contains("`kafka`") && unknown.contains("`store_cache_bytes`"), "{unknown}");
    let kind = refused("data = \"a\"\nshards = \"x\"\nno_such_field = 1\n");
    assert!(kind.contains("line 2, column 10") && kind.contains("invalid type"), "{kind}");
    assert!(refused("[kafka]\n").contains("invalid type: map, expected a string"));
    assert!(refused("data = ").contains("line 1"));
}

#[test]
fn flags_win_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    std::fs::write(&path, "kafka = \"a:1\"\nshards = 3\n").unwrap();
    let flags = Flags { config: Some(path), kafka: Some("b:2".into()), ..Flags::default() };
    let config = Config::load(&flags).unwrap();
    assert_eq!((config.kafka.listen.as_str(), config.storage.shards), ("b:2", 3));
}

#[test]
fn a_number_of_replicas_that_is_set_is_told_apart_from_none() {
    let said = |factor| {
        let mut config = Config::default();
        (config.topics.default_replication_factor, config.topics.replica_lag_time_max_ms) = (factor, 4_000);
        let statics = config.statics(1, &[9092]);
        assert_eq!(statics.get("replica.lag.time.max.ms"), Some("4000"));
        statics.get("default.replication.factor").map(str::to_owned)
    };
    assert_eq!((said(-1), said(1), said(3)), (None, Some("1".into()), Some("3".into())));
}

#[test]
fn listeners_are_told_under_kafkas_names_with_the_ports_they_got() {
    let mut config = Config::default();
    config.kafka.listen = "A://[::1]:0,B://0.0.0.0:9093".into();
    config.kafka.advertised = "B://b.example:19093".into();
    config.check().unwrap();
    let statics = config.statics(1, &[40_001, 9093]);
    assert_eq!(statics.get("listeners"), Some("A://[::1]:40001,B://0.0.0.0:9093"));
    assert_eq!(statics.get("advertised.listeners"), Some("B://b.example:19093"));
    assert_eq!(Config::default().statics(1, &[9092]).get("advertised.listeners"), None);
    config.kafka.check_for_cluster().unwrap();
    config.kafka.advertised.clear();
    assert!(config.kafka.check_for_cluster().unwrap_err().to_string().contains("B://HOST:9093"));
}
