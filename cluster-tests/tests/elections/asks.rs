//! Questions about the one partition of a topic, asked of one node at a time.
//!
//! Records are numbered and say their number, so that a reader sees which of them are there. No question here waits, except
//! those that say so.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use callboard_cluster_tests::chaos::map::{Place, ask_at, view_at};
use callboard_cluster_tests::process::HANG;
use callboard_cluster_tests::process::verdict::read_partition;
use callboard_cluster_tests::process::wire::{RETRY, Wire, code, name};
use callboard_core::records::{BatchBuilder, NewRecord};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    CreateTopicsRequest, DescribeTopicPartitionsRequest, ElectLeadersRequest, IncrementalAlterConfigsRequest,
};
use kafka_protocol::protocol::StrBytes;

/// A node of the cluster: its number in the harness, its id, and where clients reach it.
pub struct Node {
    pub number: usize,
    pub id: i32,
    pub addr: SocketAddr,
}

/// Topic, partition and code of one election.
pub type Answer = (String, i32, i16);

const TIMEOUT_MS: i32 = 30_000;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Creates a topic of one partition on these nodes.
pub fn create(addr: SocketAddr, topic: &str, replicas: &[i32], configs: &[(&str, &str)]) -> Result<()> {
    let assigned = CreatableReplicaAssignment::default()
        .with_partition_index(0)
        .with_broker_ids(replicas.iter().map(|id| (*id).into()).collect());
    let config = |(key, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
    };
    let creatable = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments(vec![assigned])
        .with_configs(configs.iter().map(config).collect());
    let request = CreateTopicsRequest::default().with_topics(vec![creatable]).with_timeout_ms(TIMEOUT_MS);
    let answer = ask_at(addr, 7, &request)?;
    let said = answer.topics.first().context("CreateTopics: no topic")?;
    ensure!(said.error_code == code::NONE, "{topic}: {} {:?}", said.error_code, said.error_message);
    Ok(())
}

/// The partition, as a node describes it.
pub fn place(addr: SocketAddr, topic: &str) -> Result<Place> {
    let mut view = view_at(addr, topic)?;
    view.places.remove(&0).with_context(|| format!("{topic} is not told"))
}

/// Waits until a node describes the partition so.
pub fn until(addr: SocketAddr, topic: &str, good: impl Fn(&Place) -> bool) -> Result<Place> {
    let until = Instant::now() + HANG;
    loop {
        match place(addr, topic) {
            Ok(place) if good(&place) => return Ok(place),
            place if Instant::now() > until => bail!("{topic} at {addr} stays {place:?}"),
            _ => std::thread::sleep(RETRY),
        }
    }
}

/// The records of these numbers.
pub fn sent(numbers: Range<u64>) -> Vec<Bytes> {
    numbers.map(|n| Bytes::from(format!("record {n}"))).collect()
}

/// Writes records with `acks=all`, each acknowledged before the next. A leader that has just begun may ask to wait.
pub fn produce(addr: SocketAddr, topic: &str, numbers: Range<u64>) -> Result<()> {
    let mut wire = Wire::connect(addr)?;
    for value in sent(numbers) {
        let until = Instant::now() + HANG;
        loop {
            let record = NewRecord { timestamp: now()?, value: Some(value.to_vec()), ..NewRecord::default() };
            let batch = BatchBuilder::new(0).record(record).build()?;
            wire.send_batch(topic, 0, -1, batch.into())?;
            match wire.receive_batch()? {
                (code::NONE, _) => break,
                (error, _) => {
                    ensure!(code::retriable(error) && Instant::now() < until, "{topic} at {addr}: {error}");
                }
            }
            std::thread::sleep(RETRY);
        }
    }
    Ok(())
}

/// Milliseconds since 1970: a record of long ago would be removed.
fn now() -> Result<i64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis().try_into()?)
}

/// Waits until so many records can be read at a node, and returns them.
pub fn values(addr: SocketAddr, topic: &str, count: usize) -> Result<Vec<Bytes>> {
    let until = Instant::now() + HANG;
    loop {
        let read = Wire::connect(addr).and_then(|mut wire| read_partition(&mut wire, topic, 0));
        match read {
            Ok(read) if read.len() == count => return Ok(read.into_iter().map(|read| read.value).collect()),
            read if Instant::now() > until => bail!("{topic} at {addr}: {read:?} where {count} should be"),
            _ => std::thread::sleep(RETRY),
        }
    }
}

/// The ELR and the last known ELR that a node tells.
#[allow(dead_code)] // not every suite looks at the lists
pub fn describe(addr: SocketAddr, topic: &str) -> Result<(Vec<i32>, Vec<i32>)> {
    let asked = TopicRequest::default().with_name(name(topic));
    let request = DescribeTopicPartitionsRequest::default()
        .with_topics(vec![asked])
        .with_response_partition_limit(10)
        .with_cursor(None);
    let answer = ask_at(addr, 0, &request)?;
    let topic = answer.topics.first().context("DescribeTopicPartitions: no topic")?;
    let p = topic.partitions.first().context("DescribeTopicPartitions: no partition")?;
    let ids = |ids: &Option<Vec<kafka_protocol::messages::BrokerId>>| {
        ids.iter().flatten().map(|id| id.0).collect::<Vec<_>>()
    };
    Ok((ids(&p.eligible_leader_replicas), ids(&p.last_known_elr)))
}

/// Asks for an election of one partition or of all; type 0 is that of preferred leaders, 1 the unclean one.
pub fn elect(addr: SocketAddr, kind: i8, partition: Option<(&str, i32)>) -> Result<Vec<Answer>> {
    let asked = partition.map(|(topic, partition)| {
        vec![TopicPartitions::default().with_topic(name(topic)).with_partitions(vec![partition])]
    });
    let request = ElectLeadersRequest::default()
        .with_election_type(kind)
        .with_topic_partitions(asked)
        .with_timeout_ms(TIMEOUT_MS);
    let answer = ask_at(addr, 2, &request)?;
    ensure!(answer.error_code == code::NONE, "ElectLeaders: {}", answer.error_code);
    let results = answer.replica_election_results.into_iter();
    let of = |topic: kafka_protocol::messages::elect_leaders_response::ReplicaElectionResult| {
        let name = topic.topic.to_string();
        topic.partition_result.into_iter().map(move |p| (name.clone(), p.partition_id, p.error_code))
    };
    Ok(results.flat_map(of).collect())
}

/// Sets one config of a resource: kind 2 is a topic, kind 4 a broker, all of them without a name.
pub fn alter(addr: SocketAddr, (kind, resource): (i8, &str), (key, value): (&str, &str)) -> Result<()> {
    let config = AlterableConfig::default()
        .with_name(text(key))
        .with_config_operation(0)
        .with_value(Some(text(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(resource))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = ask_at(addr, 1, &request)?;
    let said = answer.responses.first().context("IncrementalAlterConfigs: no result")?;
    ensure!(said.error_code == code::NONE, "{key}={value}: {} {:?}", said.error_code, said.error_message);
    Ok(())
}

/// A metric without labels, as a node's `/metrics` has it; 0 if it was never counted.
#[allow(dead_code)] // not every suite looks at metrics
pub fn metric(http: SocketAddr, name: &str) -> Result<f64> {
    let mut stream = TcpStream::connect(http)?;
    stream.set_read_timeout(Some(HANG))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    ensure!(page.starts_with("HTTP/1.1 200"), "/metrics: {page}");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(Ok(0.0), |value| value.trim().parse().with_context(|| format!("{name}: {value}")))
}
