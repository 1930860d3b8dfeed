//! Where Callboard answers otherwise than Kafka, and means to.

use callboard_cluster_tests::process::answers::{Deviation, Ours};

const fn meant(case: &'static str, ours: &'static str, why: &'static str) -> Deviation {
    Deviation { case, ours: Ours::Holds(ours), why }
}

const fn words(case: &'static str) -> Deviation {
    Deviation { case, ours: Ours::Words, why: "the same answer, in our words" }
}

/// What is not enforced is refused, never stored and ignored.
const UNSUPPORTED: &str = "a config that would change nothing is refused";
const FAILS: &str = "Kafka fails inside; here it is the client's request that is refused";

const DROPS: &str = "Kafka answers a part of what was asked, and says nothing of the rest";
const ORDER: &str = "partitions come in the session's order; Kafka puts those that it does not have behind";
const CLOSED: &str = "compressed records are stored as they came and opened when somebody looks into them";
const OFFSETS: &str =
    "uncompressed records whose offsets do not follow are refused, as Kafka refuses compressed ones";
const HALF: &str = "a producer id without an epoch is no producer; Kafka remembers its sequence numbers";
const TRANSACTIONS: &str = "transactions are not served yet, whatever else may be wrong with the request";

pub const MEANT: &[Deviation] = &[
    meant("CreateTopics: compacted, only checked", " 40 ", UNSUPPORTED),
    meant("CreateTopics: compressed, only checked", " 40 ", UNSUPPORTED),
    meant("CreateTopics: config that cannot change here", " 40 ", UNSUPPORTED),
    meant("IncrementalAlterConfigs: compacted, only checked", " 40 ", UNSUPPORTED),
    meant("IncrementalAlterConfigs: compressed, only checked", " 40 ", UNSUPPORTED),
    meant("AlterConfigs: broker 1, unknown config", " 40 ", UNSUPPORTED),
    meant("AlterConfigs: broker 1, config of a topic", " 40 ", UNSUPPORTED),
    meant("IncrementalAlterConfigs: broker 1, unknown config", " 40 ", UNSUPPORTED),
    meant("IncrementalAlterConfigs: operation ", " 42 ", FAILS),
    meant("CreatePartitions: count 2^31-1", " 44 ", FAILS),
    meant("Metadata: no name, id zero", "None no id 100 ", FAILS),
    meant("Metadata: a name, and an id", "Some(\"p\") an id 0 ", DROPS),
    meant("DescribeTopicPartitions: topic of no letters", " 17 ", FAILS),
    meant("Fetch: session, unknown forgotten", "0 a session, none-0 3 ", ORDER),
    meant("Fetch: session, unknown forgotten", "0 a session, an id-0 100 ", ORDER),
    meant("Produce: length 2^31-1", "0 87 at nowhere", FAILS),
    meant("Produce: codec ", "0 76 at nowhere", FAILS),
    meant("Produce: a batch and a half", "0 87 at nowhere", DROPS),
    meant("Produce: garbage as ", " 0 at the end +0 ", CLOSED),
    meant("Produce: first offset 1 of 2", "0 87 at nowhere", OFFSETS),
    meant("Produce: producer without epoch", "0 87 at nowhere", HALF),
    meant("Produce: a transaction nobody began", "0 48 at nowhere", TRANSACTIONS),
    meant("InitProducerId: a transactional id, timeout ", "31 no id epoch -1", TRANSACTIONS),
    words("CreateTopics: "),
    words("CreatePartitions: "),
    words("AlterConfigs: "),
    words("IncrementalAlterConfigs: "),
    words("DeleteTopics: "),
    words("DescribeConfigs: "),
    words("DescribeProducers: "),
];
