//! Where the tools may print something else about Callboard than about Kafka, and why. Nothing else may differ.
//!
//! An entry is about lines of one side that hold its words, so a difference in words has two: what Kafka says and what
//! we say. Texts of errors are each broker's own; that there is an error, and which, is not.

use crate::compare::{Allowed, Side};

const ALL_OF_A_TOPIC: &str = "--entity-type topics --entity-name calls --all";
const ALL_OF_THE_BROKER: &str = "--entity-type brokers --entity-name 1 --all";

const SYNCED: &str = "what is acknowledged is on disk";

const fn kafka(command: &'static str, line: &'static str, why: &'static str) -> Allowed {
    Allowed { side: Side::Kafka, command, line, why }
}

const fn ours(command: &'static str, line: &'static str, why: &'static str) -> Allowed {
    Allowed { side: Side::Callboard, command, line, why }
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
    // --- whose defaults are other ones here
    kafka(ALL_OF_A_TOPIC, "flush.messages=9223372036854775807 ", SYNCED),
    ours(ALL_OF_A_TOPIC, "flush.messages=1 ", SYNCED),
    ours(ALL_OF_THE_BROKER, "log.flush.interval.messages=1 ", SYNCED),
    // --- and that only we have
    ours(ALL_OF_A_TOPIC, "callboard.durability=fsync", "what an acknowledgement means"),
    ours(ALL_OF_A_TOPIC, "callboard.validate.records=true", "Kafka opens every batch"),
    // --- the broker
    kafka(
        ALL_OF_THE_BROKER,
        "synonyms=",
        "settings of its threads, purgatories, quorum, security, cleaner, tiers",
    ),
    ours(ALL_OF_THE_BROKER, "callboard.durability=fsync", "what an acknowledgement means"),
    ours(ALL_OF_THE_BROKER, "callboard.segment.bytes=", "Kafka has no segments that partitions share"),
    ours(ALL_OF_THE_BROKER, "listeners=PLAINTEXT://BROKER ", "it has no listener for a controller"),
    ours(ALL_OF_THE_BROKER, "log.dirs=", "another directory"),
    ours(ALL_OF_THE_BROKER, "max.connections=", "as many as there are descriptors and memory for"),
    ours(
        ALL_OF_THE_BROKER,
        "socket.send.buffer.bytes=1048576 ",
        "1 MiB where Kafka has 100 KiB: fewer wake-ups, and still less than a consumer's window",
    ),
];
