//! A small blocking Kafka client, with which the suites speak to a broker.
//!
//! It is the oracle: it uses the `kafka-protocol` crate and nothing of Callboard's own codec. A [`Wire`] is one connection.
//! Answers come in the order of the requests, so several requests may be under way ([`Wire::send`], [`Wire::receive`]).
//! It does not connect again and follows no leader.

use std::collections::{BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, FetchRequest, InitProducerIdRequest, ListOffsetsRequest,
    ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::RecordBatchDecoder;

use super::HANG;

/// Version of all Produce requests and answers here.
pub const PRODUCE: i16 = 9;
const API_VERSIONS: i16 = 0;
const FETCH: i16 = 12;
const LIST_OFFSETS: i16 = 7;
const CREATE_TOPICS: i16 = 7;
const INIT_PRODUCER_ID: i16 = 4;
/// How long a client waits before it tries again.
pub const RETRY: Duration = Duration::from_millis(10);
/// A larger answer is an error.
const MAX_ANSWER: usize = 128 << 20;

/// Error codes that a test has to tell apart.
pub mod code {
    /// The request was carried out.
    pub const NONE: i16 = 0;
    /// The topic is there already.
    pub const TOPIC_ALREADY_EXISTS: i16 = 36;
    /// The batch was stored before.
    pub const DUPLICATE_SEQUENCE_NUMBER: i16 = 46;

    /// Whether the code tells a client to try again. A broker that has just started says unknown topic or leader; the others
    /// are not leader, timed out, not enough replicas, storage error.
    pub fn retriable(code: i16) -> bool {
        matches!(code, 3 | 5 | 6 | 7 | 8 | 14 | 19 | 20 | 56)
    }
}

/// One connection to a broker.
pub struct Wire {
    stream: TcpStream,
    next_id: i32,
    /// Correlation ids of the requests that are not answered yet.
    waiting: VecDeque<i32>,
}

/// One partition's part of an answer to Fetch.
pub struct Fetched {
    /// Batches as they came; the fetch's limit may cut the last.
    pub records: Bytes,
    /// Offset behind the last record that consumers may see.
    pub high_watermark: i64,
    /// Offset below which no transaction is open.
    pub stable: i64,
    /// Offset at which the log starts.
    pub start: i64,
}

impl Wire {
    /// Connects; a read or write that takes [`HANG`] is an error.
    pub fn connect(addr: SocketAddr) -> Result<Self> {
        Self::connect_within(addr, HANG)
    }

    /// Connects, or gives up after a time of the caller's choice.
    pub fn connect_within(addr: SocketAddr, limit: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(HANG))?;
        stream.set_write_timeout(Some(HANG))?;
        Ok(Self { stream, next_id: 1, waiting: VecDeque::new() })
    }

    /// Sets the longest wait for an answer from now on.
    pub fn patience(self, longest: Duration) -> Result<Self> {
        self.stream.set_read_timeout(Some(longest))?;
        Ok(self)
    }

    /// The address of this end, which the broker's log names.
    pub fn local(&self) -> Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }

    /// Whether the broker closes the connection instead of sending more.
    pub fn closed(&mut self) -> Result<bool> {
        match self.stream.read(&mut [0; 1]) {
            Ok(0) => Ok(true),
            Ok(_) => Ok(false),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a request; its answer comes after those of the requests before it.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(id)
            .with_client_id(Some(StrBytes::from_static_str("callboard-tests")));
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        header.encode(&mut frame, R::header_version(version))?;
        request.encode(&mut frame, version)?;
        let length = i32::try_from(frame.len() - 4).context("a request over 2 GiB")?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame)?;
        self.waiting.push_back(id);
        Ok(())
    }

    /// Receives the answer to the oldest request that has none.
    pub fn receive<R: Request>(&mut self, version: i16) -> Result<R::Response> {
        let id = self.waiting.pop_front().context("no request is waiting for an answer")?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).context("a negative frame length")?;
        if length > MAX_ANSWER {
            bail!("an answer of {length} bytes");
        }
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame)?;
        let mut frame = Bytes::from(frame);
        let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version))?;
        if header.correlation_id != id {
            bail!("answer {} where {id} was due: answers out of order", header.correlation_id);
        }
        let answer = R::Response::decode(&mut frame, version)?;
        if frame.has_remaining() {
            bail!("{} bytes behind the answer to API {}", frame.remaining(), R::KEY);
        }
        Ok(answer)
    }

    /// Sends a request and receives its answer.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response> {
        self.send(version, request)?;
        self.receive::<R>(version)
    }

    /// Whether the broker's ApiVersions lists an API.
    pub fn lists(&mut self, key: i16) -> Result<bool> {
        let answer = self.call(API_VERSIONS, &ApiVersionsRequest::default())?;
        if answer.error_code != code::NONE {
            bail!("ApiVersions: error {}", answer.error_code);
        }
        Ok(answer.api_keys.iter().any(|api| api.api_key == key))
    }

    /// Creates a topic and returns its id.
    pub fn create_topic(&mut self, topic: &str, partitions: i32) -> Result<uuid::Uuid> {
        self.create_topic_with(topic, partitions, &[])
    }

    /// Creates a topic with configs of its own and returns its id.
    pub fn create_topic_with(
        &mut self,
        topic: &str,
        partitions: i32,
        configs: &[(&'static str, &'static str)],
    ) -> Result<uuid::Uuid> {
        let config = |(key, value): &(&'static str, &'static str)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_static_str(key))
                .with_value(Some(StrBytes::from_static_str(value)))
        };
        let creatable = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![creatable]).with_timeout_ms(30_000);
        let answer = self.call(CREATE_TOPICS, &request)?;
        let result = answer.topics.first().context("CreateTopics: no topic in the answer")?;
        if result.error_code != code::NONE {
            bail!("CreateTopics {topic}: error {} {:?}", result.error_code, result.error_message);
        }
        Ok(result.topic_id)
    }

    /// Asks for a producer id and its epoch, again while the broker says so.
    pub fn init_producer_id(&mut self) -> Result<(i64, i16)> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let begun = Instant::now();
        loop {
            let answer = self.call(INIT_PRODUCER_ID, &request)?;
            match answer.error_code {
                code::NONE => return Ok((answer.producer_id.0, answer.producer_epoch)),
                // A broker that has just started may not be able to tell yet.
                error if code::retriable(error) && begun.elapsed() < HANG => std::thread::sleep(RETRY),
                error => bail!("InitProducerId: error {error}"),
            }
        }
    }

    /// Sends one batch to one partition.
    pub fn send_batch(&mut self, topic: &str, partition: i32, acks: i16, batch: Bytes) -> Result<()> {
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
        let data = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(acks).with_timeout_ms(30_000).with_topic_data(vec![data]);
        self.send(PRODUCE, &request)
    }

    /// Receives the answer to the oldest [`Wire::send_batch`]: error code and base offset.
    pub fn receive_batch(&mut self) -> Result<(i16, i64)> {
        let answer: ProduceResponse = self.receive::<ProduceRequest>(PRODUCE)?;
        let topic = answer.responses.first().context("Produce: no topic in the answer")?;
        let partition = topic.partition_responses.first().context("Produce: no partition in the answer")?;
        Ok((partition.error_code, partition.base_offset))
    }

    /// The offset for a timestamp; −1 is the end, −2 the beginning.
    pub fn list_offset(&mut self, topic: &str, partition: i32, timestamp: i64) -> Result<i64> {
        let asked = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(timestamp);
        let asked = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![asked]);
        let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]);
        let answer = self.call(LIST_OFFSETS, &request)?;
        let topic = answer.topics.first().context("ListOffsets: no topic in the answer")?;
        let partition = topic.partitions.first().context("ListOffsets: no partition in the answer")?;
        if partition.error_code != code::NONE {
            bail!("ListOffsets: error {}", partition.error_code);
        }
        Ok(partition.offset)
    }

    /// Fetches from `offset` on, and waits up to `max_wait_ms` for the first byte. An error code is an error.
    pub fn fetch(&mut self, topic: &str, partition: i32, offset: i64, max_wait_ms: i32) -> Result<Fetched> {
        let asked = FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(offset)
            .with_last_fetched_epoch(-1)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(1 << 20);
        let asked = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![asked]);
        let request = FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_wait_ms(max_wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(8 << 20)
            .with_session_epoch(-1)
            .with_topics(vec![asked]);
        let answer = self.call(FETCH, &request)?;
        if answer.error_code != code::NONE {
            bail!("Fetch: error {}", answer.error_code);
        }
        let topic = answer.responses.into_iter().next().context("Fetch: no topic in the answer")?;
        let partition = topic.partitions.into_iter().next().context("Fetch: no partition in the answer")?;
        if partition.error_code != code::NONE {
            bail!("Fetch at {offset}: error {}", partition.error_code);
        }
        let records = partition.records.unwrap_or_default();
        let (stable, start) = (partition.last_stable_offset, partition.log_start_offset);
        Ok(Fetched { records, high_watermark: partition.high_watermark, stable, start })
    }

    /// Checks that the client compressed partition 0 with `codec`, as it was told. A client that mistrusts the broker sends
    /// plain batches instead, without a word. A client may send a batch plain if compression would make it longer.
    pub fn codec_is(&mut self, topic: &str, codec: &str) -> Result<()> {
        let (mut found, mut next) = (BTreeSet::new(), 0);
        loop {
            let batches = whole_batches(self.fetch(topic, 0, next, 0)?.records);
            if batches.is_empty() {
                break;
            }
            for mut batch in batches {
                for info in RecordBatchDecoder::decode_batch_info(&mut batch)? {
                    found.insert(format!("{:?}", info.compression).to_lowercase());
                    next = info.min_offset + i64::from(info.record_count);
                }
            }
        }
        if !found.contains(codec) || found.iter().any(|other| other != codec && other != "none") {
            bail!("{topic}: told to use {codec}, the client sent {found:?}");
        }
        Ok(())
    }

    /// Checks so each line `codec TOPIC CODEC` of a client's output; returns the number of lines.
    pub fn codecs_are(&mut self, output: &str) -> Result<usize> {
        let mut count = 0;
        for line in output.lines().filter_map(|line| line.strip_prefix("codec ")) {
            let (topic, codec) =
                line.split_once(' ').with_context(|| format!("not `codec TOPIC CODEC`: {line}"))?;
            self.codec_is(topic, codec)?;
            count += 1;
        }
        Ok(count)
    }
}

/// The whole batches of a fetch. The fetch's limit may cut the last, which is then left out; it never cuts the first.
pub fn whole_batches(mut bytes: Bytes) -> Vec<Bytes> {
    let mut batches = Vec::new();
    while bytes.len() >= 12 {
        // The base offset stands first, then the length of the rest.
        let length = 12 + (&bytes[8..12]).get_u32() as usize;
        if bytes.len() < length {
            break;
        }
        batches.push(bytes.split_to(length));
    }
    batches
}

/// A topic's name in the type of the messages.
pub fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}
