//! The tables of configs of groups and of subscriptions to clients' metrics, as in Kafka 4.3.

use super::rows::OtherConfig;
use super::value::{Takes, Type};
use Type::{Boolean, Int, List, String as Text};

const fn row(
    name: &'static str,
    (kind, takes): (Type, Takes),
    default: &'static str,
    broker: Option<&'static str>,
    within: Option<(i64, i64)>,
    doc: &'static str,
) -> OtherConfig {
    OtherConfig { name, kind, takes, default, broker, within, doc }
}

pub(super) static GROUPS: [OtherConfig; 17] = [
    row(
        "consumer.assignment.interval.ms",
        (Int, Takes::AtLeast(0)),
        "1000",
        Some("group.consumer.assignment.interval.ms"),
        Some((0, 15_000)),
        "The shortest time between two assignments. Milliseconds. Takes effect with the groups of KIP-848 (group.protocol=consumer).",
    ),
    row(
        "consumer.heartbeat.interval.ms",
        (Int, Takes::AtLeast(1)),
        "5000",
        Some("group.consumer.heartbeat.interval.ms"),
        Some((5_000, 15_000)),
        "How often members send heartbeats. Milliseconds. Takes effect with the groups of KIP-848 (group.protocol=consumer).",
    ),
    row(
        "consumer.session.timeout.ms",
        (Int, Takes::AtLeast(1)),
        "45000",
        Some("group.consumer.session.timeout.ms"),
        Some((45_000, 60_000)),
        "How long a silent member stays. Milliseconds. Takes effect with the groups of KIP-848 (group.protocol=consumer).",
    ),
    row(
        "share.assignment.interval.ms",
        (Int, Takes::AtLeast(0)),
        "1000",
        Some("group.share.assignment.interval.ms"),
        Some((0, 15_000)),
        "The shortest time between two assignments. Milliseconds. Takes effect with share groups.",
    ),
    row(
        "share.auto.offset.reset",
        (Text, Takes::OffsetReset),
        "latest",
        Some("share.auto.offset.reset"),
        None,
        "Where a share group begins to read: earliest, latest, or by_duration: and how long ago. Takes effect with share groups.",
    ),
    row(
        "share.delivery.count.limit",
        (Int, Takes::AtLeast(2)),
        "5",
        Some("group.share.delivery.count.limit"),
        Some((2, 10)),
        "Deliveries of a record at most. Takes effect with share groups.",
    ),
    row(
        "share.heartbeat.interval.ms",
        (Int, Takes::AtLeast(1)),
        "5000",
        Some("group.share.heartbeat.interval.ms"),
        Some((5_000, 15_000)),
        "How often members send heartbeats. Milliseconds. Takes effect with share groups.",
    ),
    row(
        "share.isolation.level",
        (Text, Takes::OneOf(&["read_committed", "read_uncommitted"])),
        "read_uncommitted",
        Some("share.isolation.level"),
        None,
        "Whether records of open and aborted transactions are delivered. Takes effect with share groups.",
    ),
    row(
        "share.partition.max.record.locks",
        (Int, Takes::AtLeast(100)),
        "2000",
        Some("group.share.partition.max.record.locks"),
        Some((100, 4_000)),
        "Records of a partition that are locked at once. Takes effect with share groups.",
    ),
    row(
        "share.record.lock.duration.ms",
        (Int, Takes::AtLeast(1_000)),
        "30000",
        Some("group.share.record.lock.duration.ms"),
        Some((15_000, 60_000)),
        "How long a record is locked for its receiver. Milliseconds. Takes effect with share groups.",
    ),
    row(
        "share.renew.acknowledge.enable",
        (Boolean, Takes::Any),
        "true",
        Some("share.renew.acknowledge.enable"),
        None,
        "Whether a receiver may renew its lock. Takes effect with share groups.",
    ),
    row(
        "share.session.timeout.ms",
        (Int, Takes::AtLeast(1)),
        "45000",
        Some("group.share.session.timeout.ms"),
        Some((45_000, 60_000)),
        "How long a silent member stays. Milliseconds. Takes effect with share groups.",
    ),
    row(
        "streams.assignment.interval.ms",
        (Int, Takes::AtLeast(0)),
        "1000",
        Some("group.streams.assignment.interval.ms"),
        Some((0, 15_000)),
        "The shortest time between two assignments. Milliseconds. Takes effect with streams groups (KIP-1071).",
    ),
    row(
        "streams.heartbeat.interval.ms",
        (Int, Takes::AtLeast(1)),
        "5000",
        Some("group.streams.heartbeat.interval.ms"),
        Some((5_000, 15_000)),
        "How often members send heartbeats. Milliseconds. Takes effect with streams groups (KIP-1071).",
    ),
    row(
        "streams.initial.rebalance.delay.ms",
        (Int, Takes::AtLeast(0)),
        "3000",
        Some("group.streams.initial.rebalance.delay.ms"),
        None,
        "How long a new group waits for more members. Milliseconds. Takes effect with streams groups (KIP-1071).",
    ),
    row(
        "streams.num.standby.replicas",
        (Int, Takes::AtLeast(0)),
        "0",
        Some("group.streams.num.standby.replicas"),
        Some((0, 2)),
        "Standby replicas of each task. Takes effect with streams groups (KIP-1071).",
    ),
    row(
        "streams.session.timeout.ms",
        (Int, Takes::AtLeast(1)),
        "45000",
        Some("group.streams.session.timeout.ms"),
        Some((45_000, 60_000)),
        "How long a silent member stays. Milliseconds. Takes effect with streams groups (KIP-1071).",
    ),
];

pub(super) static METRICS: [OtherConfig; 3] = [
    row(
        "interval.ms",
        (Int, Takes::Any),
        "300000",
        None,
        None,
        "How often clients send their metrics. Milliseconds. Takes effect with client telemetry (KIP-714).",
    ),
    row(
        "match",
        (List, Takes::Patterns),
        "",
        None,
        None,
        "Clients that are asked: client_id= and a pattern, and so on. Takes effect with client telemetry (KIP-714).",
    ),
    row(
        "metrics",
        (List, Takes::Names),
        "",
        None,
        None,
        "Metrics that are asked for, by prefixes of their names. Takes effect with client telemetry (KIP-714).",
    ),
];
