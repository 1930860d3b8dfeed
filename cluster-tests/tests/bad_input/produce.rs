//! Produce: what every version answers to a batch that must not be stored.
//!
//! Codes are those seen on Apache Kafka 4.3.0. After each case the log has the length it had, and the client beside goes
//! on; one version of either encoding also proves the log line.

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use callboard_cluster_tests::process::Options;
use callboard_cluster_tests::process::wire::{Wire, name};
use callboard_core::records::{BatchBuilder, Compression};
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::TransactionalId;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::site::{Site, batch, build, now};

const TOPIC: &str = "picky";
/// Versions that also prove the log line: one of the old encoding, one flexible, one with topic ids.
const LOGGED: [i16; 3] = [8, 12, 13];

/// One bad request for one partition.
#[derive(Clone)]
struct Case {
    what: &'static str,
    topic: &'static str,
    id: Uuid,
    partition: i32,
    acks: i16,
    transaction: Option<&'static str>,
    records: Option<Bytes>,
    /// What Kafka answers, and its name in our log.
    code: (i16, &'static str),
}

impl Case {
    fn request(&self, version: i16) -> ProduceRequest {
        let data =
            PartitionProduceData::default().with_index(self.partition).with_records(self.records.clone());
        let data = TopicProduceData::default().with_partition_data(vec![data]);
        let data = if version < 13 { data.with_name(name(self.topic)) } else { data.with_topic_id(self.id) };
        ProduceRequest::default()
            .with_acks(self.acks)
            .with_timeout_ms(30_000)
            .with_transactional_id(self.transaction.map(|id| TransactionalId(StrBytes::from_static_str(id))))
            .with_topic_data(vec![data])
    }
}

/// A batch with bytes changed and its CRC made right again.
fn changed(batch: &Bytes, change: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut bytes = BytesMut::from(&batch[..]);
    change(&mut bytes);
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

fn with_i32(batch: &Bytes, at: usize, value: i32) -> Bytes {
    changed(batch, |bytes| bytes[at..at + 4].copy_from_slice(&value.to_be_bytes()))
}

/// A message of the formats before v2: offset, size, CRC, magic, attributes, (timestamp), null key, value.
fn old_message(magic: u8) -> Bytes {
    let mut body = vec![magic, 0];
    body.extend_from_slice(if magic == 1 { &[0; 8] } else { &[] });
    body.extend_from_slice(&[0xff; 4]);
    body.extend_from_slice(&[0, 0, 0, 3, b'o', b'l', b'd']);
    let mut out = vec![0; 8];
    out.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
    // Nobody gets as far as its checksum.
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&body);
    out.into()
}

const CORRUPT: (i16, &str) = (2, "CorruptMessage");
const INVALID: (i16, &str) = (87, "InvalidRecord");

/// Batches that are wrong in themselves.
fn bad_batches() -> Vec<(&'static str, Option<Bytes>, (i16, &'static str))> {
    let good = batch("good");
    let two = build(BatchBuilder::new(0), &["one", "two"]);
    let mut rotten = BytesMut::from(&good[..]);
    rotten[65] ^= 1;
    let mut rotten_crc = BytesMut::from(&good[..]);
    rotten_crc[20] ^= 0x80;
    let mut old_magic = BytesMut::from(&good[..]);
    old_magic[16] = 1;
    // The second record's offset delta is made 0 again: `length, attributes, time delta, offset delta`.
    let first = 61 + 1 + usize::from(two[61] >> 1);
    let repeated = changed(&two, |bytes| bytes[first + 3] = 0);
    vec![
        ("a byte of a record flipped", Some(rotten.freeze()), CORRUPT),
        ("a byte of the checksum flipped", Some(rotten_crc.freeze()), CORRUPT),
        ("a count of 3 for 2 records", Some(with_i32(&two, 57, 3)), INVALID),
        ("a count of 0", Some(with_i32(&two, 57, 0)), INVALID),
        ("a negative count", Some(with_i32(&two, 57, -2)), INVALID),
        ("an absurd count", Some(with_i32(&two, 57, i32::MAX)), INVALID),
        (
            "a count and a last offset of 3 for 2 records",
            Some(with_i32(&with_i32(&two, 57, 3), 23, 2)),
            INVALID,
        ),
        ("a last offset delta of 4 for 2 records", Some(with_i32(&two, 23, 4)), INVALID),
        ("a negative last offset delta", Some(with_i32(&two, 23, -1)), INVALID),
        ("two records at one offset", Some(repeated), INVALID),
        ("two batches", Some([&good[..], &good[..]].concat().into()), INVALID),
        ("a batch and a half", Some([&good[..], &good[..30]].concat().into()), INVALID),
        ("no bytes", Some(Bytes::new()), INVALID),
        ("no records at all", None, INVALID),
        (
            "a control batch",
            Some(build(BatchBuilder::new(0).producer(1, 0, 0).attributes(0x20), &["x"])),
            INVALID,
        ),
        ("message format 0", Some(old_message(0)), INVALID),
        ("message format 1", Some(old_message(1)), INVALID),
        ("a batch that says magic 1", Some(old_magic.freeze()), INVALID),
        ("a length below the head's", Some(with_i32(&good, 8, 20)), INVALID),
        // Kafka's own code for this one is -1: it fails inside.
        ("compressed records cut short", Some(cut_short()), INVALID),
    ]
}

/// Three records, packed, without the last bytes.
fn cut_short() -> Bytes {
    let whole = ["one", "two", "three"];
    let packed = build(BatchBuilder::new(0).compression(Compression::Gzip), &whole);
    let length = packed.len() as i32 - 12 - 9;
    with_i32(&packed.slice(..packed.len() - 9), 8, length)
}

/// Batches that are good, and wrong here and now.
fn wrong_batches(version: i16, producer: (i64, i16)) -> Vec<(&'static str, Bytes, (i16, &'static str))> {
    let of = |epoch, sequence| build(BatchBuilder::new(0).producer(producer.0, epoch, sequence), &["again"]);
    let late = |hours: i64| {
        let time = (now() + hours * 3_600_000).to_be_bytes();
        changed(&batch("late"), |bytes| {
            bytes[27..35].copy_from_slice(&time);
            bytes[35..43].copy_from_slice(&time);
        })
    };
    let mut cases = vec![
        ("over max.message.bytes", batch(&"x".repeat(1_048_600)), (10, "MessageTooLarge")),
        ("two hours ahead", late(2), (32, "InvalidTimestamp")),
        ("a gap in the sequence", of(producer.1, 7), (45, "OutOfOrderSequenceNumber")),
        ("a new epoch that does not start at 0", of(producer.1 + 1, 1), (45, "OutOfOrderSequenceNumber")),
        ("an old producer epoch", of(producer.1 - 1, 1), (47, "InvalidProducerEpoch")),
    ];
    if version < 7 {
        let zstd = build(BatchBuilder::new(0).compression(Compression::Zstd), &["packed"]);
        cases.push(("zstd before its version", zstd, (76, "UnsupportedCompressionType")));
    }
    cases
}

fn cases(version: i16, id: Uuid, producer: (i64, i16)) -> Vec<Case> {
    let case = |what, records, code| Case {
        what,
        topic: TOPIC,
        id,
        partition: 0,
        acks: -1,
        transaction: None,
        records,
        code,
    };
    let plain = |what, code| case(what, Some(batch("plain")), code);
    let in_transaction =
        Some(build(BatchBuilder::new(0).producer(producer.0, producer.1, 1).attributes(0x10), &["t"]));
    let mut all: Vec<Case> =
        bad_batches().into_iter().map(|(what, bytes, code)| case(what, bytes, code)).collect();
    all.extend(
        wrong_batches(version, producer).into_iter().map(|(what, bytes, code)| case(what, Some(bytes), code)),
    );
    all.push(Case { acks: 5, ..plain("acks=5", (21, "InvalidRequiredAcks")) });
    all.push(Case { acks: -2, ..plain("acks=-2", (21, "InvalidRequiredAcks")) });
    let unauthorized = (53, "TransactionalIdAuthorizationFailed");
    all.push(case("a transaction's batch, no transactional id", in_transaction.clone(), unauthorized));
    let unknown = case("a transaction's batch, none begun", in_transaction, (48, "InvalidTxnState"));
    all.push(Case { transaction: Some("nobody"), ..unknown });
    let missing = (3, "UnknownTopicOrPartition");
    all.push(Case { partition: 99, ..plain("an unknown partition", missing) });
    all.push(Case { partition: -1, ..plain("partition -1", missing) });
    if version < 13 {
        all.push(Case { topic: "nowhere", ..plain("an unknown topic", missing) });
        for topic in ["a b", "", "..", "größe"] {
            all.push(Case { topic, ..plain("a bad topic name", (3, "UnknownTopicOrPartition")) });
        }
    } else {
        for id in [Uuid::from_u128(0x1234), Uuid::nil()] {
            all.push(Case { id, ..plain("an unknown topic id", (100, "UnknownTopicId")) });
        }
    }
    all
}

/// Sends one case and compares the answer and the log's end.
fn refused(site: &mut Site, wire: &mut Wire, version: i16, case: &Case, end: i64) -> Result<()> {
    let answer = wire.call(version, &case.request(version))?;
    let topic = answer.responses.first().context("no topic in the answer")?;
    let said = topic.partition_responses.first().context("no partition in the answer")?;
    let worded = version < 8 || said.error_message.as_ref().is_some_and(|words| !words.is_empty());
    if said.index != case.partition || said.error_code != case.code.0 || said.base_offset != -1 || !worded {
        bail!("{:?} was due, the answer is {said:?}", case.code);
    }
    let now = site.wire.list_offset(TOPIC, 0, -1)?;
    if now != end {
        bail!("the log's end went from {end} to {now}");
    }
    Ok(())
}

fn one_version(site: &mut Site, version: i16, id: Uuid) -> Result<()> {
    // A producer of this version's own: epoch 1, one record, so the next sequence number is 1.
    let producer = (site.wire.init_producer_id()?.0, 1);
    site.wire.send_batch(TOPIC, 0, -1, build(BatchBuilder::new(0).producer(producer.0, 1, 0), &["first"]))?;
    let (code, end) = site.wire.receive_batch()?;
    if code != 0 {
        bail!("the first batch of a new producer: error {code}");
    }
    let mut wire = Wire::connect(site.addr())?;
    let client = format!("client=\"{} callboard-tests\"", wire.local()?);
    for case in cases(version, id, producer) {
        let what = format!("Produce v{version}, {}", case.what);
        if LOGGED.contains(&version) {
            let (code, topic) =
                (format!("code={} ", case.code.1), format!("{}-{}", case.topic, case.partition));
            let by_id = format!("{}-{}", case.id, case.partition);
            let topic = if version < 13 && !case.topic.is_empty() { topic } else { by_id };
            let named = if topic.is_ascii() && !case.topic.is_empty() { topic } else { String::new() };
            let words = ["refused: ", "api=\"Produce\"", &code, &client, "what=\"", &named, "suppressed="];
            site.until_logged(&words, |site| refused(site, &mut wire, version, &case, end + 1))
        } else {
            refused(site, &mut wire, version, &case, end + 1)
        }
        .with_context(|| what.clone())?;
        site.serves().with_context(|| format!("after {what}"))?;
    }
    // The same connection is as good as before: the next batch in order is taken.
    let next = build(BatchBuilder::new(0).producer(producer.0, 1, 1), &["next"]);
    wire.send_batch(TOPIC, 0, -1, next)?;
    match wire.receive_batch()? {
        (0, offset) if offset == end + 1 => Ok(()),
        other => bail!("Produce v{version}: after all refusals the next batch got {other:?}"),
    }
}

fn versions(versions: impl Iterator<Item = i16>) -> Result<()> {
    let mut site = Site::start(Options::default())?;
    let id = site.wire.create_topic(TOPIC, 1)?;
    for version in versions {
        one_version(&mut site, version, id)?;
    }
    // Producing made no topic: that is for Metadata alone.
    if site.wire.list_offset("nowhere", 0, -1).is_ok() {
        bail!("a topic came into being by Produce");
    }
    site.end()
}

#[test]
fn a_bad_batch_gets_kafkas_code_in_the_old_encoding() -> Result<()> {
    versions(3..9)
}

#[test]
fn a_bad_batch_gets_kafkas_code_in_the_flexible_encoding() -> Result<()> {
    versions(9..14)
}

#[test]
fn bytes_that_end_before_their_batch_does_are_refused() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    site.wire.create_topic(TOPIC, 1)?;
    let good = batch("good");
    for cut in 1..good.len() {
        site.wire.send_batch(TOPIC, 0, -1, good.slice(..cut))?;
        let (code, offset) = site.wire.receive_batch()?;
        // PROTOCOL.md has no word on which of the two Kafka gives.
        if !matches!(code, 2 | 87) || offset != -1 {
            bail!("{cut} of {} bytes: error {code}, offset {offset}", good.len());
        }
    }
    if site.wire.list_offset(TOPIC, 0, -1)? != 0 {
        bail!("a part of a batch was stored");
    }
    site.end()
}

#[test]
fn one_bad_batch_does_not_spoil_its_neighbours() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    site.wire.create_topic(TOPIC, 3)?;
    let data =
        |partition, bytes| PartitionProduceData::default().with_index(partition).with_records(Some(bytes));
    let two = Bytes::from([batch("a"), batch("b")].concat());
    let parts = vec![data(0, batch("good")), data(1, two), data(2, batch("good"))];
    let topic = TopicProduceData::default().with_name(name(TOPIC)).with_partition_data(parts);
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    let answer = site.wire.call(9, &request)?;
    let said = answer.responses[0].partition_responses.iter().map(|p| (p.index, p.error_code, p.base_offset));
    let said: Vec<_> = said.collect();
    if said != [(0, 0, 0), (1, 87, -1), (2, 0, 0)] {
        bail!("one bad batch among three: {said:?}");
    }
    site.end()
}

#[test]
fn a_refusal_without_acknowledgement_closes_the_connection() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    let id = site.wire.create_topic(TOPIC, 1)?;
    let producer = (site.wire.init_producer_id()?.0, 1);
    site.wire.send_batch(TOPIC, 0, -1, build(BatchBuilder::new(0).producer(producer.0, 1, 0), &["first"]))?;
    site.wire.receive_batch()?;
    for version in [3, 9, 13] {
        for case in cases(version, id, producer).into_iter().filter(|case| case.acks == -1) {
            let case = Case { acks: 0, ..case };
            let code = format!("code={} ", case.code.1);
            let words = ["acks=0: the connection is closed", &code, "api=\"Produce\"", "client=\"127.0.0.1:"];
            let what = format!("acks=0, v{version}, {}", case.what);
            let send = |site: &mut Site| {
                let mut wire = Wire::connect(site.addr())?;
                wire.send(version, &case.request(version))?;
                if !wire.closed()? || site.wire.list_offset(TOPIC, 0, -1)? != 1 {
                    bail!("not closed, or stored");
                }
                Ok(())
            };
            // The log line once: the limit of lines a second makes the rest slow.
            if version == 9 { site.until_logged(&words, send) } else { send(&mut site) }
                .with_context(|| what.clone())?;
            site.serves().with_context(|| format!("after {what}"))?;
        }
    }
    site.end()
}
