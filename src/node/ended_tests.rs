//! Leaders that end under clients that wait: a node in this process, over its socket, and an entry that the store refuses.
//!
//! ```text
//!   fetch, max wait 5 min ─> waits          a stray entry ─> the leader ends ─> the next one, or offline after six
//!                └───────────── answered at once: NOT_LEADER_OR_FOLLOWER, or what there is
//! ```
//! What is right is what Apache Kafka answers where a leader moves. How waiting fetches learn of it is not looked at.

use super::Node;
use super::data::open_store;
use crate::config::Config;
use crate::kafka::wire::api::ApiKey;
use crate::kafka::wire::messages::{
    CreatableTopic, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData, PartitionProduceData,
    ProduceRequest, ProduceResponse, TopicProduceData,
};
use crate::kafka::wire::{Message, Part, Reader, RecordBytes, flat, frame_request};
use crate::storage::{Opened, RealDisk};
use bytes::Bytes;
use callboard_actors::permit::Permit;
use callboard_actors::ports::{Journal, Reading, Submission};
use callboard_core::records::{BatchBuilder, NewRecord};
use callboard_core::storage::{Durability, Entry};
use callboard_core::{ErrorCode, ReplicaId, Seq, UnixMillis};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const MAX_WAIT_MS: i32 = 300_000;
/// Half of what a fetch would wait that nobody wakes.
const PATIENCE: Duration = Duration::from_millis(MAX_WAIT_MS as u64 / 2);
const RETRY: Duration = Duration::from_millis(10);
const VERSION: i16 = 9;
const NONE: i16 = ErrorCode::None as i16;
const NOT_LEADER: i16 = ErrorCode::NotLeaderOrFollower as i16;
const STORAGE: i16 = ErrorCode::KafkaStorageError as i16;

/// One connection. Requests of version 9: the response's header has no tags.
struct Client(TcpStream);

impl Client {
    async fn connect(node: &Node) -> Client {
        Client(TcpStream::connect(node.addresses()[0]).await.unwrap())
    }

    async fn send(&mut self, api: ApiKey, version: i16, body: &impl Message) {
        let frame = flat(&frame_request(api, version, 7, Some("ended"), body).unwrap()).unwrap();
        self.0.write_all(&frame).await.unwrap();
    }

    async fn receive<M: Message>(&mut self, api: ApiKey, version: i16) -> M {
        let length = timeout(PATIENCE, self.0.read_u32()).await.expect("it is not answered").unwrap();
        let mut frame = vec![0; length as usize];
        self.0.read_exact(&mut frame).await.unwrap();
        let at = if api.flexible_response_header(version) { 5 } else { 4 };
        M::decode_all(Reader::new(&frame[at..]), version).unwrap()
    }

    async fn create(&mut self, topic: &str) {
        let topic = CreatableTopic {
            name: topic.into(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 60_000, validate_only: false };
        self.send(ApiKey::CreateTopics, 5, &request).await;
        let answer: CreateTopicsResponse = self.receive(ApiKey::CreateTopics, 5).await;
        assert_eq!(answer.topics[0].error_code, NONE);
    }

    async fn delete(&mut self, topic: &str) {
        let request =
            DeleteTopicsRequest { topic_names: vec![topic.into()], timeout_ms: 60_000, ..Default::default() };
        self.send(ApiKey::DeleteTopics, 4, &request).await;
        let answer: DeleteTopicsResponse = self.receive(ApiKey::DeleteTopics, 4).await;
        assert_eq!(answer.responses[0].error_code, NONE);
    }

    /// Writes one record; the error code.
    async fn write(&mut self, topic: &str) -> i16 {
        let record = NewRecord { value: Some(b"record".to_vec()), ..NewRecord::default() };
        let batch = Bytes::from(BatchBuilder::new(0).record(record).build().unwrap());
        let records = Some(RecordBytes::Parts(vec![Part::Bytes(batch)]));
        let data = PartitionProduceData { index: 0, records };
        let topic = TopicProduceData { name: topic.into(), partition_data: vec![data], ..Default::default() };
        let request =
            ProduceRequest { acks: -1, timeout_ms: 60_000, topic_data: vec![topic], ..Default::default() };
        self.send(ApiKey::Produce, VERSION, &request).await;
        let answer: ProduceResponse = self.receive(ApiKey::Produce, VERSION).await;
        answer.responses[0].partition_responses[0].error_code
    }

    /// Writes one record, as a producer does: again while there is no leader.
    async fn written(&mut self, topic: &str) {
        loop {
            match self.write(topic).await {
                NONE => return,
                NOT_LEADER => tokio::time::sleep(RETRY).await,
                other => panic!("{topic}: produce answered {other}"),
            }
        }
    }

    async fn fetch(&mut self, topic: &str, offset: i64) {
        let part =
            FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
        let topic = FetchTopic { topic: topic.into(), partitions: vec![part], ..Default::default() };
        let request = FetchRequest {
            max_wait_ms: MAX_WAIT_MS,
            min_bytes: 1,
            max_bytes: 1 << 20,
            topics: vec![topic],
            ..Default::default()
        };
        self.send(ApiKey::Fetch, VERSION, &request).await;
    }

    async fn fetched(&mut self) -> PartitionData {
        let mut answer: FetchResponse = self.receive(ApiKey::Fetch, VERSION).await;
        answer.responses.remove(0).partitions.remove(0)
    }
}

fn config(data: &tempfile::TempDir) -> Config {
    let mut config = Config::default();
    config.storage.data = data.path().join("data");
    config.storage.shards = 1;
    config.kafka.listen = "127.0.0.1:0".into();
    config.console.listen = "127.0.0.1:0".into();
    config
}

async fn start(data: &tempfile::TempDir) -> Node {
    Node::start(config(data)).await.unwrap()
}

async fn replicas(node: &Node) -> BTreeSet<ReplicaId> {
    node.shards[0].sizes().await.unwrap().into_keys().collect()
}

/// A new topic with one record, and its replica.
async fn topic(node: &Node, client: &mut Client, name: &str) -> ReplicaId {
    let before = replicas(node).await;
    client.create(name).await;
    client.written(name).await;
    replicas(node).await.difference(&before).copied().next().unwrap()
}

/// The store refuses an entry that does not follow, and the leader of its replica ends by that error.
fn end_leader(node: &Node, replica: ReplicaId) {
    let stray = Submission {
        replica,
        seq: Seq(u64::MAX),
        entry: Entry::LogStart { to: 0 },
        bytes: Bytes::new(),
        durability: Durability::Os,
        permit: Permit::free(),
    };
    node.shards[0].submit(stray).unwrap();
}

/// Until so many fetches wait.
async fn waiting(node: &Node, fetches: usize) {
    let wanted = format!("callboard_kafka_fetches_waiting {fetches}");
    loop {
        let mut web = TcpStream::connect(node.http_address().unwrap()).await.unwrap();
        web.write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut page = String::new();
        web.read_to_string(&mut page).await.unwrap();
        if page.lines().any(|line| line == wanted) {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_waits_is_answered_when_its_leader_ends() {
    let data = tempfile::tempdir().unwrap();
    let node = start(&data).await;
    let (mut reader, mut writer) = (Client::connect(&node).await, Client::connect(&node).await);
    let replica = topic(&node, &mut writer, "one").await;
    // Five times another leader follows.
    for end in 1..=5 {
        reader.fetch("one", end).await;
        waiting(&node, 1).await;
        end_leader(&node, replica);
        let told = reader.fetched().await;
        assert!([NONE, NOT_LEADER].contains(&told.error_code), "end {end}: {told:?}");
        writer.written("one").await;
        reader.fetch("one", end).await;
        let told = reader.fetched().await;
        assert_eq!((told.error_code, told.high_watermark), (NONE, end + 1), "the next leader serves");
    }
    // The sixth time it is left offline, and everybody is told why it cannot be served.
    reader.fetch("one", 6).await;
    waiting(&node, 1).await;
    end_leader(&node, replica);
    let mut told = reader.fetched().await.error_code;
    while told == NOT_LEADER {
        tokio::time::sleep(RETRY).await;
        reader.fetch("one", 6).await;
        told = reader.fetched().await.error_code;
    }
    assert_eq!((told, writer.write("one").await), (STORAGE, STORAGE));
    // Deleted, it leaves the store all the same, though no actor is left to say so.
    writer.delete("one").await;
    let gone = async {
        while replicas(&node).await.contains(&replica) {
            tokio::time::sleep(RETRY).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("its replica is still in the store");
    ends_while_fetches_come(&node, &mut writer).await;
    node.stop().await.unwrap();
}

/// Fetches that come in the very moment: whichever handle they find, none is left behind.
async fn ends_while_fetches_come(node: &Node, writer: &mut Client) {
    let names: Vec<String> = (0..12).map(|n| format!("many-{n}")).collect();
    let mut readers = Vec::new();
    for name in &names {
        let replica = topic(node, writer, name).await;
        let mut reader = Client::connect(node).await;
        reader.fetch(name, 1).await;
        end_leader(node, replica);
        readers.push(reader);
    }
    for (reader, name) in readers.iter_mut().zip(&names) {
        writer.written(name).await;
        let told = reader.fetched().await;
        assert!([NONE, NOT_LEADER].contains(&told.error_code), "{name}: {told:?}");
    }
}

/// When the replica was marked stray. A later mark is written first, if one is given.
async fn mark(data: &tempfile::TempDir, replica: ReplicaId, at: Option<UnixMillis>) -> Option<UnixMillis> {
    let (_store, shards) = open_store(&config(data), Arc::new(RealDisk), 1).await.unwrap();
    let Opened::Shard { engine, states } = &shards[0] else { panic!("the shard is lost") };
    let state = states.iter().find(|state| state.replica == replica).unwrap();
    if let Some(at) = at {
        let entry = Submission {
            replica,
            seq: state.seq.next(),
            entry: Entry::Stray { at },
            bytes: Bytes::new(),
            durability: Durability::Fsync,
            permit: Permit::free(),
        };
        engine.write(vec![entry]).unwrap();
    }
    state.stray
}

/// A mark from a day before this start would let a later start drop the replica at once (R20).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stray_replica_that_the_image_claims_loses_its_mark_without_a_record() {
    let data = tempfile::tempdir().unwrap();
    let node = start(&data).await;
    let replica = topic(&node, &mut Client::connect(&node).await, "one").await;
    node.stop().await.unwrap();
    let long_ago = UnixMillis(1);
    assert_eq!(mark(&data, replica, Some(long_ago)).await, None);
    assert_eq!(mark(&data, replica, None).await, Some(long_ago));
    let node = start(&data).await;
    let mut client = Client::connect(&node).await;
    client.fetch("one", 0).await;
    let told = client.fetched().await;
    assert_eq!((told.error_code, told.high_watermark), (NONE, 1));
    node.stop().await.unwrap();
    assert_eq!(mark(&data, replica, None).await, None);
    // It takes records and numbers its entries on.
    let node = start(&data).await;
    Client::connect(&node).await.written("one").await;
    node.stop().await.unwrap();
}
