//! Produce: batches that must not be stored; InitProducerId, and producers whose sequence does not follow.

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use callboard_cluster_tests::process::wire::name;
use callboard_core::records::{BatchBuilder, Compression};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse, TransactionalId,
};
use uuid::Uuid;

use super::{ALL, Asked, Case, Names, batch, called, now, text, versions};

const IDS: i16 = 13;
const HOUR: i64 = 3_600_000;

fn plain() -> BatchBuilder {
    BatchBuilder::new(0)
}

fn one() -> Bytes {
    batch(plain(), &["one"], now())
}

fn good(version: i16, names: &Names) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(one()));
    let data = TopicProduceData::default().with_partition_data(vec![data]);
    let data = match version < IDS {
        true => data.with_name(name(&names.of("p"))),
        false => data.with_topic_id(names.written),
    };
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data])
}

fn line(answer: &ProduceResponse, names: &Names) -> String {
    let mut all = Vec::new();
    for p in answer.responses.iter().flat_map(|topic| &topic.partition_responses) {
        // Beside an error neither words nor the log's start are told as Kafka tells them: ours say more.
        let start = if p.error_code == 0 { p.log_start_offset } else { -1 };
        let at = match p.base_offset {
            -1 => "nowhere".to_owned(),
            at => format!("the end {:+}", at - names.end),
        };
        let leader = p.current_leader.leader_id.0;
        all.push(format!("partition {} {} at {at} start {start} leader {leader}", p.index, p.error_code));
    }
    all.join(", ")
}

fn data(r: &mut ProduceRequest) -> &mut PartitionProduceData {
    &mut r.topic_data[0].partition_data[0]
}

/// Bytes changed, and the checksum made right again.
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
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&body);
    out.into()
}

/// Records that are no compressed stream, in a batch that says they are.
fn garbage(codec: u8) -> Bytes {
    changed(&batch(plain(), &["this is not compressed"], now()), |bytes| bytes[22] = codec)
}

fn compressed_of(version_codec: Compression) -> Bytes {
    batch(plain().compression(version_codec), &["squeezed squeezed squeezed"], now())
}

fn records(r: &mut ProduceRequest, records: Bytes) {
    data(r).records = Some(records);
}

const CASES: &[Case<ProduceRequest>] = &[
    ("good", ALL, |_, _| {}),
    ("unknown topic", 0..=12, |r, n| r.topic_data[0].name = name(&n.of("none"))),
    ("topic a b", 0..=12, |r, _| r.topic_data[0].name = name("a b")),
    ("topic of no letters", 0..=12, |r, _| r.topic_data[0].name = name("")),
    ("topic .", 0..=12, |r, _| r.topic_data[0].name = name(".")),
    ("topic of 250 letters", 0..=12, |r, _| r.topic_data[0].name = name(&"x".repeat(250))),
    ("internal topic", 0..=12, |r, _| r.topic_data[0].name = name("__consumer_offsets")),
    ("unknown id", IDS..=99, |r, n| r.topic_data[0].topic_id = n.no_id),
    ("id zero", IDS..=99, |r, _| r.topic_data[0].topic_id = Uuid::nil()),
    ("partition 7", ALL, |r, _| data(r).index = 7),
    ("partition -1", ALL, |r, _| data(r).index = -1),
    ("no topics", ALL, |r, _| r.topic_data.clear()),
    ("no partitions", ALL, |r, _| r.topic_data[0].partition_data.clear()),
    ("one partition right, one wrong", ALL, |r, _| {
        let wrong = data(r).clone().with_index(7);
        r.topic_data[0].partition_data.push(wrong);
    }),
    ("acks 5", ALL, |r, _| r.acks = 5),
    ("acks -2", ALL, |r, _| r.acks = -2),
    ("acks 5, unknown topic", 0..=12, |r, n| {
        r.acks = 5;
        r.topic_data[0].name = name(&n.of("none"));
    }),
    ("timeout -1", ALL, |r, _| r.timeout_ms = -1),
    // Null records make Kafka fail without an answer: `bad_input/produce.rs` asks for those.
    ("no bytes", ALL, |r, _| records(r, Bytes::new())),
    ("an empty batch", ALL, |r, _| records(r, batch(plain(), &[], now()))),
    ("two batches", ALL, |r, _| records(r, [one(), one()].concat().into())),
    ("a batch and a half", ALL, |r, _| records(r, [&one()[..], &one()[..30]].concat().into())),
    ("half a batch", ALL, |r, _| records(r, one().slice(..40))),
    ("half a record", ALL, |r, _| records(r, one().slice(..65))),
    ("format 0", ALL, |r, _| records(r, old_message(0))),
    ("format 1", ALL, |r, _| records(r, old_message(1))),
    ("format 3", ALL, |r, _| records(r, changed(&one(), |b| b[16] = 3))),
    ("format -1", ALL, |r, _| records(r, changed(&one(), |b| b[16] = 255))),
    ("wrong checksum", ALL, |r, _| {
        let mut bytes = BytesMut::from(&one()[..]);
        bytes[20] ^= 0x80;
        records(r, bytes.freeze());
    }),
    ("length one more", ALL, |r, _| records(r, with_i32(&one(), 8, one().len() as i32 - 11))),
    ("length one less", ALL, |r, _| records(r, with_i32(&one(), 8, one().len() as i32 - 13))),
    ("length 0", ALL, |r, _| records(r, with_i32(&one(), 8, 0))),
    ("length -1", ALL, |r, _| records(r, with_i32(&one(), 8, -1))),
    ("length 2^31-1", ALL, |r, _| records(r, with_i32(&one(), 8, i32::MAX))),
    ("count 0", ALL, |r, _| records(r, with_i32(&one(), 57, 0))),
    ("count -1", ALL, |r, _| records(r, with_i32(&one(), 57, -1))),
    ("count 2 of 1", ALL, |r, _| records(r, with_i32(&one(), 57, 2))),
    ("count 2^31-1", ALL, |r, _| records(r, with_i32(&one(), 57, i32::MAX))),
    ("count and last offset of 2 of 1", ALL, |r, _| records(r, with_i32(&with_i32(&one(), 57, 2), 23, 1))),
    ("last offset 4 of 1", ALL, |r, _| records(r, with_i32(&one(), 23, 4))),
    ("last offset -1", ALL, |r, _| records(r, with_i32(&one(), 23, -1))),
    ("a control batch", ALL, |r, _| {
        records(r, batch(plain().producer(1, 0, 0).attributes(0x20), &["x"], now()))
    }),
    ("base offset 9", ALL, |r, _| records(r, batch(BatchBuilder::new(9), &["x"], now()))),
    ("garbage as gzip", ALL, |r, _| records(r, garbage(1))),
    ("garbage as snappy", ALL, |r, _| records(r, garbage(2))),
    ("garbage as lz4", ALL, |r, _| records(r, garbage(3))),
    ("garbage as zstd", ALL, |r, _| records(r, garbage(4))),
    ("codec 5", ALL, |r, _| records(r, garbage(5))),
    ("codec 7", ALL, |r, _| records(r, garbage(7))),
    ("good as zstd", ALL, |r, _| records(r, compressed_of(Compression::Zstd))),
    ("too large", ALL, |r, _| records(r, batch(plain(), &[&"x".repeat(1_048_588)], now()))),
    ("two hours ahead", ALL, |r, _| records(r, batch(plain(), &["x"], now() + 2 * HOUR))),
    ("two of three two hours ahead", ALL, |r, _| {
        // Their timestamps are those of the batch, all of them.
        records(r, batch(plain(), &["x", "y", "z"], now() + 2 * HOUR));
    }),
    ("time -1", ALL, |r, _| records(r, batch(plain(), &["x"], -1))),
    ("time -5", ALL, |r, _| records(r, batch(plain(), &["x"], -5))),
    ("first offset 1 of 2", ALL, |r, _| {
        let two = batch(plain(), &["one", "two"], now());
        // Its second record is at 0 again: `length, attributes, time delta, offset delta`.
        let second = 61 + 1 + usize::from(two[61] >> 1);
        records(r, changed(&two, |b| b[second + 3] = 0));
    }),
    ("sequence without producer", ALL, |r, _| records(r, batch(plain().producer(-1, -1, 5), &["x"], now()))),
    ("producer without epoch", ALL, |r, _| records(r, batch(plain().producer(77, -1, 0), &["x"], now()))),
    ("producer without sequence", ALL, |r, _| records(r, batch(plain().producer(77, 0, -1), &["x"], now()))),
    ("a transaction nobody began", 0..=12, |r, _| {
        r.transactional_id = Some(TransactionalId(text("nobody")));
        records(r, batch(plain().producer(77, 0, 0).attributes(0x10), &["x"], now()));
    }),
    ("transactional without an id", ALL, |r, _| {
        records(r, batch(plain().producer(77, 0, 0).attributes(0x10), &["x"], now()));
    }),
];

fn init(version: i16, _: &Names) -> InitProducerIdRequest {
    let request =
        InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    if version < 3 { request } else { request.with_producer_id((-1).into()).with_producer_epoch(-1) }
}

fn given(answer: &InitProducerIdResponse, _: &Names) -> String {
    let id = if answer.producer_id.0 < 0 { "no id" } else { "an id" };
    format!("{} {id} epoch {}", answer.error_code, answer.producer_epoch)
}

const GIVEN: &[Case<InitProducerIdRequest>] = &[
    ("good", ALL, |_, _| {}),
    ("no transaction, timeout 0", ALL, |r, _| r.transaction_timeout_ms = 0),
    ("no transaction, timeout -1", ALL, |r, _| r.transaction_timeout_ms = -1),
    ("empty transactional id", ALL, |r, _| r.transactional_id = Some(TransactionalId(text("")))),
    ("a transactional id, timeout 0", ALL, |r, n| {
        (r.transactional_id, r.transaction_timeout_ms) = (Some(TransactionalId(text(&n.of("x")))), 0);
    }),
    ("a transactional id, timeout 2^31-1", ALL, |r, n| {
        (r.transactional_id, r.transaction_timeout_ms) = (Some(TransactionalId(text(&n.of("x")))), i32::MAX);
    }),
    ("id without epoch", 3..=99, |r, _| r.producer_id = 77.into()),
    ("epoch without id", 3..=99, |r, _| r.producer_epoch = 7),
    ("id and epoch of before", 3..=99, |r, _| (r.producer_id, r.producer_epoch) = (77.into(), 7)),
    ("id -9", 3..=99, |r, _| (r.producer_id, r.producer_epoch) = ((-9).into(), 0)),
];

impl Asked {
    pub(super) fn produces(&mut self) -> Result<()> {
        self.each(good, CASES, line)?;
        self.each(init, GIVEN, given)
    }

    /// An idempotent producer: what follows, what was there before, what does not follow.
    pub(super) fn producers(&mut self) -> Result<()> {
        const SENT: [(&str, i16, i32); 9] = [
            ("first", 0, 0),
            ("the same again", 0, 0),
            ("a gap", 0, 5),
            ("sequence -5", 0, -5),
            ("next epoch, not from 0", 1, 3),
            ("next epoch", 1, 0),
            ("old epoch", 0, 1),
            ("next epoch, a gap", 1, 7),
            ("second", 1, 1),
        ];
        for version in versions::<ProduceRequest>()? {
            let (id, _) = self.wire.init_producer_id()?;
            for (case, epoch, sequence) in SENT {
                let mut request = good(version, &self.names);
                records(&mut request, batch(plain().producer(id, epoch, sequence), &["again"], now()));
                let case = called::<ProduceRequest>(&format!("producer, {case}"))?;
                self.told(&case, version, &request, line)?;
            }
            let mut request = good(version, &self.names);
            records(&mut request, batch(plain().producer(id + 500_000, 0, 3), &["again"], now()));
            let case = called::<ProduceRequest>("producer, unknown, not from 0")?;
            self.told(&case, version, &request, line)?;
        }
        Ok(())
    }
}
