//! The seeds of the fuzz targets (`fuzz/corpus`), and whatever fuzzing added to them here, as a plain test.
//!
//! ```text
//!   CALLBOARD_WRITE_SEEDS=1 cargo test -p callboard-cluster-tests --test fuzz_seeds      writes them anew
//! ```
//! Messages come from `kafka-protocol`, so a seed is not what our own encoder happens to write.

#[path = "../../fuzz/src/batch.rs"]
mod batch;
#[path = "../../fuzz/src/frame.rs"]
mod frame;
#[path = "oracle/pairs.rs"]
#[allow(dead_code)]
mod pairs;
#[path = "../../fuzz/src/request.rs"]
mod request;
#[path = "oracle/twin.rs"]
#[allow(dead_code)]
mod twin;

use bytes::Bytes;
use callboard::kafka::wire::api::ApiKey;
use callboard::kafka::wire::{Message, Reader, Writer};
use callboard::transport::frame::{
    Ack, Diverge, Items, LogEnd, Packer, Part, Position, Refused, Subject, encode,
};
use callboard_core::records::{BatchBuilder, Compression, NewRecord, set_log_append_time};
use kafka_protocol::messages as theirs;
use std::collections::BTreeSet;
use std::path::PathBuf;
use twin::{Source, Twin, theirs_encoded};

fn corpus(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "fuzz", "corpus", target].iter().collect()
}

fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = corpus(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let files = entries.map(|entry| entry.expect("an entry").path());
    files.map(|file| (file.display().to_string(), std::fs::read(&file).expect("a seed"))).collect()
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = corpus(target);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(format!("seed-{name}")), bytes).expect("a seed");
}

fn writes() -> bool {
    std::env::var_os("CALLBOARD_WRITE_SEEDS").is_some()
}

/// Of each API the first version, the first flexible one, the last that `kafka-protocol` knows, and the last.
fn chosen(api: ApiKey) -> BTreeSet<i16> {
    let (first, last) = (*api.versions().start(), *api.versions().end());
    let flexible = api.versions().find(|version| api.flexible(*version)).unwrap_or(last);
    [first, flexible, last].into()
}

fn put(api: ApiKey, version: i16, response: bool, body: &[u8]) {
    let key = api.key() + if response { request::RESPONSE } else { 0 };
    let mut frame = [&key.to_be_bytes()[..], &version.to_be_bytes(), &7i32.to_be_bytes()].concat();
    if !response {
        frame.extend_from_slice(b"\x00\x04kcat");
        frame.extend_from_slice(if api.flexible(version) { &[0] } else { &[] });
    }
    frame.extend_from_slice(body);
    let what = if response { "response" } else { "request" };
    write("request", &format!("{}-{version}-{what}", api.name()), &frame);
}

/// A body in a version that `kafka-protocol` does not know.
fn lifted<M: Message>(body: Bytes, theirs: i16, version: i16) -> Bytes {
    if theirs == version {
        return body;
    }
    let message = M::decode_all(Reader::new(&body), theirs).expect("a body of theirs");
    let mut writer = Writer::new();
    message.encode(&mut writer, version).expect("what was decoded can be encoded");
    callboard::kafka::wire::flat(&writer.finish()).expect("in memory").into()
}

fn put_messages<Request, Response>(api: ApiKey)
where
    Request: Twin<Ours: Message> + kafka_protocol::protocol::Encodable,
    Response: Twin<Ours: Message> + kafka_protocol::protocol::Encodable,
{
    // Small: a fuzzer does better with those.
    let seed: Vec<u8> = (0..160u32).map(|n| (n * 89 % 241) as u8 | 1).collect();
    for version in chosen(api) {
        // Where kafka-protocol stops before us (ListOffsets 11) its last version is read and written anew.
        let theirs = version.min(twin::known(api).max);
        let request = theirs_encoded(&Request::make(&mut Source::new(&seed), theirs), theirs);
        let response = theirs_encoded(&Response::make(&mut Source::new(&seed), theirs), theirs);
        put(api, version, false, &lifted::<Request::Ours>(request, theirs, version));
        put(api, version, true, &lifted::<Response::Ours>(response, theirs, version));
    }
}

fn write_requests() {
    put_messages::<theirs::ProduceRequest, theirs::ProduceResponse>(ApiKey::Produce);
    put_messages::<theirs::FetchRequest, theirs::FetchResponse>(ApiKey::Fetch);
    put_messages::<theirs::ListOffsetsRequest, theirs::ListOffsetsResponse>(ApiKey::ListOffsets);
    put_messages::<theirs::MetadataRequest, theirs::MetadataResponse>(ApiKey::Metadata);
    put_messages::<theirs::OffsetCommitRequest, theirs::OffsetCommitResponse>(ApiKey::OffsetCommit);
    put_messages::<theirs::OffsetFetchRequest, theirs::OffsetFetchResponse>(ApiKey::OffsetFetch);
    put_messages::<theirs::FindCoordinatorRequest, theirs::FindCoordinatorResponse>(ApiKey::FindCoordinator);
    put_messages::<theirs::JoinGroupRequest, theirs::JoinGroupResponse>(ApiKey::JoinGroup);
    put_messages::<theirs::HeartbeatRequest, theirs::HeartbeatResponse>(ApiKey::Heartbeat);
    put_messages::<theirs::LeaveGroupRequest, theirs::LeaveGroupResponse>(ApiKey::LeaveGroup);
    put_messages::<theirs::SyncGroupRequest, theirs::SyncGroupResponse>(ApiKey::SyncGroup);
    put_messages::<theirs::DescribeGroupsRequest, theirs::DescribeGroupsResponse>(ApiKey::DescribeGroups);
    put_messages::<theirs::ListGroupsRequest, theirs::ListGroupsResponse>(ApiKey::ListGroups);
    put_messages::<theirs::ApiVersionsRequest, theirs::ApiVersionsResponse>(ApiKey::ApiVersions);
    put_messages::<theirs::CreateTopicsRequest, theirs::CreateTopicsResponse>(ApiKey::CreateTopics);
    put_messages::<theirs::DeleteTopicsRequest, theirs::DeleteTopicsResponse>(ApiKey::DeleteTopics);
    put_messages::<theirs::DeleteRecordsRequest, theirs::DeleteRecordsResponse>(ApiKey::DeleteRecords);
    put_messages::<theirs::InitProducerIdRequest, theirs::InitProducerIdResponse>(ApiKey::InitProducerId);
    put_messages::<theirs::OffsetForLeaderEpochRequest, theirs::OffsetForLeaderEpochResponse>(
        ApiKey::OffsetForLeaderEpoch,
    );
    put_messages::<theirs::DescribeConfigsRequest, theirs::DescribeConfigsResponse>(ApiKey::DescribeConfigs);
    put_messages::<theirs::AlterConfigsRequest, theirs::AlterConfigsResponse>(ApiKey::AlterConfigs);
    put_messages::<theirs::DescribeLogDirsRequest, theirs::DescribeLogDirsResponse>(ApiKey::DescribeLogDirs);
    put_messages::<theirs::CreatePartitionsRequest, theirs::CreatePartitionsResponse>(
        ApiKey::CreatePartitions,
    );
    put_messages::<theirs::DeleteGroupsRequest, theirs::DeleteGroupsResponse>(ApiKey::DeleteGroups);
    put_messages::<theirs::IncrementalAlterConfigsRequest, theirs::IncrementalAlterConfigsResponse>(
        ApiKey::IncrementalAlterConfigs,
    );
    put_messages::<theirs::ElectLeadersRequest, theirs::ElectLeadersResponse>(ApiKey::ElectLeaders);
    put_messages::<theirs::OffsetDeleteRequest, theirs::OffsetDeleteResponse>(ApiKey::OffsetDelete);
    put_messages::<theirs::DescribeClusterRequest, theirs::DescribeClusterResponse>(ApiKey::DescribeCluster);
    put_messages::<theirs::DescribeQuorumRequest, theirs::DescribeQuorumResponse>(ApiKey::DescribeQuorum);
    put_messages::<theirs::DescribeProducersRequest, theirs::DescribeProducersResponse>(
        ApiKey::DescribeProducers,
    );
    put_messages::<theirs::ListConfigResourcesRequest, theirs::ListConfigResourcesResponse>(
        ApiKey::ListConfigResources,
    );
    put_messages::<theirs::DescribeTopicPartitionsRequest, theirs::DescribeTopicPartitionsResponse>(
        ApiKey::DescribeTopicPartitions,
    );
    write("request", "unknown-api", b"\x00\x63\x00\x01\x00\x00\x00\x05\xff\xff");
    write("request", "unknown-api-versions", b"\x00\x12\x00\x63\x00\x00\x00\x05\x00\x01a\x00");
    write("request", "metadata-absurd-count", b"\x00\x03\x00\x01\x00\x00\x00\x05\xff\xff\x7f\xff\xff\xff");
    write(
        "request",
        "produce-absurd-count",
        b"\x00\x00\x00\x03\x00\x00\x00\x05\xff\xff\xff\xff\x00\x01\x00\x00\x00\x00\x7f\xff\xff\xff",
    );
}

fn some_records(base_offset: i64) -> BatchBuilder {
    let header = |value: Option<&[u8]>| (b"trace".to_vec(), value.map(<[u8]>::to_vec));
    let first = NewRecord {
        timestamp: 1_700_000_000_000,
        key: Some(b"key".to_vec()),
        value: Some(b"value value value value".to_vec()),
        headers: vec![header(Some(b"1")), header(None)],
    };
    let second = NewRecord { timestamp: 1_700_000_000_123, ..NewRecord::default() };
    BatchBuilder::new(base_offset).record(first).record(second)
}

fn write_batches() {
    for (name, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().zip(0..) {
        let codec = Compression::of(codec).expect("there are five");
        let batch = some_records(0).compression(codec).producer(9, 1, 5).build().expect("a batch");
        write("batch", name, &batch);
    }
    let plain = some_records(100).build().expect("a batch");
    write("batch", "cut", &plain[..plain.len() - 5]);
    write("batch", "two", &[&plain[..], &plain[..]].concat());
    let mut appended = plain.clone();
    set_log_append_time(&mut appended, 1_700_000_009_999);
    write("batch", "log-append-time", &appended);
    let mut old = plain.clone();
    old[16] = 1;
    write("batch", "magic-1", &old);
    write("batch", "empty", &BatchBuilder::new(5).build().expect("a batch"));
    let marker = some_records(7).producer(9, 1, -1).attributes(0x30).build().expect("a batch");
    write("batch", "control", &marker);
    write("batch", "snappy-raw", &snappy_raw(&plain));
    let long = NewRecord { timestamp: 1, value: Some(vec![b'x'; 100_000]), ..NewRecord::default() };
    let long = (0..11).fold(BatchBuilder::new(0), |batch, _| batch.record(long.clone()));
    write("batch", "zstd-beyond-the-cap", &long.compression(Compression::Zstd).build().expect("a batch"));
}

/// Snappy without xerial framing, as librdkafka and Go clients write it: here one literal.
fn snappy_raw(plain: &[u8]) -> Vec<u8> {
    let records = &plain[61..];
    let length = u8::try_from(records.len()).expect("few bytes");
    assert!((1..=60).contains(&length), "a literal whose length fits its tag: {length}");
    let packed = [&[length, (length - 1) << 2], records].concat();
    let mut batch = [&plain[..61], &packed].concat();
    let length = batch.len() as i32 - 12;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[22] |= 2;
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

#[test]
fn every_api_has_request_and_response_seeds() {
    if writes() {
        write_requests();
    }
    let mut seen = BTreeSet::new();
    for (file, bytes) in inputs("request") {
        let read = request::run(&bytes);
        let message = file.ends_with("-request") || file.ends_with("-response");
        assert!(read.is_some() || !message, "{file} is no message");
        seen.extend(read.map(|(api, version, response)| (api.key(), version, response)));
    }
    for api in ApiKey::all() {
        for version in chosen(api) {
            assert!(seen.contains(&(api.key(), version, false)), "no request seed: {api:?} {version}");
            assert!(seen.contains(&(api.key(), version, true)), "no response seed: {api:?} {version}");
        }
    }
}

#[test]
fn every_compression_has_a_batch_seed() {
    if writes() {
        write_batches();
    }
    let mut seen = Vec::new();
    for (file, bytes) in inputs("batch") {
        let name = file.rsplit("seed-").next().unwrap_or_default().to_owned();
        seen.push((name, batch::run(&bytes)));
    }
    let of = |name: &str| {
        let found = seen.iter().find(|(seed, _)| seed == name);
        found.unwrap_or_else(|| panic!("no seed {name}")).1
    };
    for (name, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().zip(0..) {
        let proven = batch::Seen { heads: 1, proven: true, opened: Some(codec), records: 2 };
        assert_eq!(of(name), proven, "{name}");
    }
    assert_eq!(of("snappy-raw").opened, Some(2));
    assert_eq!((of("two").heads, of("two").proven), (2, false));
    assert_eq!((of("cut").heads, of("magic-1").heads), (0, 0));
    assert!(!of("control").proven && !of("log-append-time").proven && !of("empty").proven);
    assert_eq!((of("zstd-beyond-the-cap").proven, of("zstd-beyond-the-cap").opened), (false, None));
}

/// Frames of each kind, and frames that no node sends.
fn write_frames() {
    let subject = Subject { topic: [7; 16], partition: 1, leader_epoch: 3, n: 5 };
    let end = LogEnd { epoch: 2, offset: 40 };
    let (written, synced, log_start) = (40, 39, 5);
    let mut packer = Packer::default();
    for previous in [end, LogEnd::NONE] {
        let part = Part { subject, previous, high_watermark: 30, log_start, bytes: 0 };
        packer.part(part).expect("room for a part");
        packer.batch(some_records(40).build().expect("a batch").into()).expect("room for a batch");
    }
    let parts = packer.finish().expect("a frame").concat();
    write("frame", "parts", &parts);
    write("frame", "parts-cut", &parts[..parts.len() - 1]);
    let kinds = [
        ("diverge", Items::Diverge(vec![Diverge { subject, end }; 2])),
        ("refused", Items::Refused(vec![Refused { subject, why: 1 }])),
        ("positions", Items::Positions(vec![Position { subject, end, written, synced, log_start }])),
        ("acks", Items::Acks(vec![Ack { subject, written, synced, log_start }; 3])),
    ];
    for (name, items) in kinds {
        write("frame", name, &encode(items).expect("a frame"));
    }
    let mut negative =
        encode(Items::Acks(vec![Ack { subject, written: -1, synced, log_start }])).expect("a frame").to_vec();
    write("frame", "ack-negative", &negative);
    negative[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    write("frame", "absurd-length", &negative);
}

#[test]
fn every_kind_of_frame_has_a_seed() {
    if writes() {
        write_frames();
    }
    let of = |name: &str| {
        let files = inputs("frame");
        let found = files.iter().find(|(file, _)| file.ends_with(&format!("seed-{name}")));
        frame::run(&found.unwrap_or_else(|| panic!("no seed {name}")).1)
    };
    for (name, items) in [("parts", 2), ("diverge", 2), ("refused", 1), ("positions", 1), ("acks", 3)] {
        assert_eq!(of(name), frame::Seen { items, words: items }, "{name}");
    }
    assert_eq!(of("ack-negative"), frame::Seen { items: 1, words: 0 });
    assert_eq!(of("absurd-length"), frame::Seen { items: 1, words: 0 }, "with a length that fits");
    for (_, bytes) in inputs("frame") {
        frame::run(&bytes);
    }
}
