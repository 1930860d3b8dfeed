//! Where the tools may print something else about a cluster of Callboard than about one of Kafka, and why.

use crate::compare::{Allowed, Side};

const VOTERS: &str = "kafka-metadata-quorum describe --status";

pub const ALLOWED: &[Allowed] = &[
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
