//! Which values each config takes, as asked of Apache Kafka 4.3.0: what it took, and in which words it refused.

use super::*;
use std::collections::BTreeMap;

type Configs = BTreeMap<String, String>;

fn said(check: fn(&Configs) -> Result<Configs, ConfigError>, name: &str, value: &str) -> String {
    match check(&[(name.to_owned(), value.to_owned())].into()) {
        Ok(stored) => stored[name].clone(),
        Err(error) => error.to_string(),
    }
}

fn topic(name: &str, value: &str) -> String {
    said(|own| check_topic("t", own), name, value)
}

/// Config, what is asked, what is stored.
const TAKEN: [(&str, &str, &str); 56] = [
    ("segment.ms", "43200000", "43200000"),
    ("segment.bytes", "52428800", "52428800"),
    ("segment.bytes", "1073741824", "1073741824"),
    ("segment.bytes", "1048576", "1048576"),
    ("segment.index.bytes", "4", "4"),
    ("segment.index.bytes", "10485760", "10485760"),
    ("segment.jitter.ms", "0", "0"),
    ("segment.jitter.ms", "604800001", "604800001"),
    ("min.insync.replicas", "2", "2"),
    ("unclean.leader.election.enable", "true", "true"),
    ("unclean.leader.election.enable", "TRUE", "true"),
    ("leader.replication.throttled.replicas", "*", "*"),
    ("leader.replication.throttled.replicas", "", ""),
    ("leader.replication.throttled.replicas", "0:1, 1:2", "0:1,1:2"),
    ("leader.replication.throttled.replicas", "0:1,0:1", "0:1,0:1"),
    ("leader.replication.throttled.replicas", "0:99999999999", "0:99999999999"),
    ("leader.replication.throttled.replicas", ",", ","),
    ("leader.replication.throttled.replicas", "0:1,,1:1", "0:1,,1:1"),
    ("follower.replication.throttled.replicas", "0:1", "0:1"),
    ("compression.type", " producer ", "producer"),
    ("compression.gzip.level", "-1", "-1"),
    ("compression.gzip.level", "5", "5"),
    ("compression.lz4.level", "17", "17"),
    ("compression.zstd.level", "-131072", "-131072"),
    ("compression.zstd.level", "22", "22"),
    ("flush.ms", "0", "0"),
    ("flush.ms", "9223372036854775807", "9223372036854775807"),
    ("flush.messages", "9223372036854775807", "9223372036854775807"),
    ("preallocate", "false", "false"),
    ("preallocate", " TRUE ", "true"),
    ("index.interval.bytes", "0", "0"),
    ("file.delete.delay.ms", "0", "0"),
    ("delete.retention.ms", "0", "0"),
    ("min.cleanable.dirty.ratio", "0", "0.0"),
    ("min.cleanable.dirty.ratio", "1", "1.0"),
    ("min.cleanable.dirty.ratio", "0.10", "0.1"),
    ("min.cleanable.dirty.ratio", "1e-3", "0.001"),
    ("min.cleanable.dirty.ratio", "1e-4", "1.0E-4"),
    ("min.cleanable.dirty.ratio", ".5", "0.5"),
    ("min.cleanable.dirty.ratio", "+0.5f", "0.5"),
    ("min.cleanable.dirty.ratio", "-0", "-0.0"),
    ("min.compaction.lag.ms", "0", "0"),
    ("max.compaction.lag.ms", "1", "1"),
    ("local.retention.ms", "-2", "-2"),
    ("local.retention.ms", "604800001", "604800001"),
    ("local.retention.bytes", "-1", "-1"),
    ("local.retention.bytes", "100", "100"),
    ("remote.storage.enable", "false", "false"),
    ("remote.log.copy.disable", "true", "true"),
    ("remote.log.delete.on.disable", "true", "true"),
    ("retention.bytes", "-5", "-5"),
    ("retention.ms", "+5", "5"),
    ("cleanup.policy", " delete", "delete"),
    ("cleanup.policy", "", ""),
    ("message.timestamp.type", "LogAppendTime", "LogAppendTime"),
    ("callboard.validate.records", "False", "false"),
];

/// Config, what is asked, Kafka's words behind `Invalid value X for configuration C: `.
const REFUSED: [(&str, &str, &str); 30] = [
    ("segment.ms", "0", "Value must be at least 1"),
    ("segment.bytes", "1048575", "Value must be at least 1048576"),
    ("segment.bytes", "2147483648", "Not a number of type INT"),
    ("segment.index.bytes", "3", "Value must be at least 4"),
    ("segment.jitter.ms", "-1", "Value must be at least 0"),
    ("min.insync.replicas", "0", "Value must be at least 1"),
    ("unclean.leader.election.enable", "yes", "Expected value to be either true or false"),
    ("compression.type", "none", "String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"),
    ("compression.gzip.level", "0", "Value must be between 1 and 9 or equal to -1"),
    ("compression.gzip.level", "10", "Value must be between 1 and 9 or equal to -1"),
    ("compression.lz4.level", "0", "Value must be at least 1"),
    ("compression.lz4.level", "18", "Value must be no more than 17"),
    ("compression.zstd.level", "23", "Value must be no more than 22"),
    ("compression.zstd.level", "-131073", "Value must be at least -131072"),
    ("flush.ms", "-1", "Value must be at least 0"),
    ("preallocate", "1", "Expected value to be either true or false"),
    ("index.interval.bytes", "-1", "Value must be at least 0"),
    ("file.delete.delay.ms", "-1", "Value must be at least 0"),
    ("delete.retention.ms", "-1", "Value must be at least 0"),
    ("min.cleanable.dirty.ratio", "-0.1", "Value must be at least 0"),
    ("min.cleanable.dirty.ratio", "1.1", "Value must be no more than 1"),
    ("min.cleanable.dirty.ratio", "Infinity", "Value must be no more than 1"),
    ("min.cleanable.dirty.ratio", "inf", "Not a number of type DOUBLE"),
    ("min.cleanable.dirty.ratio", "nan", "Not a number of type DOUBLE"),
    ("min.cleanable.dirty.ratio", "", "Not a number of type DOUBLE"),
    ("min.compaction.lag.ms", "-1", "Value must be at least 0"),
    ("max.compaction.lag.ms", "0", "Value must be at least 1"),
    ("local.retention.ms", "-3", "Value must be at least -2"),
    ("local.retention.bytes", "-3", "Value must be at least -2"),
    ("remote.storage.enable", "", "Expected value to be either true or false"),
];

#[test]
fn a_topic_is_given_what_kafka_takes() {
    for (name, asked, stored) in TAKEN {
        assert_eq!(topic(name, asked), stored, "{name}={asked}");
    }
    for (name, asked, why) in REFUSED {
        assert_eq!(topic(name, asked), format!("Invalid value {asked} for configuration {name}: {why}"));
    }
    const THROTTLED: &str = "leader.replication.throttled.replicas";
    for asked in ["none", "*,*", "0:1,*", "0:1:2", "0:-1", "-1:1", "a:b", "0"] {
        let list = asked.replace(',', ", ");
        let why =
            format!("{THROTTLED} must be the literal '*' or a list of replicas in the following format: ");
        let words = format!("Invalid value [{list}] for configuration {THROTTLED}: {why}");
        assert!(topic(THROTTLED, asked).starts_with(&words), "{}", topic(THROTTLED, asked));
    }
    for asked in [",", "delete,"] {
        assert_eq!(
            topic("cleanup.policy", asked),
            "Configuration 'cleanup.policy' values must not be empty."
        );
    }
    let remote = "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.";
    assert_eq!(topic("remote.storage.enable", "true"), remote);
    let lags = |least: &str, most: &str| {
        let own = [("min.compaction.lag.ms", least), ("max.compaction.lag.ms", most)];
        check_topic("t", &own.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    };
    assert!(lags("10", "10").is_ok());
    let words = "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)";
    assert_eq!(lags("10", "5").unwrap_err().to_string(), words);
}

#[test]
fn every_topic_config_of_kafka_is_known() {
    const KAFKA: &str = "cleanup.policy compression.gzip.level compression.lz4.level compression.type \
        compression.zstd.level delete.retention.ms file.delete.delay.ms flush.messages flush.ms \
        follower.replication.throttled.replicas index.interval.bytes leader.replication.throttled.replicas \
        local.retention.bytes local.retention.ms max.compaction.lag.ms max.message.bytes \
        message.timestamp.after.max.ms message.timestamp.before.max.ms message.timestamp.type \
        min.cleanable.dirty.ratio min.compaction.lag.ms min.insync.replicas preallocate remote.log.copy.disable \
        remote.log.delete.on.disable remote.storage.enable retention.bytes retention.ms segment.bytes \
        segment.index.bytes segment.jitter.ms segment.ms unclean.leader.election.enable";
    let ours = topic_table::TABLE.iter().map(|config| config.name);
    let ours: Vec<&str> = ours.filter(|name| !name.starts_with("callboard.")).collect();
    assert_eq!(ours, KAFKA.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn a_broker_is_given_what_kafka_takes() {
    let of = |name: &str, value: &str| said(check_broker, name, value);
    for (name, asked, stored) in [
        ("log.segment.bytes", "2097152", "2097152"),
        ("log.roll.ms", "1", "1"),
        ("log.roll.jitter.ms", "0", "0"),
        ("log.flush.interval.ms", "-1", "-1"),
        ("log.preallocate", "TRUE", "true"),
        ("log.cleaner.min.cleanable.ratio", "1", "1.0"),
        ("min.insync.replicas", "2", "2"),
        ("unclean.leader.election.enable", "true", "true"),
        ("leader.replication.throttled.rate", "5", "5"),
        ("log.cleanup.policy", "", ""),
    ] {
        assert_eq!(of(name, asked), stored, "{name}={asked}");
    }
    for (name, asked, why) in [
        ("log.segment.bytes", "1", "Value must be at least 1048576"),
        ("log.index.size.max.bytes", "3", "Value must be at least 4"),
        ("log.cleaner.max.compaction.lag.ms", "0", "Value must be at least 1"),
        ("log.local.retention.ms", "-3", "Value must be at least -2"),
        ("follower.replication.throttled.rate", "-1", "Value must be at least 0"),
        ("min.insync.replicas", "0", "Value must be at least 1"),
    ] {
        assert_eq!(of(name, asked), format!("Invalid value {asked} for configuration {name}: {why}"));
    }
    for name in ["log.roll.hours", "log.flush.scheduler.interval.ms"] {
        assert_eq!(of(name, "5"), format!("Cannot update these configs dynamically: [{name}]"));
    }
}

#[test]
fn a_group_is_given_what_kafka_takes() {
    let of = |name: &str, value: &str| said(check_group, name, value);
    for (name, asked) in [
        ("consumer.session.timeout.ms", "50000"),
        ("consumer.heartbeat.interval.ms", "6000"),
        ("consumer.assignment.interval.ms", "0"),
        ("share.delivery.count.limit", "2"),
        ("share.isolation.level", "read_committed"),
        ("share.partition.max.record.locks", "100"),
        ("share.renew.acknowledge.enable", "false"),
        ("streams.initial.rebalance.delay.ms", "0"),
        ("streams.num.standby.replicas", "2"),
    ] {
        assert_eq!(of(name, asked), asked, "{name}");
    }
    for (name, asked, why) in [
        (
            "consumer.session.timeout.ms",
            "44999",
            "greater than or equal to group.consumer.min.session.timeout.ms",
        ),
        (
            "consumer.session.timeout.ms",
            "60001",
            "less than or equal to group.consumer.max.session.timeout.ms",
        ),
        (
            "consumer.assignment.interval.ms",
            "15001",
            "less than or equal to group.consumer.max.assignment.interval.ms",
        ),
        ("share.delivery.count.limit", "11", "less than or equal to group.share.max.delivery.count.limit"),
        (
            "share.record.lock.duration.ms",
            "14999",
            "greater than or equal to group.share.min.record.lock.duration.ms",
        ),
        ("streams.num.standby.replicas", "3", "less than or equal to group.streams.max.standby.replicas"),
    ] {
        assert_eq!(of(name, asked), format!("{name} must be {why}"));
    }
    for (name, asked, why) in [
        ("consumer.session.timeout.ms", "0", "Value must be at least 1"),
        ("consumer.session.timeout.ms", "x", "Not a number of type INT"),
        ("share.record.lock.duration.ms", "999", "Value must be at least 1000"),
        ("share.partition.max.record.locks", "99", "Value must be at least 100"),
        ("share.isolation.level", "x", "String must be one of: read_committed, read_uncommitted"),
    ] {
        assert_eq!(of(name, asked), format!("Invalid value {asked} for configuration {name}: {why}"));
    }
    assert_eq!(of("no.such", "1"), "Unknown group config name: no.such");
}

#[test]
fn a_share_group_begins_where_kafka_lets_it() {
    let of = |value: &str| said(check_group, "share.auto.offset.reset", value);
    let durations = ["P1D", "PT1H", "P1DT2H3M4.5S", "p1dt1h", "PT0S", "PT+1H", "PT2H-1M", "PT1.S", "PT1.5S"];
    for value in ["earliest", "latest"]
        .into_iter()
        .map(String::from)
        .chain(durations.map(|d| format!("by_duration:{d}")))
    {
        assert_eq!(of(&value), value);
    }
    let no_durations = [
        "",
        "x",
        "P",
        "PT",
        "P1DT",
        "P1Y",
        "P1W",
        "PT1.5H",
        "PT1H1D",
        "PT1S1M",
        "PT.5S",
        "PT1.0123456789S",
        "-PT1H",
        "PT-1H",
        "P99999999999999999D",
    ];
    for value in ["EARLIEST", "none", "", "by_duration"]
        .into_iter()
        .map(String::from)
        .chain(no_durations.map(|d| format!("by_duration:{d}")))
    {
        let words = format!(
            "Invalid value {value} for configuration share.auto.offset.reset: Invalid value `{value}` for configuration \
             share.auto.offset.reset. The value must be either 'earliest', 'latest' or of the format \
             'by_duration:<PnDTnHnMn.nS>'."
        );
        assert_eq!(of(&value), words);
    }
}

#[test]
fn a_subscription_is_given_what_kafka_takes() {
    let of = |name: &str, value: &str| said(check_metrics, name, value);
    assert_eq!((of("interval.ms", " 500 "), of("metrics", "a, b,a")), ("500".into(), "a,b".into()));
    for asked in ["99", "3600001"] {
        let words = format!(
            "Invalid value {asked} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
        );
        assert_eq!(of("interval.ms", asked), words);
    }
    assert_eq!(
        of("interval.ms", "x"),
        "Invalid value x for configuration interval.ms: Not a number of type INT"
    );
    assert_eq!(of("metrics", "a,,b"), "Configuration 'metrics' values must not be empty.");
    assert_eq!(of("no.such", "1"), "Unknown client metrics configuration: no.such");
    for pattern in [
        "a", "1.*", "]", "}", "|", "a{1}", "a{1}{2}", "[]]", "[a[b]]", "[\\]]", "[^]a]", "a++", "a??", "a+?",
        "^*", "(a|)", "()", "(?i)a", "(?<x>a)", "(?:a)", "\\Q[\\E", "\\p{L}", " a", "a=",
    ] {
        let asked = format!("client_id={pattern}");
        assert_eq!(of("match", &asked), asked);
    }
    for asked in ["no_such=a", "CLIENT_ID=a", "client_id", "client_id=", "=a", "client_id=a=b"] {
        assert_eq!(of("match", asked), format!("Illegal client matching pattern: {asked}"));
    }
    for pattern in [
        "[", "[a", "[]", "(", "(?", "a*+(", ")", "*", "(*)", "a|*", "a**", "a***", "a???", "a{", "a{2",
        "x{}", "a{b}", "{", "a\\",
    ] {
        let asked = format!("client_id={pattern}");
        assert_eq!(of("match", &asked), format!("Illegal client matching pattern: {asked}"));
    }
}
