//! Leader epochs, and what cluster, topics and producers are said to be.

use anyhow::{Context, Result, bail};
use callboard_cluster_tests::process::wire::{Wire, name};
use callboard_cluster_tests::process::{Broker, Options};
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeProducersRequest, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse, OffsetForLeaderEpochRequest, describe_producers_request,
};

use crate::{TIMESTAMP, batch, start, write};

const TOPIC: &str = "library";
const NOBODY: i32 = i32::MIN;

/// An orderly restart: every partition gets a new leader epoch.
fn restart(broker: &mut Broker) -> Result<Wire> {
    broker.stop()?;
    broker.restart()?;
    Wire::connect(broker.addr())
}

#[test]
fn a_leader_says_where_each_epoch_ended() -> Result<()> {
    let (mut broker, mut wire) = start(Options::default())?;
    wire.create_topic(TOPIC, 2)?;
    write(&mut wire, TOPIC, 0)?;
    write(&mut wire, TOPIC, 0)?;
    wire = restart(&mut broker)?;
    write(&mut wire, TOPIC, 0)?;
    // Nothing is written in the third epoch, and nothing ever to partition 1.
    wire = restart(&mut broker)?;
    let current = epoch(&mut wire, 3, TOPIC, 0, -1, i32::MAX)?;
    if current != (0, -1, -1) {
        bail!("an epoch to come: {current:?}");
    }
    // Topic, partition, leader epoch the client believes in, epoch asked for; error, epoch, end.
    type Row = (&'static str, i32, i32, i32, (i16, i32, i64));
    let rows: [Row; 16] = [
        (TOPIC, 0, -1, 0, (0, 0, 2)),
        (TOPIC, 0, 2, 0, (0, 0, 2)),
        (TOPIC, 0, -1, 1, (0, 1, 3)),
        (TOPIC, 0, -1, 2, (0, 2, 3)),
        (TOPIC, 0, -1, 3, (0, -1, -1)),
        (TOPIC, 0, -1, -1, (0, -1, -1)),
        (TOPIC, 0, -1, i32::MIN, (0, i32::MIN, 0)),
        (TOPIC, 0, 1, 0, (74, -1, -1)),
        (TOPIC, 0, -5, 0, (74, -1, -1)),
        (TOPIC, 0, 3, 0, (75, -1, -1)),
        (TOPIC, 0, i32::MAX, 0, (75, -1, -1)),
        (TOPIC, 1, -1, 2, (0, 2, 0)),
        (TOPIC, 2, -1, 0, (3, -1, -1)),
        (TOPIC, -1, -1, 0, (3, -1, -1)),
        ("nowhere", 0, -1, 0, (3, -1, -1)),
        ("a b", 0, -1, 0, (3, -1, -1)),
    ];
    for version in 2..=4 {
        for (topic, partition, believed, asked, due) in rows {
            let said = epoch(&mut wire, version, topic, partition, believed, asked)?;
            if said != due {
                bail!("v{version} {topic}-{partition} in {believed}, epoch {asked}: {said:?}, due {due:?}");
            }
        }
    }
    Ok(())
}

fn epoch(
    wire: &mut Wire,
    version: i16,
    topic: &str,
    partition: i32,
    believed: i32,
    asked: i32,
) -> Result<(i16, i32, i64)> {
    let part = OffsetForLeaderPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(believed)
        .with_leader_epoch(asked);
    let topic = OffsetForLeaderTopic::default().with_topic(name(topic)).with_partitions(vec![part]);
    let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
    let request = if version < 3 { request } else { request.with_replica_id((-1).into()) };
    let answer = wire.call(version, &request)?;
    let said = answer.topics.first().and_then(|t| t.partitions.first()).context("no partition")?;
    if said.partition != partition {
        bail!("partition {} instead of {partition}", said.partition);
    }
    Ok((said.error_code, said.leader_epoch, said.end_offset))
}

#[test]
fn the_cluster_is_its_brokers_and_no_controller_listens_here() -> Result<()> {
    let (broker, mut wire) = start(Options::default())?;
    for version in 0..=2 {
        for (operations, due) in [(false, NOBODY), (true, 8096)] {
            let request = DescribeClusterRequest::default()
                .with_include_cluster_authorized_operations(operations)
                .with_include_fenced_brokers(version >= 2);
            let said = wire.call(version, &request)?;
            let [node] = said.brokers.as_slice() else { bail!("v{version}: {said:?}") };
            let at = (node.host.as_str(), node.port);
            if at != ("127.0.0.1", i32::from(broker.addr().port())) || node.is_fenced {
                bail!("v{version}: {node:?}");
            }
            if said.cluster_id.is_empty() || said.controller_id != node.broker_id || said.error_code != 0 {
                bail!("v{version}: {said:?}");
            }
            if said.cluster_authorized_operations != due || said.endpoint_type != 1 {
                bail!("v{version}: {said:?}");
            }
        }
    }
    for (endpoint, code, text) in [
        (
            2,
            114,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
        ),
        (0, 115, "Unsupported endpoint type 0"),
        (3, 115, "Unsupported endpoint type 3"),
        (i8::MIN, 115, "Unsupported endpoint type -128"),
    ] {
        for version in 1..=2 {
            let said = wire.call(version, &DescribeClusterRequest::default().with_endpoint_type(endpoint))?;
            if (said.error_code, said.error_message.as_deref()) != (code, Some(text)) {
                bail!("v{version}, endpoint type {endpoint}: {said:?}");
            }
            if !said.brokers.is_empty() || !said.cluster_id.is_empty() || said.controller_id != -1 {
                bail!("v{version}, endpoint type {endpoint}: {said:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_partition_tells_its_producers_after_a_restart_too() -> Result<()> {
    let (mut broker, mut wire) = start(Options::default())?;
    wire.create_topic(TOPIC, 2)?;
    let (first, _) = wire.init_producer_id()?;
    let (second, _) = wire.init_producer_id()?;
    for (id, sequence) in [(second, 40), (first, 0), (first, 1)] {
        wire.send_batch(TOPIC, 0, -1, batch(Some((id, sequence))))?;
        let (code, _) = wire.receive_batch()?;
        if code != 0 {
            bail!("producer {id} at {sequence}: error {code}");
        }
    }
    write(&mut wire, TOPIC, 1)?;
    let due = vec![(first, 0, 1, *TIMESTAMP, -1, -1), (second, 0, 40, *TIMESTAMP, -1, -1)];
    for run in 0..2 {
        let said = producers(&mut wire, TOPIC, &[0, 1, 7, -1])?;
        let wanted = vec![(0, 0, due.clone()), (1, 0, vec![]), (7, 3, vec![]), (-1, 3, vec![])];
        if said != wanted {
            bail!("run {run}: {said:?} instead of {wanted:?}");
        }
        wire = restart(&mut broker)?;
    }
    for (topic, code) in [("nowhere", 3), ("a b", 17), ("", 17), ("..", 17)] {
        let said = producers(&mut wire, topic, &[0, 5])?;
        if said != vec![(0, code, vec![]), (5, code, vec![])] {
            bail!("{topic:?}: {said:?}");
        }
    }
    Ok(())
}

/// Id, epoch, last sequence, last timestamp, coordinator epoch, start of a transaction.
type Producer = (i64, i32, i32, i64, i32, i64);

/// Of each partition: its number, error and producers.
fn producers(wire: &mut Wire, topic: &str, partitions: &[i32]) -> Result<Vec<(i32, i16, Vec<Producer>)>> {
    let asked = describe_producers_request::TopicRequest::default()
        .with_name(name(topic))
        .with_partition_indexes(partitions.to_vec());
    let answer = wire.call(0, &DescribeProducersRequest::default().with_topics(vec![asked]))?;
    let said = answer.topics.into_iter().next().context("no topic")?;
    let producers = |p: &kafka_protocol::messages::describe_producers_response::PartitionResponse| {
        let active = p.active_producers.iter();
        let tell = active.map(|a| {
            let id = a.producer_id.0;
            let start = a.current_txn_start_offset;
            (id, a.producer_epoch, a.last_sequence, a.last_timestamp, a.coordinator_epoch, start)
        });
        (p.partition_index, p.error_code, tell.collect())
    };
    Ok(said.partitions.iter().map(producers).collect())
}

#[test]
fn topics_are_described_so_many_partitions_at_a_time() -> Result<()> {
    let (_broker, mut wire) = start(Options::default())?;
    for (topic, partitions) in [("b", 3), ("a", 2), ("d", 1)] {
        wire.create_topic(topic, partitions)?;
    }
    // Topics, limit, cursor; the answer: topic, error, partitions; next cursor.
    type Row<'a> = (&'a [&'a str], i32, Option<(&'a str, i32)>, &'a str, Option<(&'a str, i32)>);
    let rows: [Row<'_>; 22] = [
        (&[], 2000, None, "a:0[0,1] b:0[0,1,2] d:0[0]", None),
        (&[], 3, None, "a:0[0,1] b:0[0]", Some(("b", 1))),
        (&[], 3, Some(("b", 1)), "b:0[1,2] d:0[0]", None),
        (&[], 2, None, "a:0[0,1]", Some(("b", 0))),
        (&[], 2, Some(("c", 9)), "d:0[0]", None),
        (&[], 2, Some(("e", 0)), "", None),
        (&[], 2, Some(("b", -1)), "", None),
        (&["b"], 0, None, "b:0[0]", Some(("b", 1))),
        (&["b"], -7, None, "b:0[0]", Some(("b", 1))),
        (&["b"], i32::MAX, None, "b:0[0,1,2]", None),
        (&["b"], 2, Some(("b", 2)), "b:0[2]", None),
        (&["b"], 2, Some(("b", 3)), "b:0[]", None),
        (&["b"], 2, Some(("b", i32::MAX)), "b:0[]", None),
        (&["b"], 2, Some(("b", -1)), "b:42[]", None),
        (&["b", "a"], 2, Some(("other", 0)), "b:42[] a:42[]", None),
        (&["b", "a"], 9, Some(("b", 0)), "b:0[0,1,2]", None),
        (&["zzz", "b"], 9, None, "b:0[0,1,2] zzz:3[]", None),
        (&["zzz", "b"], 3, None, "b:0[0,1,2]", Some(("zzz", 0))),
        (&["zzz", "b"], 3, Some(("zzz", 5)), "zzz:3[]", None),
        (&["d", "b", "d", "b"], 9, None, "b:0[0,1,2] d:0[0]", None),
        (&["a b", "b"], 9, None, "a b:17[] b:0[0,1,2]", None),
        (&["..", "d"], 9, None, "..:17[] d:0[0]", None),
    ];
    for (n, (topics, limit, cursor, due, next)) in rows.into_iter().enumerate() {
        let topics = topics.iter().map(|topic| TopicRequest::default().with_name(name(topic)));
        let cursor = cursor.map(|(topic, partition)| {
            Cursor::default().with_topic_name(name(topic)).with_partition_index(partition)
        });
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(topics.collect())
            .with_response_partition_limit(limit)
            .with_cursor(cursor);
        let answer = wire.call(0, &request)?;
        let said = told(&answer)?;
        let goes_on = answer.next_cursor.as_ref().map(|c| (c.topic_name.as_str(), c.partition_index));
        if (said.as_str(), goes_on) != (due, next) {
            bail!("row {n}: {said:?} and {goes_on:?} instead of {due:?} and {next:?}");
        }
    }
    Ok(())
}

fn told(answer: &DescribeTopicPartitionsResponse) -> Result<String> {
    let mut topics = Vec::new();
    for topic in &answer.topics {
        let known = topic.error_code == 0;
        // What may be done is told of every topic, but not when the request is refused.
        let operations = if topic.error_code == 42 { NOBODY } else { 3576 };
        if known == topic.topic_id.is_nil() || topic.topic_authorized_operations != operations {
            bail!("{topic:?}");
        }
        for p in &topic.partitions {
            let led = (p.leader_id, p.replica_nodes.as_slice()) == (1.into(), &[1.into()]);
            let nothing = (Some(&vec![]), Some(&vec![]));
            let eligible = (p.eligible_leader_replicas.as_ref(), p.last_known_elr.as_ref());
            if !led || p.isr_nodes != p.replica_nodes || eligible != nothing || p.error_code != 0 {
                bail!("{p:?}");
            }
        }
        let numbers: Vec<String> = topic.partitions.iter().map(|p| p.partition_index.to_string()).collect();
        let topic_name = topic.name.as_ref().context("a name")?.as_str();
        topics.push(format!("{topic_name}:{}[{}]", topic.error_code, numbers.join(",")));
    }
    Ok(topics.join(" "))
}
