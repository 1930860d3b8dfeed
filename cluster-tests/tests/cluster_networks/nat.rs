//! A client outside reaches three nodes only through a router's address; a client inside reaches them as they are. Each
//! is told the addresses of its own network, of all nodes, by every answer that tells any.
//!
//! ```text
//!   EXTERNAL   client ──> 192.0.2.1:19001…19003 ──dnat──> 10.77.0.1…3:9093     advertised: 192.0.2.1:1900n
//!   INTERNAL   client ──> 10.77.0.1…3:9092                                     not advertised: as they are bound
//! ```
//! `networks.sh` makes the networks, and runs this test once more inside of them, as the client outside. For the second
//! part the test lays a cable to the inner network. The nodes speak UDP with each other inside, and never by the router.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use callboard_cluster_tests::chaos::Map;
use callboard_cluster_tests::chaos::map::view_at;
use callboard_cluster_tests::process::load::{Script, batch};
use callboard_cluster_tests::process::wire::{Wire, name};
use callboard_cluster_tests::process::{HANG, Nodes, Options, find_program, need, run, say, scratch};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    DescribeClusterRequest, FetchRequest, FindCoordinatorRequest, MetadataRequest, ProduceRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::records::{Records, patiently};

const SUITE: &str = "cluster_networks";
/// Set in the process that runs within the networks.
const WITHIN: &str = "CALLBOARD_TEST_WITHIN_NETWORKS";
/// The name of the one test here, for its second run.
const TEST: &str = "nat::a_client_is_told_the_addresses_of_its_own_network";
const PARTITIONS: i32 = 3;
const NOT_LEADER: i16 = 6;

/// Addresses by node id, as clients hear them.
type Addresses = BTreeMap<i32, (String, i32)>;

fn inner(node: usize) -> String {
    format!("10.77.0.{}", node + 1)
}

fn external(node: usize) -> (String, u16) {
    ("192.0.2.1".to_owned(), 19_001 + node as u16)
}

fn internal(node: usize) -> (String, u16) {
    (inner(node), 9092)
}

#[test]
fn a_client_is_told_the_addresses_of_its_own_network() -> Result<()> {
    if std::env::var_os(WITHIN).is_some() {
        return within();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster_networks/networks.sh");
    let found = find_program("unshare").filter(|unshare| {
        let tried = run(unshare, &["-rmn", "sh", script, "true"], |_| ());
        tried.and_then(|tried| tried.good("networks.sh")).map_err(|error| say(&format!("{error:#}"))).is_ok()
    });
    let programs = find_program("ip").and(find_program("nft"));
    let Some(_) = need(SUITE, "ip and nft", programs)? else { return Ok(()) };
    let Some(unshare) = found else {
        say(
            "NOT RUN: nodes behind address translation: this machine lets nobody make networks (unshare -rmn)",
        );
        return Ok(());
    };
    let Some(_) = need(SUITE, "kcat", find_program("kcat"))? else { return Ok(()) };
    let this = std::env::current_exe()?;
    let args = ["-rmn", "sh", script, &this.to_string_lossy(), "--exact", TEST, "--nocapture"];
    let done = run(&unshare, &args, |command| {
        command.env(WITHIN, "1");
    })?
    .good("the test within the networks")?;
    let done = String::from_utf8_lossy(&done);
    ensure!(done.contains("1 passed"), "the second run does not know {TEST}:\n{done}");
    Ok(())
}

/// Runs outside. The namespaces end with this process and its children, however they end.
fn within() -> Result<()> {
    let seeds = (0..3).map(|node| format!("{}:7946", inner(node)));
    let mut nodes = Nodes::at(seeds.collect(), |node| {
        let at = inner(node);
        let (host, port) = external(node);
        Options {
            wrap: ["nsenter", "--net=/run/netns/inside", "--"].map(str::to_owned).to_vec(),
            listeners: Some(format!("INTERNAL://{at}:9092,EXTERNAL://{at}:9093")),
            ..Options::default()
        }
        .with_env("CALLBOARD_ADVERTISED", format!("EXTERNAL://{host}:{port}"))
    })?;
    nodes.restart()?;
    let outcome = both_networks(&mut nodes);
    outcome.map_err(|error| nodes.nodes[0].broken(&format!("{error:#}")))
}

fn both_networks(nodes: &mut Nodes) -> Result<()> {
    let hidden = TcpStream::connect_timeout(&nodes.nodes[0].addr(), HANG).err().map(|error| error.kind());
    ensure!(
        hidden == Some(ErrorKind::NetworkUnreachable),
        "the inner network, seen from outside: {hidden:?}"
    );
    let ids = (0..3).map(|node| nodes.id(node)).collect::<Result<Vec<_>>>()?;
    from("from-outside", &ids, external)?;
    kcat()?;
    cable()?;
    from("from-inside", &ids, internal)?;
    // The cable changes nothing for a client that comes by the router.
    heard(&hosts(&ids, external), external(0))
}

/// All that one client does on its network.
fn from(topic: &'static str, ids: &[i32], at: fn(usize) -> (String, u16)) -> Result<()> {
    let expected = hosts(ids, at);
    for node in 0..ids.len() {
        heard(&expected, at(node)).with_context(|| format!("{topic}: at {:?}", at(node)))?;
    }
    let map = Map::new((0..ids.len()).map(|node| socket(at(node))).collect::<Result<_>>()?);
    let mut records = Records::new(&map, topic, PARTITIONS as u16)?;
    records.more(&map, 10)?;
    records.are_there(&map)?;
    coordinators(&expected, &map).with_context(|| format!("{topic}: FindCoordinator"))?;
    hinted(&expected, &map).with_context(|| format!("{topic}: hints"))
}

fn hosts(ids: &[i32], at: fn(usize) -> (String, u16)) -> Addresses {
    let told = |(node, id): (usize, &i32)| (*id, (at(node).0, i32::from(at(node).1)));
    ids.iter().enumerate().map(told).collect()
}

fn socket((host, port): (String, u16)) -> Result<SocketAddr> {
    Ok(SocketAddr::new(host.parse()?, port))
}

fn same(what: &str, told: &Addresses, expected: &Addresses) -> Result<()> {
    ensure!(told == expected, "{what} tells {told:?}, not {expected:?}");
    Ok(())
}

/// Compares the addresses that Metadata and DescribeCluster tell here. A node may hear late that another one serves, so a missing
/// node is waited for; a wrong address is an error at once.
fn heard(expected: &Addresses, at: (String, u16)) -> Result<()> {
    let mut wire = Wire::connect(socket(at)?)?;
    patiently(|| {
        let answer = wire.call(12, &MetadataRequest::default().with_topics(Some(Vec::new())))?;
        let mut told = Addresses::new();
        for one in &answer.brokers {
            take(&mut told, one.node_id.0, (one.host.to_string(), one.port), expected);
        }
        same("Metadata", &told, expected)?;
        let answer = wire.call(1, &DescribeClusterRequest::default().with_endpoint_type(1))?;
        let mut told = Addresses::new();
        for one in &answer.brokers {
            take(&mut told, one.broker_id.0, (one.host.to_string(), one.port), expected);
        }
        same("DescribeCluster", &told, expected)
    })
}

/// Takes in what was told. An address other than the expected one ends the test, because no further try mends it.
fn take(told: &mut Addresses, id: i32, address: (String, i32), expected: &Addresses) {
    assert_eq!(
        Some(&address),
        expected.get(&id),
        "node {id} is told at the left address, not at the right one"
    );
    told.insert(id, address);
}

/// Groups enough for each node to coordinate some of them.
fn coordinators(expected: &Addresses, map: &Map) -> Result<()> {
    let keys = (0..40).map(|n| StrBytes::from_string(format!("group-{n}"))).collect();
    let request = FindCoordinatorRequest::default().with_coordinator_keys(keys);
    patiently(|| {
        let mut told = Addresses::new();
        for one in map.ask(4, &request)?.coordinators {
            ensure!(one.error_code == 0, "{}: error {}", one.key, one.error_code);
            take(&mut told, one.node_id.0, (one.host.to_string(), one.port), expected);
        }
        same("FindCoordinator", &told, expected)
    })
}

/// A node that does not lead a partition names the leader and its address, to a producer and to a consumer.
fn hinted(expected: &Addresses, map: &Map) -> Result<()> {
    const TOPIC: &str = "hints";
    map.create(TOPIC, PARTITIONS, 3, &[])?;
    let asked = MetadataRequestTopic::default().with_name(Some(name(TOPIC)));
    let answer = map.ask(12, &MetadataRequest::default().with_topics(Some(vec![asked])))?;
    let id = answer.topics.first().context("the topic")?.topic_id;
    // A leader may move meanwhile: then a node takes what it should refuse, and all is asked again.
    patiently(|| {
        let (mut producer, mut consumer) = (Addresses::new(), Addresses::new());
        for addr in map.view(TOPIC)?.nodes.into_values() {
            let view = view_at(addr, TOPIC)?;
            let own = view.nodes.iter().find(|(_, at)| **at == addr).map(|(id, _)| *id);
            let led = |partition: &i32| view.places.get(partition).map(|place| place.leader) == own;
            let others: Vec<i32> = (0..PARTITIONS).filter(|partition| !led(partition)).collect();
            let mut wire = Wire::connect(addr)?;
            for (id, address) in produce_hints(&mut wire, TOPIC, &others)? {
                take(&mut producer, id, address, expected);
            }
            for (id, address) in fetch_hints(&mut wire, id, &others)? {
                take(&mut consumer, id, address, expected);
            }
        }
        same("Produce", &producer, expected)?;
        same("Fetch", &consumer, expected)
    })
}

fn produce_hints(wire: &mut Wire, topic: &str, partitions: &[i32]) -> Result<Addresses> {
    let record: Bytes = batch(Script::small(1), 0, 0, 1, (-1, -1), -1)?;
    let data = |partition: &i32| {
        PartitionProduceData::default().with_index(*partition).with_records(Some(record.clone()))
    };
    let data = TopicProduceData::default()
        .with_name(name(topic))
        .with_partition_data(partitions.iter().map(data).collect());
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data]);
    let answer = wire.call(11, &request)?;
    for partition in answer.responses.iter().flat_map(|topic| &topic.partition_responses) {
        ensure!(partition.error_code == NOT_LEADER, "Produce: {partition:?}");
    }
    Ok(answer.node_endpoints.iter().map(|e| (e.node_id.0, (e.host.to_string(), e.port))).collect())
}

fn fetch_hints(wire: &mut Wire, topic: uuid::Uuid, partitions: &[i32]) -> Result<Addresses> {
    let partition = |partition: &i32| {
        FetchPartition::default()
            .with_partition(*partition)
            .with_current_leader_epoch(-1)
            .with_last_fetched_epoch(-1)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(1 << 20)
    };
    let asked = FetchTopic::default()
        .with_topic_id(topic)
        .with_partitions(partitions.iter().map(partition).collect());
    let request =
        FetchRequest::default().with_max_bytes(1 << 20).with_session_epoch(-1).with_topics(vec![asked]);
    let answer = wire.call(16, &request)?;
    for partition in answer.responses.iter().flat_map(|topic| &topic.partitions) {
        ensure!(partition.error_code == NOT_LEADER, "Fetch: {partition:?}");
    }
    Ok(answer.node_endpoints.iter().map(|e| (e.node_id.0, (e.host.to_string(), e.port))).collect())
}

/// librdkafka, which knows one address of the router and is told the rest.
fn kcat() -> Result<()> {
    const TOPIC: &str = "from-outside";
    let kcat = find_program("kcat").context("kcat")?;
    let (host, port) = external(1);
    let bootstrap = format!("{host}:{port}");
    let dir = scratch()?;
    let file = dir.path().join("lines");
    for partition in 0..PARTITIONS {
        let partition = partition.to_string();
        let lines: String = (0..1_000).map(|n| format!("line {n} for {partition}\n")).collect();
        std::fs::write(&file, &lines)?;
        let path = file.to_string_lossy();
        let to = ["-b", &bootstrap, "-t", TOPIC, "-p", &partition];
        run(&kcat, &[&["-P", "-X", "acks=all", "-l", &path], &to[..]].concat(), |_| ())?.good("kcat -P")?;
        // Ten records of this partition came before.
        let read =
            run(&kcat, &[&["-C", "-o", "10", "-e", "-q"], &to[..]].concat(), |_| ())?.good("kcat -C")?;
        if read != lines.as_bytes() {
            bail!("partition {partition}: {} bytes were read of {}", read.len(), lines.len());
        }
    }
    Ok(())
}

/// Joins this network to the inner one, past the router.
fn cable() -> Result<()> {
    let ip = find_program("ip").unwrap_or_else(|| Path::new("/usr/sbin/ip").to_owned());
    for line in [
        "link add cable type veth peer name socket netns inside",
        "addr add 10.78.0.7/24 dev cable",
        "-n inside addr add 10.78.0.1/24 dev socket",
        "link set cable up",
        "-n inside link set socket up",
        "route add 10.77.0.0/24 via 10.78.0.1",
    ] {
        run(&ip, &line.split(' ').collect::<Vec<_>>(), |_| ())?.good(line)?;
    }
    Ok(())
}
