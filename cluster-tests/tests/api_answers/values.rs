//! Values of configs, one by one: what Kafka takes, and what it does not.

use super::Case;
use super::configs::{Increment, at, op};

const SET: i8 = 0;

/// A value that is only checked.
macro_rules! value {
    ($of:literal, $kind:literal, $resource:expr, $config:literal, $value:literal) => {
        (concat!($of, ", ", $config, "=", $value), 1..=99, |r, n| {
            r.validate_only = true;
            let named: Option<&str> = $resource;
            at(r, $kind, named.unwrap_or(&n.of("t")));
            op(r, SET, $config, Some($value));
        })
    };
}

macro_rules! topic {
    ($config:literal, $value:literal) => {
        value!("topic", 2, None, $config, $value)
    };
}

macro_rules! brokers {
    ($config:literal, $value:literal) => {
        value!("brokers", 4, Some(""), $config, $value)
    };
}

macro_rules! group {
    ($config:literal, $value:literal) => {
        value!("group", 32, Some("x"), $config, $value)
    };
}

macro_rules! metrics {
    ($config:literal, $value:literal) => {
        value!("metrics", 16, Some("x"), $config, $value)
    };
}

pub(super) const VALUES: &[Case<Increment>] = &[
    topic!("segment.ms", "43200000"),
    topic!("segment.ms", "0"),
    topic!("segment.bytes", "52428800"),
    topic!("segment.bytes", "1073741824"),
    topic!("segment.bytes", "1048575"),
    topic!("segment.index.bytes", "10485760"),
    topic!("segment.index.bytes", "3"),
    topic!("segment.jitter.ms", "0"),
    topic!("segment.jitter.ms", "-1"),
    topic!("min.insync.replicas", "2"),
    topic!("min.insync.replicas", "0"),
    topic!("unclean.leader.election.enable", "true"),
    topic!("unclean.leader.election.enable", "yes"),
    topic!("leader.replication.throttled.replicas", "*"),
    topic!("leader.replication.throttled.replicas", ""),
    topic!("leader.replication.throttled.replicas", "0:1,1:2"),
    topic!("leader.replication.throttled.replicas", "0:1,*"),
    topic!("follower.replication.throttled.replicas", "0:1"),
    topic!("follower.replication.throttled.replicas", "none"),
    topic!("compression.type", "zstd"),
    topic!("compression.type", "producer"),
    topic!("compression.type", "none"),
    topic!("compression.gzip.level", "9"),
    topic!("compression.gzip.level", "0"),
    topic!("compression.lz4.level", "17"),
    topic!("compression.lz4.level", "18"),
    topic!("compression.zstd.level", "22"),
    topic!("compression.zstd.level", "23"),
    topic!("flush.ms", "1000"),
    topic!("flush.ms", "-1"),
    topic!("flush.messages", "9223372036854775807"),
    topic!("preallocate", "false"),
    topic!("preallocate", "true"),
    topic!("preallocate", "1"),
    topic!("index.interval.bytes", "4096"),
    topic!("index.interval.bytes", "-1"),
    topic!("file.delete.delay.ms", "60000"),
    topic!("file.delete.delay.ms", "-1"),
    topic!("delete.retention.ms", "86400000"),
    topic!("delete.retention.ms", "-1"),
    topic!("min.cleanable.dirty.ratio", "0.5"),
    topic!("min.cleanable.dirty.ratio", "1.1"),
    topic!("min.cleanable.dirty.ratio", "half"),
    topic!("min.compaction.lag.ms", "0"),
    topic!("min.compaction.lag.ms", "-1"),
    topic!("max.compaction.lag.ms", "9223372036854775807"),
    topic!("max.compaction.lag.ms", "0"),
    topic!("local.retention.ms", "-2"),
    topic!("local.retention.ms", "-3"),
    topic!("local.retention.bytes", "-2"),
    topic!("local.retention.bytes", "-3"),
    topic!("remote.storage.enable", "false"),
    topic!("remote.storage.enable", "true"),
    topic!("remote.log.copy.disable", "true"),
    topic!("remote.log.delete.on.disable", "true"),
    topic!("cleanup.policy", ""),
    topic!("cleanup.policy", "delete,delete"),
    topic!("cleanup.policy", "delete,"),
    topic!("message.format.version", "3.0"),
    brokers!("log.segment.bytes", "2097152"),
    brokers!("log.segment.bytes", "1"),
    brokers!("log.roll.ms", "1000"),
    brokers!("log.roll.ms", "0"),
    brokers!("log.roll.hours", "5"),
    brokers!("log.roll.jitter.ms", "-1"),
    brokers!("log.flush.interval.ms", "5"),
    brokers!("log.index.size.max.bytes", "3"),
    brokers!("log.index.interval.bytes", "0"),
    brokers!("log.segment.delete.delay.ms", "-1"),
    brokers!("log.preallocate", "true"),
    brokers!("log.cleaner.delete.retention.ms", "0"),
    brokers!("log.cleaner.min.cleanable.ratio", "2"),
    brokers!("log.cleaner.min.compaction.lag.ms", "7"),
    brokers!("log.cleaner.max.compaction.lag.ms", "0"),
    brokers!("log.local.retention.ms", "-2"),
    brokers!("log.local.retention.ms", "-1"),
    brokers!("log.local.retention.bytes", "-3"),
    brokers!("log.cleanup.policy", "compact"),
    brokers!("log.cleanup.policy", ""),
    brokers!("min.insync.replicas", "2"),
    brokers!("min.insync.replicas", "0"),
    brokers!("unclean.leader.election.enable", "true"),
    brokers!("leader.replication.throttled.rate", "5"),
    brokers!("follower.replication.throttled.rate", "-1"),
    brokers!("compression.gzip.level", "0"),
    group!("consumer.session.timeout.ms", "50000"),
    group!("consumer.session.timeout.ms", "44999"),
    group!("consumer.session.timeout.ms", "0"),
    group!("consumer.heartbeat.interval.ms", "15001"),
    group!("consumer.assignment.interval.ms", "0"),
    group!("share.auto.offset.reset", "by_duration:PT1H"),
    group!("share.auto.offset.reset", "none"),
    group!("share.delivery.count.limit", "1"),
    group!("share.isolation.level", "read_committed"),
    group!("share.partition.max.record.locks", "4001"),
    group!("share.record.lock.duration.ms", "999"),
    group!("share.renew.acknowledge.enable", "false"),
    group!("streams.num.standby.replicas", "3"),
    group!("streams.initial.rebalance.delay.ms", "-1"),
    metrics!("interval.ms", "500"),
    metrics!("interval.ms", "99"),
    metrics!("interval.ms", "x"),
    metrics!("metrics", "*"),
    metrics!("metrics", "a,,b"),
    metrics!("match", "client_id=a.*"),
    metrics!("match", "client_id"),
    metrics!("match", "client_id=["),
    ("topic, lags that cross", 1..=99, |r, _| {
        r.validate_only = true;
        op(r, SET, "min.compaction.lag.ms", Some("10"));
        op(r, SET, "max.compaction.lag.ms", Some("5"));
    }),
    ("broker 1, min.insync.replicas=2", 1..=99, |r, _| {
        r.validate_only = true;
        at(r, 4, "1");
        op(r, SET, "min.insync.replicas", Some("2"));
    }),
];
