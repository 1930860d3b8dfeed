//! Listeners of several networks, and what others than Kafka's plain clients hear there, against the built broker.
//!
//! ```text
//!   A  127.0.0.1:0                    ─> told the address that it reached
//!   B  127.0.0.1:0, advertised        ─> told the advertised one
//! ```
//! Nodes of one cluster that tell each other's addresses are tested with the cluster.

#![allow(clippy::unwrap_used)] // helpers of tests, too

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result};
use callboard_cluster_tests::process::wire::{Wire, name};
use callboard_cluster_tests::process::{Broker, HANG, Options};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeConfigsRequest, DescribeQuorumRequest, FetchRequest,
    FindCoordinatorRequest, MetadataRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::StrBytes;

const ADVERTISED: (&str, i32) = ("b.example", 19092);

fn broker() -> Result<(Broker, SocketAddr)> {
    let listeners = Some("A://127.0.0.1:0,B://127.0.0.1:0".to_owned());
    let options = Options { listeners, ..Options::default() };
    let broker = Broker::start(options.with_env("CALLBOARD_ADVERTISED", "B://b.example:19092"))?;
    let second = broker.lines().wait_for(", named B", 0, HANG).context("no line of the second listener")?;
    let address =
        second.split("clients on ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
    Ok((broker, address.parse()?))
}

/// The address of the one node, as three APIs tell it.
fn told(at: SocketAddr) -> Result<Vec<(String, i32)>> {
    let mut wire = Wire::connect(at)?;
    let metadata = wire.call(12, &MetadataRequest::default().with_topics(Some(Vec::new())))?;
    assert_eq!(metadata.controller_id.0, metadata.brokers[0].node_id.0);
    let cluster = wire.call(1, &DescribeClusterRequest::default().with_endpoint_type(1))?;
    let keys = vec![StrBytes::from_static_str("g")];
    let coordinator = wire.call(4, &FindCoordinatorRequest::default().with_coordinator_keys(keys))?;
    let (one, two, three) = (&metadata.brokers[0], &cluster.brokers[0], &coordinator.coordinators[0]);
    let all = [(&one.host, one.port), (&two.host, two.port), (&three.host, three.port)];
    Ok(all.into_iter().map(|(host, port)| (host.to_string(), port)).collect())
}

#[test]
fn a_client_is_told_the_address_of_its_own_network() -> Result<()> {
    let (broker, second) = broker()?;
    let first = broker.addr();
    assert_ne!(first, second);
    assert_eq!(told(first)?, vec![("127.0.0.1".to_owned(), i32::from(first.port())); 3]);
    assert_eq!(told(second)?, vec![(ADVERTISED.0.to_owned(), ADVERTISED.1); 3]);
    let resource = DescribeConfigsResource::default().with_resource_type(4).with_resource_name("1".into());
    let asked =
        DescribeConfigsRequest::default().with_resources(vec![resource.with_configuration_keys(None)]);
    let answer = Wire::connect(first)?.call(4, &asked)?;
    let value = |wanted: &str| {
        let found = answer.results[0].configs.iter().find(|config| config.name.as_str() == wanted);
        found.and_then(|config| config.value.as_ref()).map(ToString::to_string)
    };
    let listeners = format!("A://127.0.0.1:{},B://127.0.0.1:{}", first.port(), second.port());
    assert_eq!(value("listeners"), Some(listeners));
    assert_eq!(value("advertised.listeners"), Some("B://b.example:19092".to_owned()));
    Ok(())
}

#[test]
fn one_node_is_its_own_quorum() -> Result<()> {
    let broker = Broker::start(Options::default())?;
    let mut wire = Wire::connect(broker.addr())?;
    let ask = |topic: &str, partitions: &[i32]| {
        let partition = |n: &i32| PartitionData::default().with_partition_index(*n);
        let partitions = partitions.iter().map(partition).collect();
        let topic = TopicData::default().with_topic_name(name(topic)).with_partitions(partitions);
        DescribeQuorumRequest::default().with_topics(vec![topic])
    };
    for version in 0..=2 {
        let answer = wire.call(version, &ask("__cluster_metadata", &[0]))?;
        let p = &answer.topics[0].partitions[0];
        assert_eq!((answer.error_code, p.error_code, p.leader_id.0), (0, 0, 1), "v{version}");
        let voters: Vec<_> = p.current_voters.iter().map(|voter| voter.replica_id.0).collect();
        assert_eq!((voters, p.observers.len()), (vec![1], 0), "v{version}");
        assert!(p.leader_epoch > 0 && p.high_watermark > 0, "v{version}: {p:?}");
        let voter = &p.current_voters[0];
        assert_eq!(voter.log_end_offset, p.high_watermark, "v{version}");
        assert_eq!(voter.last_caught_up_timestamp > 0, version >= 1, "v{version}");
        assert_eq!(voter.replica_directory_id.is_nil(), version < 2, "v{version}");
        let ports: Vec<_> = answer.nodes.iter().flat_map(|node| &node.listeners).map(|l| l.port).collect();
        assert_eq!(ports, if version < 2 { vec![] } else { vec![broker.addr().port()] });
        for (topic, partitions) in
            [("other", &[0][..]), ("__cluster_metadata", &[1]), ("__cluster_metadata", &[0, 1])]
        {
            let answer = wire.call(version, &ask(topic, partitions))?;
            let codes: Vec<_> = answer.topics[0].partitions.iter().map(|p| p.error_code).collect();
            assert_eq!(codes, vec![3; partitions.len()], "v{version} {topic} {partitions:?}");
        }
    }
    Ok(())
}

#[test]
fn a_replica_does_not_fetch_at_the_port_of_clients() -> Result<()> {
    let broker = Broker::start(Options::default())?;
    let mut wire = Wire::connect(broker.addr())?;
    wire.create_topic("t", 1)?;
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20).with_current_leader_epoch(-1);
    let topic = FetchTopic::default().with_topic(name("t")).with_partitions(vec![partition]);
    let fetch = |replica: i32| {
        let fetch = FetchRequest::default().with_replica_id(replica.into()).with_session_epoch(-1);
        fetch.with_max_bytes(1 << 20).with_topics(vec![topic.clone()])
    };
    for (replica, code) in [(-1, 0), (1, 31), (7, 31)] {
        let answer = wire.call(11, &fetch(replica))?;
        assert_eq!(
            (answer.error_code, answer.responses[0].partitions[0].error_code),
            (code, code),
            "{replica}"
        );
    }
    Ok(())
}

#[test]
fn whoever_speaks_tls_or_logs_in_is_told_why_it_does_not_work() -> Result<()> {
    let broker = Broker::start(Options::default())?;
    let from = broker.lines().seen();
    let mut tls = TcpStream::connect(broker.addr())?;
    tls.set_read_timeout(Some(HANG))?;
    tls.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03])?;
    assert_eq!(tls.read(&mut [0; 1]).unwrap_or(0), 0, "the connection is closed");
    let line = broker.lines().wait_for("the client speaks TLS", from, HANG).context("no line of TLS")?;
    assert!(line.contains("why=\"tls\"") && line.contains("security.protocol=PLAINTEXT"), "{line}");
    let mut sasl = Wire::connect(broker.addr())?;
    sasl.send(1, &SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("PLAIN")))?;
    assert!(sasl.closed()?);
    let line = broker.lines().wait_for("log in with SASL", from, HANG).context("no line of SASL")?;
    assert!(line.contains("why=\"sasl\""), "{line}");
    assert_eq!(broker.lines().holding("no authentication, no encryption"), 0, "it listens on loopback");
    let open = Options { listeners: Some("0.0.0.0:0".to_owned()), ..Options::default() };
    let open = Broker::start(open)?;
    assert_eq!(open.lines().holding("no authentication, no encryption"), 1);
    Ok(())
}
