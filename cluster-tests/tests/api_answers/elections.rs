//! ElectLeaders: elections of partitions that are led, of what is not there, and of types that nobody knows.

use anyhow::Result;
use callboard_cluster_tests::process::wire::name;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

use super::{ALL, Asked, Case, Names, words};

fn elect(_: i16, names: &Names) -> ElectLeadersRequest {
    let topic = TopicPartitions::default().with_topic(name(&names.of("t"))).with_partitions(vec![0]);
    ElectLeadersRequest::default().with_topic_partitions(Some(vec![topic])).with_timeout_ms(30_000)
}

fn elected(answer: &ElectLeadersResponse, names: &Names) -> String {
    let partition = |p: &kafka_protocol::messages::elect_leaders_response::PartitionResult| {
        format!("{} {} {}", p.partition_id, p.error_code, words(&p.error_message))
    };
    // Topics of other calls are told too, with nothing to say of them.
    let topics = answer.replica_election_results.iter().filter(|topic| !topic.partition_result.is_empty());
    let mut all: Vec<String> = topics
        .map(|topic| {
            let partitions: Vec<String> = topic.partition_result.iter().map(partition).collect();
            format!("{:?} {}", names.plain(&topic.topic), partitions.join("; "))
        })
        .collect();
    all.sort_unstable();
    let empty = answer.replica_election_results.iter().filter(|topic| topic.partition_result.is_empty());
    let empty = if empty.count() > 0 { ", topics with nothing" } else { "" };
    format!("{} {}{empty}", answer.error_code, all.join(", "))
}

fn topic(r: &mut ElectLeadersRequest) -> &mut TopicPartitions {
    let topics = r.topic_partitions.get_or_insert_default();
    &mut topics[0]
}

const CASES: &[Case<ElectLeadersRequest>] = &[
    ("a leader that is preferred", ALL, |_, _| ()),
    ("unclean of a led partition", 1..=i16::MAX, |r, _| r.election_type = 1),
    ("election type 2", 1..=i16::MAX, |r, _| r.election_type = 2),
    ("election type -1", 1..=i16::MAX, |r, _| r.election_type = -1),
    ("election type 2 of all", 1..=i16::MAX, |r, _| {
        (r.election_type, r.topic_partitions) = (2, None);
    }),
    ("all partitions", ALL, |r, _| r.topic_partitions = None),
    ("no topics", ALL, |r, _| r.topic_partitions = Some(Vec::new())),
    ("no topics, election type 2", 1..=i16::MAX, |r, _| {
        (r.election_type, r.topic_partitions) = (2, Some(Vec::new()));
    }),
    ("no partitions", ALL, |r, _| topic(r).partitions.clear()),
    ("unknown topic", ALL, |r, n| topic(r).topic = name(&n.of("none"))),
    ("topic of no letters", ALL, |r, _| topic(r).topic = name("")),
    ("topic a b", ALL, |r, _| topic(r).topic = name("a b")),
    ("unknown partition", ALL, |r, _| topic(r).partitions = vec![7]),
    ("partition -1", ALL, |r, _| topic(r).partitions = vec![-1]),
    ("one partition twice", ALL, |r, _| topic(r).partitions = vec![0, 0]),
    ("one topic twice", ALL, |r, _| {
        let again = topic(r).clone();
        r.topic_partitions.get_or_insert_default().push(again);
    }),
    ("one wrong, one right", ALL, |r, n| {
        topic(r).partitions = vec![9, 1];
        let wrong = topic(r).clone().with_topic(name(&n.of("none")));
        r.topic_partitions.get_or_insert_default().push(wrong);
    }),
];

impl Asked {
    pub(super) fn elections(&mut self) -> Result<()> {
        self.each(elect, CASES, elected)
    }
}
