//! CreatePartitions: counts that are no increase, assignments that do not fit.

use anyhow::Result;
use callboard_cluster_tests::process::wire::name;
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::{ALL, Asked, Case, Names, words};

fn grow(_: i16, names: &Names) -> CreatePartitionsRequest {
    let topic =
        CreatePartitionsTopic::default().with_name(name(&names.of("t"))).with_count(3).with_assignments(None);
    CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000)
}

fn grown(answer: &CreatePartitionsResponse, names: &Names) -> String {
    let mut all: Vec<_> = answer
        .results
        .iter()
        .map(|t| format!("{:?} {} {}", names.plain(&t.name), t.error_code, words(&t.error_message)))
        .collect();
    all.sort_unstable();
    all.join(", ")
}

fn topic(r: &mut CreatePartitionsRequest) -> &mut CreatePartitionsTopic {
    &mut r.topics[0]
}

fn assign(r: &mut CreatePartitionsRequest, all: &[&[i32]]) {
    let one = |brokers: &&[i32]| {
        CreatePartitionsAssignment::default().with_broker_ids(brokers.iter().map(|id| (*id).into()).collect())
    };
    topic(r).assignments = Some(all.iter().map(one).collect());
}

const CASES: &[Case<CreatePartitionsRequest>] = &[
    ("only checked", ALL, |r, _| r.validate_only = true),
    ("only checked, timeout 0", ALL, |r, _| (r.validate_only, r.timeout_ms) = (true, 0)),
    ("only checked, timeout -1", ALL, |r, _| (r.validate_only, r.timeout_ms) = (true, -1)),
    ("no topics", ALL, |r, _| r.topics.clear()),
    ("unknown topic", ALL, |r, n| topic(r).name = name(&n.of("none"))),
    ("topic a b", ALL, |r, _| topic(r).name = name("a b")),
    ("topic of no letters", ALL, |r, _| topic(r).name = name("")),
    ("topic of 250 letters", ALL, |r, _| topic(r).name = name(&"x".repeat(250))),
    ("one topic twice", ALL, |r, _| {
        let again = topic(r).clone();
        r.topics.push(again);
    }),
    ("one wrong, one only checked", ALL, |r, n| {
        r.validate_only = true;
        let wrong = topic(r).clone().with_name(name(&n.of("none")));
        r.topics.push(wrong);
    }),
    ("as many as there are", ALL, |r, _| topic(r).count = 2),
    ("fewer", ALL, |r, _| topic(r).count = 1),
    ("count 0", ALL, |r, _| topic(r).count = 0),
    ("count -1", ALL, |r, _| topic(r).count = -1),
    ("count 2^31-1", ALL, |r, _| topic(r).count = i32::MAX),
    ("assigned, only checked", ALL, |r, _| {
        r.validate_only = true;
        assign(r, &[&[1]]);
    }),
    ("assigned, none", ALL, |r, _| assign(r, &[])),
    ("assigned, too many", ALL, |r, _| assign(r, &[&[1], &[1]])),
    ("assigned to nobody", ALL, |r, _| assign(r, &[&[]])),
    ("assigned to broker 99", ALL, |r, _| assign(r, &[&[99]])),
    ("assigned to one broker twice", ALL, |r, _| assign(r, &[&[1, 1]])),
    ("assigned to two", ALL, |r, _| assign(r, &[&[1, 2]])),
];

impl Asked {
    pub(super) fn partitions(&mut self) -> Result<()> {
        self.each(grow, CASES, grown)
    }
}
