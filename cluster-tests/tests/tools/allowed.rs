//! Where the tools may print something else about Callboard than about Kafka, and why. Nothing else may differ.
//!
//! An entry is about lines of one side that hold its words, so a difference in words has two: what Kafka says and what
//! we say. Texts of errors are each broker's own; that there is an error, and which, is not.

use crate::compare::{Allowed, Side};

const ALL_OF_A_TOPIC: &str = "--entity-type topics --entity-name calls --all";
const ALL_OF_THE_BROKER: &str = "--entity-type brokers --entity-name 1 --all";

const CODEC_LEVEL: &str = "a broker that stores what it is sent compresses nothing";
const COMPACTION: &str = "there is no compaction";
const FILES: &str = "the journal is no set of segments with index files a partition";
const REPLICAS: &str = "one node: no replication to be throttled";
const SEGMENTS: &str = "segments of the journal, which all partitions of a shard share";
const SYNCED: &str = "what is acknowledged is on disk";
const TIERS: &str = "there is no tiered storage";

const fn kafka(command: &'static str, line: &'static str, why: &'static str) -> Allowed {
    Allowed { side: Side::Kafka, command, line, why }
}

const fn ours(command: &'static str, line: &'static str, why: &'static str) -> Allowed {
    Allowed { side: Side::Callboard, command, line, why }
}

/// A topic's config that only Kafka has.
const fn topic(line: &'static str, why: &'static str) -> Allowed {
    kafka(ALL_OF_A_TOPIC, line, why)
}

pub const ALLOWED: &[Allowed] = &[
    // --- texts of errors
    kafka(
        "--replication-factor 3",
        "Unable to replicate the partition 3 time(s): The target",
        "its log directories",
    ),
    ours(
        "--replication-factor 3",
        "Unable to replicate the partition 3 time(s): only 1 broker(s)",
        "the same",
    ),
    kafka(
        "--topic no/slash",
        "Topic name is invalid: 'no/slash' contains one or more characters",
        "its words",
    ),
    ours("--topic no/slash", "the topic name holds '/'", "our words"),
    kafka(
        "--topic under.score",
        "Topic 'under.score' collides with existing topic: under_score",
        "its words",
    ),
    ours("--topic under.score", "topic under.score collides with under_score", "our words"),
    // --- configs of a topic that only Kafka has
    topic("compression.gzip.level=", CODEC_LEVEL),
    topic("compression.lz4.level=", CODEC_LEVEL),
    topic("compression.zstd.level=", CODEC_LEVEL),
    topic("delete.retention.ms=", COMPACTION),
    topic("max.compaction.lag.ms=", COMPACTION),
    topic("min.cleanable.dirty.ratio=", COMPACTION),
    topic("min.compaction.lag.ms=", COMPACTION),
    topic("file.delete.delay.ms=", FILES),
    topic("flush.ms=", "what is not synced at once is synced within a second"),
    topic("index.interval.bytes=", FILES),
    topic("preallocate=", FILES),
    topic("segment.index.bytes=", FILES),
    topic("segment.jitter.ms=", FILES),
    topic("segment.ms=", FILES),
    topic("follower.replication.throttled.replicas=", REPLICAS),
    topic("leader.replication.throttled.replicas=", REPLICAS),
    topic("local.retention.bytes=", TIERS),
    topic("local.retention.ms=", TIERS),
    topic("remote.log.copy.disable=", TIERS),
    topic("remote.log.delete.on.disable=", TIERS),
    // --- whose defaults are other ones here
    topic("flush.messages=9223372036854775807 ", SYNCED),
    ours(ALL_OF_A_TOPIC, "flush.messages=1 ", SYNCED),
    topic("segment.bytes=1073741824 ", SEGMENTS),
    ours(ALL_OF_A_TOPIC, "segment.bytes=67108864 ", SEGMENTS),
    ours(ALL_OF_THE_BROKER, "log.flush.interval.messages=1 ", SYNCED),
    ours(ALL_OF_THE_BROKER, "log.segment.bytes=67108864 ", SEGMENTS),
    // --- and that only we have
    ours(ALL_OF_A_TOPIC, "callboard.durability=fsync", "what an acknowledgement means"),
    // --- the broker
    kafka(
        ALL_OF_THE_BROKER,
        "synonyms=",
        "settings of its threads, purgatories, quorum, security, cleaner, tiers",
    ),
    ours(ALL_OF_THE_BROKER, "callboard.durability=fsync", "what an acknowledgement means"),
    ours(ALL_OF_THE_BROKER, "listeners=PLAINTEXT://BROKER ", "it has no listener for a controller"),
    ours(ALL_OF_THE_BROKER, "log.dirs=", "another directory"),
    ours(ALL_OF_THE_BROKER, "max.connections=", "as many as there are descriptors and memory for"),
    ours(
        ALL_OF_THE_BROKER,
        "socket.send.buffer.bytes=1048576 ",
        "1 MiB where Kafka has 100 KiB: fewer wake-ups, and still less than a consumer's window",
    ),
];
