//! The table of broker configs: those that the configuration file sets, and those that are defaults of topic
//! configs.

use super::rows::{
    BrokerConfig, COMPRESSIONS, DELETE_ONLY, FOREVER, MESSAGE_SIZES, Mode, POLICIES, PRODUCER_ONLY, SEGMENTS,
    TIMESTAMP_TYPES,
};
use super::value::{Takes, Type};
use Type::{Boolean, Double, Int, List, Long, Short, String as Text};

const fn dynamic(
    name: &'static str,
    kind: Type,
    takes: Takes,
    default: Option<&'static str>,
    doc: &'static str,
) -> BrokerConfig {
    BrokerConfig { name, kind, takes, default, mode: Mode::Dynamic, doc }
}

const fn where_set(name: &'static str, doc: &'static str) -> BrokerConfig {
    BrokerConfig { name, kind: Long, takes: Takes::AtLeast(0), default: None, mode: Mode::WhereSet, doc }
}

const fn only(
    name: &'static str,
    kind: Type,
    takes: Takes,
    works: &'static [&'static str],
    doc: &'static str,
) -> BrokerConfig {
    BrokerConfig { name, kind, takes, default: Some(works[0]), mode: Mode::Only(works), doc }
}

const fn from_file(
    name: &'static str,
    kind: Type,
    default: Option<&'static str>,
    doc: &'static str,
) -> BrokerConfig {
    BrokerConfig { name, kind, takes: Takes::Any, default, mode: Mode::Static, doc }
}

pub(super) static TABLE: [BrokerConfig; 65] = [
    from_file("advertised.listeners", List, None, "Address that the node tells clients to connect to."),
    from_file("auto.create.topics.enable", Boolean, Some("true"), "Whether a request makes a missing topic."),
    from_file("broker.id", Int, Some("-1"), "Id of this node."),
    from_file("broker.rack", Text, None, "Rack of this node."),
    from_file("callboard.durability", Text, Some("fsync"), "Durability of topics that set none."),
    from_file(
        "callboard.segment.bytes",
        Long,
        Some("67108864"),
        "Bytes of a journal segment, which the partitions of a shard share.",
    ),
    dynamic(
        "compression.gzip.level",
        Int,
        Takes::GzipLevel,
        Some("-1"),
        "Default of a topic's level, which takes effect with compression.type=gzip.",
    ),
    dynamic(
        "compression.lz4.level",
        Int,
        Takes::Between(1, 17),
        Some("9"),
        "Default of a topic's level, which takes effect with compression.type=lz4.",
    ),
    only(
        "compression.type",
        Text,
        COMPRESSIONS,
        PRODUCER_ONLY,
        "Batches are stored as the producer compressed them.",
    ),
    dynamic(
        "compression.zstd.level",
        Int,
        Takes::Between(-131_072, 22),
        Some("3"),
        "Default of a topic's level, which takes effect with compression.type=zstd.",
    ),
    from_file("connections.max.idle.ms", Long, Some("600000"), "Time until an idle connection is closed."),
    from_file(
        "default.replication.factor",
        Int,
        Some("1"),
        "Replicas of topics that state no number. Where the file sets none: 3, or as many as there are nodes.",
    ),
    from_file("delete.topic.enable", Boolean, Some("true"), "Whether topics can be deleted."),
    where_set(
        "follower.replication.throttled.rate",
        "Bytes a second that throttled replicas fetch. Takes effect with reassignment.",
    ),
    from_file(
        "group.initial.rebalance.delay.ms",
        Int,
        Some("3000"),
        "How long a new group waits for more members.",
    ),
    from_file(
        "group.max.session.timeout.ms",
        Int,
        Some("1800000"),
        "The longest session timeout of a member.",
    ),
    from_file("group.max.size", Int, Some("2147483647"), "Members of a group at most."),
    from_file("group.min.session.timeout.ms", Int, Some("6000"), "The shortest session timeout of a member."),
    where_set(
        "leader.replication.throttled.rate",
        "Bytes a second that a leader sends to throttled replicas. Takes effect with reassignment.",
    ),
    from_file("listeners", List, Some("PLAINTEXT://:9092"), "Where clients connect."),
    dynamic(
        "log.cleaner.delete.retention.ms",
        Long,
        Takes::AtLeast(0),
        Some("86400000"),
        "Default of delete.retention.ms, which takes effect with compaction.",
    ),
    dynamic(
        "log.cleaner.max.compaction.lag.ms",
        Long,
        Takes::AtLeast(1),
        Some(FOREVER),
        "Default of max.compaction.lag.ms, which takes effect with compaction.",
    ),
    dynamic(
        "log.cleaner.min.cleanable.ratio",
        Double,
        Takes::Ratio,
        Some("0.5"),
        "Default of min.cleanable.dirty.ratio, which takes effect with compaction.",
    ),
    dynamic(
        "log.cleaner.min.compaction.lag.ms",
        Long,
        Takes::AtLeast(0),
        Some("0"),
        "Default of min.compaction.lag.ms, which takes effect with compaction.",
    ),
    only(
        "log.cleanup.policy",
        List,
        POLICIES,
        DELETE_ONLY,
        "Default of cleanup.policy: old records are deleted, or (empty) kept.",
    ),
    from_file("log.dirs", Text, None, "The data directory."),
    dynamic("log.flush.interval.messages", Long, Takes::AtLeast(1), Some("1"), "Default of flush.messages."),
    dynamic(
        "log.flush.interval.ms",
        Long,
        Takes::Any,
        None,
        "Default of flush.ms, which changes nothing here.",
    ),
    from_file(
        "log.flush.scheduler.interval.ms",
        Long,
        Some(FOREVER),
        "Default of flush.ms where log.flush.interval.ms is not set, which changes nothing here.",
    ),
    dynamic(
        "log.index.interval.bytes",
        Int,
        Takes::AtLeast(0),
        Some("4096"),
        "Default of index.interval.bytes, which changes nothing here.",
    ),
    dynamic(
        "log.index.size.max.bytes",
        Int,
        Takes::AtLeast(4),
        Some("10485760"),
        "Default of segment.index.bytes, which changes nothing here.",
    ),
    dynamic(
        "log.local.retention.bytes",
        Long,
        Takes::AtLeast(-2),
        Some("-2"),
        "Default of local.retention.bytes, which takes effect with tiered storage.",
    ),
    dynamic(
        "log.local.retention.ms",
        Long,
        Takes::AtLeast(-2),
        Some("-2"),
        "Default of local.retention.ms, which takes effect with tiered storage.",
    ),
    dynamic(
        "log.message.timestamp.after.max.ms",
        Long,
        Takes::AtLeast(0),
        Some("3600000"),
        "Default of message.timestamp.after.max.ms.",
    ),
    dynamic(
        "log.message.timestamp.before.max.ms",
        Long,
        Takes::AtLeast(0),
        Some(FOREVER),
        "Default of message.timestamp.before.max.ms.",
    ),
    dynamic(
        "log.message.timestamp.type",
        Text,
        TIMESTAMP_TYPES,
        Some("CreateTime"),
        "Default of message.timestamp.type.",
    ),
    dynamic(
        "log.preallocate",
        Boolean,
        Takes::Any,
        Some("false"),
        "Default of preallocate, which changes nothing here.",
    ),
    dynamic("log.retention.bytes", Long, Takes::Any, Some("-1"), "Default of retention.bytes."),
    from_file(
        "log.retention.check.interval.ms",
        Long,
        Some("300000"),
        "Time between two searches of a partition for records to delete.",
    ),
    from_file("log.retention.hours", Int, Some("168"), "Retention time without log.retention.ms."),
    dynamic("log.retention.ms", Long, Takes::UnlimitedOrPositive, None, "Default of retention.ms."),
    from_file(
        "log.roll.hours",
        Int,
        Some("168"),
        "Default of segment.ms where log.roll.ms is not set, which changes nothing here.",
    ),
    from_file(
        "log.roll.jitter.hours",
        Int,
        Some("0"),
        "Default of segment.jitter.ms where log.roll.jitter.ms is not set, which changes nothing here.",
    ),
    dynamic(
        "log.roll.jitter.ms",
        Long,
        Takes::AtLeast(0),
        None,
        "Default of segment.jitter.ms, which changes nothing here.",
    ),
    dynamic(
        "log.roll.ms",
        Long,
        Takes::AtLeast(1),
        None,
        "Default of segment.ms, which changes nothing here.",
    ),
    dynamic(
        "log.segment.bytes",
        Int,
        SEGMENTS,
        Some("1073741824"),
        "Default of segment.bytes, which changes nothing here.",
    ),
    dynamic(
        "log.segment.delete.delay.ms",
        Long,
        Takes::AtLeast(0),
        Some("60000"),
        "Default of file.delete.delay.ms, which changes nothing here.",
    ),
    from_file("max.connections", Int, Some("2147483647"), "Connections at most."),
    from_file("max.incremental.fetch.session.cache.slots", Int, Some("1000"), "Fetch sessions at most."),
    dynamic("message.max.bytes", Int, MESSAGE_SIZES, Some("1048588"), "Default of max.message.bytes."),
    dynamic(
        "min.insync.replicas",
        Int,
        Takes::AtLeast(1),
        Some("1"),
        "Default of topics' min.insync.replicas, set only for all brokers together. It is 2 in a cluster, unless set.",
    ),
    from_file("node.id", Int, None, "Id of this node."),
    from_file("num.partitions", Int, Some("1"), "Partitions of topics that state no number."),
    from_file("offset.metadata.max.bytes", Int, Some("4096"), "The longest metadata of a committed offset."),
    from_file(
        "offsets.retention.check.interval.ms",
        Long,
        Some("600000"),
        "Time between two searches for committed offsets that have expired.",
    ),
    from_file(
        "offsets.retention.minutes",
        Int,
        Some("10080"),
        "How long the committed offsets of a group without members are kept.",
    ),
    from_file("offsets.topic.num.partitions", Int, Some("50"), "Partitions of __consumer_offsets."),
    from_file("offsets.topic.replication.factor", Short, Some("3"), "Replicas of __consumer_offsets."),
    from_file("process.roles", List, None, "Roles of this node."),
    from_file(
        "producer.id.expiration.ms",
        Int,
        Some("86400000"),
        "Time after which a partition forgets a producer that sends it nothing, as the running broker counts.",
    ),
    where_set(
        "replica.alter.log.dirs.io.max.bytes.per.second",
        "Bytes a second that move between log directories. Takes effect with reassignment.",
    ),
    from_file(
        "replica.lag.time.max.ms",
        Long,
        Some("30000"),
        "Time after which a follower whose records lag leaves the in-sync replicas.",
    ),
    from_file("socket.request.max.bytes", Int, Some("104857600"), "The largest request."),
    from_file(
        "socket.send.buffer.bytes",
        Int,
        Some("102400"),
        "Bytes of answers that the system buffers for one connection.",
    ),
    dynamic(
        "unclean.leader.election.enable",
        Boolean,
        Takes::Any,
        Some("false"),
        "Default of topics' unclean.leader.election.enable.",
    ),
];
