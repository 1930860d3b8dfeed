//! Where partitions are led and where a group has its coordinator, asked of whichever node answers.
//!
//! Each question opens a connection of its own and begins at another node than the last. So a dead or hung node does not
//! hold a client for long. The map remembers addresses only, and no answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, DescribeQuorumRequest, FindCoordinatorRequest, MetadataRequest,
};
use kafka_protocol::protocol::{Request, StrBytes};

use crate::process::HANG;
use crate::process::verdict::{Read, read_partition};
use crate::process::wire::{RETRY, Wire, code, name};

const METADATA: i16 = 9;
const FIND: i16 = 3;
const CREATE: i16 = 7;
const DELETE: i16 = 4;
const QUORUM: i16 = 0;
/// A node that leaves such a question open for longer is passed over.
const PATIENCE: Duration = Duration::from_secs(5);
const NOT_CONTROLLER: i16 = 41;
const INVALID_REPLICATION_FACTOR: i16 = 38;

/// One partition as a node describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// −1 while there is none.
    pub leader: i32,
    pub epoch: i32,
    pub isr: Vec<i32>,
    pub replicas: Vec<i32>,
}

impl Place {
    /// Whether every replica is in the ISR and one of them leads.
    #[must_use]
    pub fn whole(&self) -> bool {
        self.leader >= 0 && !self.replicas.is_empty() && self.isr.len() == self.replicas.len()
    }
}

/// A topic and the nodes, as one node describes them.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The cluster's id, as the node tells it.
    pub cluster: Option<String>,
    pub nodes: BTreeMap<i32, SocketAddr>,
    pub places: BTreeMap<i32, Place>,
}

impl View {
    /// The node that leads a partition, and its address; `None` while there is none or its address is not told.
    #[must_use]
    pub fn leader(&self, partition: i32) -> Option<(i32, SocketAddr)> {
        let leader = self.places.get(&partition)?.leader;
        self.nodes.get(&leader).map(|addr| (leader, *addr))
    }
}

/// The Kafka addresses of all nodes.
pub struct Map {
    addrs: Vec<SocketAddr>,
    turn: AtomicUsize,
}

impl Map {
    /// A map that begins with these addresses.
    #[must_use]
    pub fn new(addrs: Vec<SocketAddr>) -> Map {
        Map { addrs, turn: AtomicUsize::new(0) }
    }

    /// Asks one node after the other until one answers.
    pub fn ask<R: Request>(&self, version: i16, request: &R) -> Result<R::Response> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut last = anyhow::anyhow!("there is no node to ask");
        for n in 0..self.addrs.len() {
            let addr = self.addrs[(turn + n) % self.addrs.len()];
            match ask_at(addr, version, request) {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error.context(addr),
            }
        }
        Err(last)
    }

    /// A topic, as any node describes it.
    pub fn view(&self, topic: &str) -> Result<View> {
        Ok(view_of(self.ask(METADATA, &metadata(topic))?))
    }

    /// The coordinator of a group; an error while there is none.
    pub fn coordinator(&self, group: &str) -> Result<SocketAddr> {
        let key = StrBytes::from_string(group.to_owned());
        let request = FindCoordinatorRequest::default().with_key(key).with_key_type(0);
        let answer = self.ask(FIND, &request)?;
        if answer.error_code != code::NONE {
            bail!("FindCoordinator {group}: error {}", answer.error_code);
        }
        address(&answer.host, answer.port).context("an address of the coordinator")
    }

    /// Creates a topic and waits until each partition has a leader in a full ISR.
    pub fn create(&self, topic: &str, partitions: i32, factor: i16, configs: &[(&str, &str)]) -> Result<()> {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let config = |(key, value): &(&str, &str)| {
            CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
        };
        let creatable = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(partitions)
            .with_replication_factor(factor)
            .with_configs(configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![creatable]).with_timeout_ms(30_000);
        let until = Instant::now() + HANG;
        let mut last = String::new();
        while Instant::now() < until {
            let said = self.ask(CREATE, &request).map(|answer| {
                let topic = answer.topics.first();
                topic.map_or((-1, None), |topic| (topic.error_code, topic.error_message.clone()))
            });
            match said {
                Ok((code::NONE | code::TOPIC_ALREADY_EXISTS, _)) => {
                    return self.whole(topic, partitions, until);
                }
                Ok((error, words)) if error != NOT_CONTROLLER && error != INVALID_REPLICATION_FACTOR => {
                    if !code::retriable(error) {
                        bail!("CreateTopics {topic}: error {error} {words:?}");
                    }
                    last = format!("error {error} {words:?}");
                }
                Ok(said) => last = format!("{said:?}"),
                Err(error) => last = format!("{error:#}"),
            }
            std::thread::sleep(RETRY);
        }
        bail!("{topic} was not created within {HANG:?}: {last}")
    }

    /// Deletes a topic at whichever node answers, and returns when it is gone from the metadata.
    pub fn delete(&self, topic: &str) -> Result<()> {
        let request =
            DeleteTopicsRequest::default().with_topic_names(vec![name(topic)]).with_timeout_ms(30_000);
        let until = Instant::now() + HANG;
        let mut last = String::new();
        while Instant::now() < until {
            let said =
                self.ask(DELETE, &request).map(|answer| answer.responses.first().map(|r| r.error_code));
            match said {
                Ok(Some(code::NONE)) => return Ok(()),
                said => last = format!("{said:?}"),
            }
            std::thread::sleep(RETRY);
        }
        bail!("{topic} was not deleted within {HANG:?}: {last}")
    }

    /// Reads a partition to its end from whichever node leads it.
    pub fn read(&self, topic: &str, partition: i32) -> Result<Vec<Read>> {
        let until = Instant::now() + HANG;
        loop {
            let leader = self.view(topic).and_then(|view| view.leader(partition).context("it has no leader"));
            let read =
                leader.and_then(|(_, addr)| read_partition(&mut Wire::connect(addr)?, topic, partition));
            match read {
                Ok(reads) => return Ok(reads),
                Err(error) if Instant::now() > until => {
                    return Err(error.context(format!("{topic}-{partition} cannot be read to its end")));
                }
                Err(_) => std::thread::sleep(RETRY),
            }
        }
    }

    fn whole(&self, topic: &str, partitions: i32, until: Instant) -> Result<()> {
        let mut last = String::new();
        while Instant::now() < until {
            match self.view(topic) {
                Ok(view) => {
                    let whole = view.places.values().filter(|place| place.whole()).count();
                    if whole == usize::try_from(partitions).unwrap_or(usize::MAX) {
                        return Ok(());
                    }
                    last = format!("{view:?}");
                }
                Err(error) => last = format!("{error:#}"),
            }
            std::thread::sleep(RETRY);
        }
        bail!("{topic} was created and is not whole after {HANG:?}: {last}")
    }
}

/// Asks one node over a connection of its own.
pub fn ask_at<R: Request>(addr: SocketAddr, version: i16, request: &R) -> Result<R::Response> {
    Wire::connect_within(addr, PATIENCE)?.patience(PATIENCE)?.call(version, request)
}

/// A topic, as the node at this address describes it.
pub fn view_at(addr: SocketAddr, topic: &str) -> Result<View> {
    Ok(view_of(ask_at(addr, METADATA, &metadata(topic))?))
}

/// The leader of the metadata log, if the node answers DescribeQuorum; `None` if it does not know this request.
pub fn quorum_leader_at(addr: SocketAddr) -> Result<Option<i32>> {
    Ok(quorum_at(addr)?.map(|(_, leader)| leader))
}

/// The term of the metadata log and its leader, likewise.
pub fn quorum_at(addr: SocketAddr) -> Result<Option<(u64, i32)>> {
    let mut wire = Wire::connect_within(addr, PATIENCE)?.patience(PATIENCE)?;
    if !wire.lists(DescribeQuorumRequest::KEY)? {
        return Ok(None);
    }
    let partition = vec![PartitionData::default().with_partition_index(0)];
    let topic = TopicData::default().with_topic_name(name("__cluster_metadata")).with_partitions(partition);
    let answer = wire.call(QUORUM, &DescribeQuorumRequest::default().with_topics(vec![topic]))?;
    let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
    let partition = partition.with_context(|| format!("DescribeQuorum: error {}", answer.error_code))?;
    if partition.error_code != code::NONE || partition.leader_id.0 < 0 {
        bail!("DescribeQuorum: error {}, leader {}", partition.error_code, partition.leader_id.0);
    }
    Ok(Some((u64::try_from(partition.leader_epoch)?, partition.leader_id.0)))
}

fn metadata(topic: &str) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
    MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false)
}

fn view_of(answer: kafka_protocol::messages::MetadataResponse) -> View {
    let cluster = answer.cluster_id.as_ref().map(ToString::to_string);
    let nodes = answer.brokers.iter();
    let nodes = nodes.filter_map(|node| Some((node.node_id.0, address(&node.host, node.port)?))).collect();
    let mut places = BTreeMap::new();
    for partition in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
        let ids = |ids: Vec<kafka_protocol::messages::BrokerId>| ids.into_iter().map(|id| id.0).collect();
        let place = Place {
            leader: partition.leader_id.0,
            epoch: partition.leader_epoch,
            isr: ids(partition.isr_nodes),
            replicas: ids(partition.replica_nodes),
        };
        places.insert(partition.partition_index, place);
    }
    View { cluster, nodes, places }
}

fn address(host: &str, port: i32) -> Option<SocketAddr> {
    Some(SocketAddr::new(host.parse().ok()?, u16::try_from(port).ok()?))
}
