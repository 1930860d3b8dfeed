//! Where the tools may print something else about Callboard than about Kafka, and why. Nothing else may differ.

use crate::compare::{Allowed, Side};

pub const ALLOWED: [Allowed; 1] = [Allowed {
    side: Side::Kafka,
    command: "--entity-type brokers --entity-name 1 --all",
    line: "synonyms=",
    why: "settings of Kafka's server that have no meaning here: threads, purgatories, quorum, security, log cleaner",
}];
