//! Where Callboard answers otherwise than Kafka, and means to.

use callboard_cluster_tests::process::answers::{Deviation, Ours};

const fn meant(case: &'static str, ours: &'static str, why: &'static str) -> Deviation {
    Deviation { case, ours: Ours::Holds(ours), why }
}

/// A batch whose records no consumer is to see.
const fn refused(case: &'static str, why: &'static str) -> Deviation {
    meant(case, ": 87 stored nothing", why)
}

const fn words(case: &'static str) -> Deviation {
    Deviation { case, ours: Ours::Words, why: "the same answer, in our words" }
}

/// What does not work yet is refused, never stored and ignored.
const UNSUPPORTED: &str = "records would not be compacted or compressed, and clients count on it";
/// The same of a broker.
const UNKNOWN: &str = "a broker config that no table has is refused";
const FAILS: &str = "Kafka fails inside; here it is the client's request that is refused";

const DROPS: &str = "Kafka answers a part of what was asked, and says nothing of the rest";
const ORDER: &str = "partitions come in the session's order; Kafka puts those that it does not have behind";
const OFFSETS: &str =
    "uncompressed records whose offsets do not follow are refused, as Kafka refuses compressed ones";
const BEHIND: &str =
    "consumers in Go and Python stop at bytes behind a gzip member, librdkafka at those behind an LZ4 frame";
const MEMBERS: &str = "librdkafka reads one gzip member and drops the records of the next, without a word";
const LENGTHS: &str =
    "Kafka passes over compressed records by their length; consumers that read them stop there";
const NULLS: &str = "only -1 is null: librdkafka hangs at keys and values of any other negative length";
const SUMS: &str = "librdkafka looks at the checksum that Kafka passes over, and stops there";
const HALF: &str = "a producer id without an epoch is no producer; Kafka remembers its sequence numbers";
const EARLY: &str = "of records before 1970 the latest is found all the same";
const TRANSACTIONS: &str = "transactions are not served yet, whatever else may be wrong with the request";

pub const MEANT: &[Deviation] = &[
    meant("CreateTopics: compacted, only checked", " 40 ", UNSUPPORTED),
    meant("CreateTopics: compressed, only checked", " 40 ", UNSUPPORTED),
    meant("IncrementalAlterConfigs: compacted, only checked", " 40 ", UNSUPPORTED),
    meant("IncrementalAlterConfigs: compressed, only checked", " 40 ", UNSUPPORTED),
    meant("IncrementalAlterConfigs: topic, compression.type=zstd", " 40 ", UNSUPPORTED),
    meant("IncrementalAlterConfigs: brokers, log.cleanup.policy=compact", " 40 ", UNSUPPORTED),
    meant("AlterConfigs: broker 1, unknown config", " 40 ", UNKNOWN),
    meant("AlterConfigs: broker 1, config of a topic", " 40 ", UNKNOWN),
    meant("IncrementalAlterConfigs: broker 1, unknown config", " 40 ", UNKNOWN),
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
    meant("Produce: garbage as ", "0 87 at nowhere", FAILS),
    meant("Produce: first offset 1 of 2", "0 87 at nowhere", OFFSETS),
    refused("Produce: garbage payload, ", FAILS),
    refused("Produce: payload cut short, ", FAILS),
    refused("Produce: empty payload, ", FAILS),
    refused("Produce: bytes behind the frame, ", BEHIND),
    refused("Produce: record of 1000 bytes in less, ", LENGTHS),
    refused("Produce: record one byte ", LENGTHS),
    refused("Produce: record length of eleven bytes, ", FAILS),
    refused("Produce: key of -2 bytes, ", NULLS),
    refused("Produce: value of -2 bytes, ", NULLS),
    refused("Produce: header value of -2 bytes, ", NULLS),
    refused("Produce: deltas ", OFFSETS),
    refused("Produce: linked blocks, lz4", FAILS),
    refused("Produce: wrong header checksum, lz4", FAILS),
    refused("Produce: wrong block checksum, lz4", FAILS),
    refused("Produce: wrong content checksum, lz4", SUMS),
    refused("Produce: no content checksum, lz4", FAILS),
    refused("Produce: no end mark, lz4", FAILS),
    refused("Produce: wrong checksum, gzip", FAILS),
    refused("Produce: wrong size, gzip", FAILS),
    refused("Produce: window of 2 GiB, zstd", FAILS),
    refused("Produce: records in two frames, gzip", MEMBERS),
    refused("Produce: records in two frames, snappy", FAILS),
    meant("Produce: times -5, ", ": 0 stored with max -1, found -1 -1 -1 -1, latest 0", EARLY),
    words("Produce: LogAppendTime bit, stamped"),
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
