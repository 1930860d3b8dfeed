//! Where the tools may print something else about a cluster of Callboard than about one of Kafka, and why.

use crate::compare::{Allowed, Side};

const TOPICS: &str = "kafka-topics --describe";
const LAST_LEADER: &str = "without a leader Kafka names the last one there too, to elect it if the ELR is lost; such an election may lose records";
const FEATURES: &str = "kafka-features describe";
const OF_KAFKA: &str = "a level of Kafka's own, from which clients read what its clusters can do";
const VOTERS: &str = "kafka-metadata-quorum describe --status";

const fn feature(line: &'static str) -> Allowed {
    Allowed { side: Side::Kafka, command: FEATURES, line, why: OF_KAFKA }
}

pub const ALLOWED: &[Allowed] = &[
    Allowed {
        side: Side::Kafka,
        command: TOPICS,
        line: "Topic: alone Partition: 0 Leader: none Replicas: A Isr: Elr: A LastKnownElr: A",
        why: LAST_LEADER,
    },
    Allowed {
        side: Side::Callboard,
        command: TOPICS,
        line: "Topic: alone Partition: 0 Leader: none Replicas: A Isr: Elr: A LastKnownElr:",
        why: LAST_LEADER,
    },
    feature("Feature: group.version "),
    feature("Feature: kraft.version "),
    feature("Feature: metadata.version "),
    feature("Feature: share.version "),
    feature("Feature: streams.version "),
    feature("Feature: transaction.version "),
    Allowed {
        side: Side::Callboard,
        command: FEATURES,
        line: "Feature: callboard.version ",
        why: "the level of its own records",
    },
    Allowed {
        side: Side::Kafka,
        command: VOTERS,
        line: "\"endpoints\": [\"CONTROLLER://HOST\"]",
        why: "the listener of its controllers",
    },
    Allowed {
        side: Side::Callboard,
        command: VOTERS,
        line: "\"endpoints\": [\"PLAINTEXT://HOST\"]",
        why: "a controller has no listener of its own: every node forwards",
    },
];
