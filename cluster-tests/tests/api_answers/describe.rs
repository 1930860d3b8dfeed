//! DescribeCluster, DescribeQuorum, DescribeLogDirs, DescribeTopicPartitions, DescribeProducers, ApiVersions: what is not there.

use anyhow::Result;
use callboard_cluster_tests::process::wire::name;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest as Producers;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, DescribeClusterRequest, DescribeClusterResponse,
    DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeProducersRequest, DescribeProducersResponse,
    DescribeQuorumRequest, DescribeQuorumResponse, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
};

use super::{ALL, Asked, Case, Names, text, words};

fn cluster(_: i16, _: &Names) -> DescribeClusterRequest {
    DescribeClusterRequest::default()
}

fn told(answer: &DescribeClusterResponse, _: &Names) -> String {
    let id = if answer.cluster_id.is_empty() { "no id" } else { "an id" };
    format!(
        "{} {id} type {} controller {} brokers {} may {} {}",
        answer.error_code,
        answer.endpoint_type,
        answer.controller_id.0,
        answer.brokers.len(),
        answer.cluster_authorized_operations,
        words(&answer.error_message)
    )
}

const CLUSTER: &[Case<DescribeClusterRequest>] = &[
    ("good", ALL, |_, _| {}),
    ("operations", ALL, |r, _| r.include_cluster_authorized_operations = true),
    ("type 0", 1..=99, |r, _| r.endpoint_type = 0),
    ("type 2", 1..=99, |r, _| r.endpoint_type = 2),
    ("type 3", 1..=99, |r, _| r.endpoint_type = 3),
    ("type -1", 1..=99, |r, _| r.endpoint_type = -1),
    ("fenced ones", 2..=99, |r, _| r.include_fenced_brokers = true),
];

fn quorum(_: i16, _: &Names) -> DescribeQuorumRequest {
    let mut request = DescribeQuorumRequest::default();
    voted(&mut request, "__cluster_metadata", &[0]);
    request
}

fn voted(r: &mut DescribeQuorumRequest, topic: &str, partitions: &[i32]) {
    let partition = |index: &i32| PartitionData::default().with_partition_index(*index);
    let partitions = partitions.iter().map(partition).collect();
    r.topics.push(TopicData::default().with_topic_name(name(topic)).with_partitions(partitions));
}

/// Offsets and times are left out, because they move.
fn quorate(answer: &DescribeQuorumResponse, names: &Names) -> String {
    let mut all = vec![format!("{} nodes {}", answer.error_code, answer.nodes.len())];
    for topic in &answer.topics {
        for p in &topic.partitions {
            let voters: Vec<_> = p.current_voters.iter().map(|voter| voter.replica_id.0).collect();
            let moved = p.high_watermark > 0 && p.current_voters.iter().all(|v| v.log_end_offset > 0);
            all.push(format!(
                "{}-{} {} leader {} epoch {} voters {voters:?} observers {} moved {moved}",
                names.plain(&topic.topic_name),
                p.partition_index,
                p.error_code,
                p.leader_id.0,
                p.leader_epoch > 0,
                p.observers.len(),
            ));
        }
    }
    all.join(", ")
}

const QUORUM: &[Case<DescribeQuorumRequest>] = &[
    ("good", ALL, |_, _| {}),
    ("no topics", ALL, |r, _| r.topics.clear()),
    ("partition 1", ALL, |r, _| {
        r.topics.clear();
        voted(r, "__cluster_metadata", &[1]);
    }),
    ("two partitions", ALL, |r, _| {
        r.topics.clear();
        voted(r, "__cluster_metadata", &[0, 1]);
    }),
    ("another topic", ALL, |r, n| {
        r.topics.clear();
        voted(r, &n.of("t"), &[0]);
    }),
    ("two topics", ALL, |r, n| voted(r, &n.of("t"), &[0])),
];

fn dirs(_: i16, names: &Names) -> DescribeLogDirsRequest {
    let topic = DescribableLogDirTopic::default().with_topic(name(&names.of("t"))).with_partitions(vec![0]);
    DescribeLogDirsRequest::default().with_topics(Some(vec![topic]))
}

fn sized(answer: &DescribeLogDirsResponse, names: &Names) -> String {
    let mut all = vec![answer.error_code.to_string()];
    for dir in &answer.results {
        all.push(format!("directory {}", dir.error_code));
        for topic in &dir.topics {
            for p in &topic.partitions {
                let of = names.plain(&topic.name);
                all.push(format!(
                    "{of}-{} lag {} future {}",
                    p.partition_index, p.offset_lag, p.is_future_key
                ));
            }
        }
    }
    all.join(", ")
}

fn dir(r: &mut DescribeLogDirsRequest, named: &str, partitions: &[i32]) {
    let topic =
        DescribableLogDirTopic::default().with_topic(name(named)).with_partitions(partitions.to_vec());
    r.topics = Some(vec![topic]);
}

const DIRS: &[Case<DescribeLogDirsRequest>] = &[
    ("good", ALL, |_, _| {}),
    ("no topics", ALL, |r, _| r.topics = Some(Vec::new())),
    ("unknown topic", ALL, |r, n| dir(r, &n.of("none"), &[0])),
    ("topic a b", ALL, |r, _| dir(r, "a b", &[0])),
    ("topic of no letters", ALL, |r, _| dir(r, "", &[0])),
    ("partition 7", ALL, |r, n| dir(r, &n.of("t"), &[7])),
    ("partition -1 beside 1", ALL, |r, n| dir(r, &n.of("t"), &[-1, 1])),
    ("no partitions", ALL, |r, n| dir(r, &n.of("t"), &[])),
];

fn partitions(_: i16, names: &Names) -> DescribeTopicPartitionsRequest {
    let topic = TopicRequest::default().with_name(name(&names.of("t")));
    DescribeTopicPartitionsRequest::default().with_topics(vec![topic]).with_response_partition_limit(2_000)
}

fn parted(answer: &DescribeTopicPartitionsResponse, names: &Names) -> String {
    let mut all: Vec<_> = answer
        .topics
        .iter()
        .map(|t| {
            let id = if t.topic_id.is_nil() { "no id" } else { "an id" };
            let named = t.name.as_ref().map(|name| names.plain(name));
            let found: Vec<_> = t.partitions.iter().map(|p| (p.partition_index, p.error_code)).collect();
            format!(
                "{named:?} {id} {} internal {} may {} {found:?}",
                t.error_code, t.is_internal, t.topic_authorized_operations
            )
        })
        .collect();
    if let Some(next) = &answer.next_cursor {
        all.push(format!("next {}-{}", names.plain(&next.topic_name), next.partition_index));
    }
    all.join(", ")
}

fn only(r: &mut DescribeTopicPartitionsRequest, named: &[&str]) {
    r.topics = named.iter().map(|named| TopicRequest::default().with_name(name(named))).collect();
}

fn from(r: &mut DescribeTopicPartitionsRequest, named: &str, partition: i32) {
    r.cursor = Some(Cursor::default().with_topic_name(name(named)).with_partition_index(partition));
}

const PARTITIONS: &[Case<DescribeTopicPartitionsRequest>] = &[
    ("good", ALL, |_, _| {}),
    ("unknown topic", ALL, |r, n| only(r, &[&n.of("none")])),
    ("topic a b", ALL, |r, _| only(r, &["a b"])),
    ("topic of no letters", ALL, |r, _| only(r, &[""])),
    ("topic ..", ALL, |r, _| only(r, &[".."])),
    ("topic of 250 letters", ALL, |r, _| only(r, &[&"x".repeat(250)])),
    ("one topic twice", ALL, |r, n| only(r, &[&n.of("t"), &n.of("t")])),
    ("unknown beside known", ALL, |r, n| only(r, &[&n.of("none"), &n.of("t")])),
    ("limit 0", ALL, |r, _| r.response_partition_limit = 0),
    ("limit -1", ALL, |r, _| r.response_partition_limit = -1),
    ("limit 1", ALL, |r, _| r.response_partition_limit = 1),
    ("limit 2^31-1", ALL, |r, _| r.response_partition_limit = i32::MAX),
    ("limit 2, two topics", ALL, |r, n| {
        only(r, &[&n.of("cut"), &n.of("p"), &n.of("t")]);
        r.response_partition_limit = 2;
    }),
    ("cursor at partition 1", ALL, |r, n| from(r, &n.of("t"), 1)),
    ("cursor at partition 7", ALL, |r, n| from(r, &n.of("t"), 7)),
    ("cursor at partition -1", ALL, |r, n| from(r, &n.of("t"), -1)),
    ("cursor at another topic", ALL, |r, n| from(r, &n.of("p"), 0)),
    ("cursor at an unknown topic", ALL, |r, n| from(r, &n.of("none"), 0)),
    ("cursor beyond all topics", ALL, |r, n| from(r, &n.of("zzz"), 0)),
    ("cursor at topic a b", ALL, |r, _| from(r, "a b", 0)),
];

fn producers(_: i16, names: &Names) -> DescribeProducersRequest {
    let topic = Producers::default().with_name(name(&names.of("t"))).with_partition_indexes(vec![0]);
    DescribeProducersRequest::default().with_topics(vec![topic])
}

fn active(answer: &DescribeProducersResponse, names: &Names) -> String {
    let mut all = Vec::new();
    for topic in &answer.topics {
        for p in &topic.partitions {
            let of = names.plain(&topic.name);
            all.push(format!(
                "{of:?}-{} {} producers {} {}",
                p.partition_index,
                p.error_code,
                p.active_producers.len(),
                words(&p.error_message)
            ));
        }
    }
    all.join(", ")
}

fn of(r: &mut DescribeProducersRequest, named: &str, partitions: &[i32]) {
    let topic = Producers::default().with_name(name(named)).with_partition_indexes(partitions.to_vec());
    r.topics = vec![topic];
}

const PRODUCERS: &[Case<DescribeProducersRequest>] = &[
    ("good", ALL, |_, _| {}),
    ("no topics", ALL, |r, _| r.topics.clear()),
    ("no partitions", ALL, |r, n| of(r, &n.of("t"), &[])),
    ("unknown topic", ALL, |r, n| of(r, &n.of("none"), &[0])),
    ("topic a b", ALL, |r, _| of(r, "a b", &[0])),
    ("topic of no letters", ALL, |r, _| of(r, "", &[0])),
    ("topic of 250 letters", ALL, |r, _| of(r, &"x".repeat(250), &[0])),
    ("partition 7", ALL, |r, n| of(r, &n.of("t"), &[7])),
    ("partition -1", ALL, |r, n| of(r, &n.of("t"), &[-1])),
    ("one partition twice", ALL, |r, n| of(r, &n.of("t"), &[0, 0])),
];

fn apis(version: i16, _: &Names) -> ApiVersionsRequest {
    let request = ApiVersionsRequest::default();
    if version < 3 {
        return request;
    }
    request.with_client_software_name(text("a-name")).with_client_software_version(text("1.2"))
}

fn spoken(answer: &ApiVersionsResponse, _: &Names) -> String {
    format!("{} {}", answer.error_code, if answer.api_keys.is_empty() { "none" } else { "some" })
}

const APIS: &[Case<ApiVersionsRequest>] = &[
    ("good", ALL, |_, _| {}),
    ("software of no letters", 3..=99, |r, _| r.client_software_name = text("")),
    ("software a b", 3..=99, |r, _| r.client_software_name = text("a b")),
    ("software -a", 3..=99, |r, _| r.client_software_name = text("-a")),
    ("software version of no letters", 3..=99, |r, _| r.client_software_version = text("")),
    ("software version 1;2", 3..=99, |r, _| r.client_software_version = text("1;2")),
    ("software version 1.", 3..=99, |r, _| r.client_software_version = text("1.")),
];

impl Asked {
    pub(super) fn describes(&mut self) -> Result<()> {
        self.each(cluster, CLUSTER, told)?;
        self.each(quorum, QUORUM, quorate)?;
        self.each(dirs, DIRS, sized)?;
        self.each(partitions, PARTITIONS, parted)?;
        self.each(producers, PRODUCERS, active)?;
        self.each(apis, APIS, spoken)
    }
}
