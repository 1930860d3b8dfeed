//! ListOffsets, OffsetForLeaderEpoch, DeleteRecords: timestamps, epochs and offsets that are not there.

use anyhow::Result;
use callboard_cluster_tests::process::wire::name;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};

use super::{ALL, Asked, Case, Names};

fn list(_: i16, names: &Names) -> ListOffsetsRequest {
    let asked = ListOffsetsPartition::default()
        .with_partition_index(0)
        .with_current_leader_epoch(-1)
        .with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(name(&names.of("t"))).with_partitions(vec![asked]);
    ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
}

fn listed(answer: &ListOffsetsResponse, names: &Names) -> String {
    let mut all = Vec::new();
    for topic in &answer.topics {
        for p in &topic.partitions {
            let time = if p.timestamp > 0 {
                format!("T+{}", p.timestamp - names.time)
            } else {
                p.timestamp.to_string()
            };
            all.push(format!(
                "{}-{} {} at {time} offset {} epoch {}",
                topic.name.0, p.partition_index, p.error_code, p.offset, p.leader_epoch
            ));
        }
    }
    all.join(", ")
}

fn at(r: &mut ListOffsetsRequest) -> &mut ListOffsetsPartition {
    &mut r.topics[0].partitions[0]
}

const LISTS: &[Case<ListOffsetsRequest>] = &[
    ("unknown topic", ALL, |r, n| r.topics[0].name = name(&n.of("none"))),
    ("topic a b", ALL, |r, _| r.topics[0].name = name("a b")),
    ("topic of no letters", ALL, |r, _| r.topics[0].name = name("")),
    ("partition 7", ALL, |r, _| at(r).partition_index = 7),
    ("partition -1", ALL, |r, _| at(r).partition_index = -1),
    ("no topics", ALL, |r, _| r.topics.clear()),
    ("one partition twice", ALL, |r, _| {
        let again = at(r).clone().with_timestamp(-2);
        r.topics[0].partitions.push(again);
    }),
    ("one topic twice", ALL, |r, _| {
        let again = r.topics[0].clone();
        r.topics.push(again);
    }),
    ("time -1", ALL, |_, _| {}),
    ("time -2", ALL, |r, _| at(r).timestamp = -2),
    ("time -3", ALL, |r, _| at(r).timestamp = -3),
    ("time -4", ALL, |r, _| at(r).timestamp = -4),
    ("time -5", ALL, |r, _| at(r).timestamp = -5),
    ("time -6", ALL, |r, _| at(r).timestamp = -6),
    ("time -7", ALL, |r, _| at(r).timestamp = -7),
    ("time -2^63", ALL, |r, _| at(r).timestamp = i64::MIN),
    ("time 0", ALL, |r, _| at(r).timestamp = 0),
    ("time of the second", ALL, |r, n| at(r).timestamp = n.time + 1),
    ("time 2^63-1", ALL, |r, _| at(r).timestamp = i64::MAX),
    ("time 0, empty partition", ALL, |r, _| (at(r).partition_index, at(r).timestamp) = (1, 0)),
    ("time -3, empty partition", ALL, |r, _| (at(r).partition_index, at(r).timestamp) = (1, -3)),
    ("isolation 7", 2..=99, |r, _| r.isolation_level = 7),
    ("isolation 1", 2..=99, |r, _| r.isolation_level = 1),
    ("leader epoch of now", 4..=99, |r, _| at(r).current_leader_epoch = 0),
    ("leader epoch 9", 4..=99, |r, _| at(r).current_leader_epoch = 9),
    ("leader epoch -2", 4..=99, |r, _| at(r).current_leader_epoch = -2),
    ("leader epoch 9, time -9", 4..=99, |r, _| (at(r).current_leader_epoch, at(r).timestamp) = (9, -9)),
    ("replica -2", ALL, |r, _| r.replica_id = (-2).into()),
    ("timeout -1", 10..=99, |r, _| r.timeout_ms = -1),
];

fn epoch(_: i16, names: &Names) -> OffsetForLeaderEpochRequest {
    let asked = OffsetForLeaderPartition::default()
        .with_partition(0)
        .with_current_leader_epoch(-1)
        .with_leader_epoch(0);
    let topic = OffsetForLeaderTopic::default().with_topic(name(&names.of("t"))).with_partitions(vec![asked]);
    OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
}

fn ended(answer: &OffsetForLeaderEpochResponse, _: &Names) -> String {
    let mut all = Vec::new();
    for topic in &answer.topics {
        for p in &topic.partitions {
            let of = (&topic.topic.0, p.partition);
            all.push(format!(
                "{}-{} {} epoch {} ends at {}",
                of.0, of.1, p.error_code, p.leader_epoch, p.end_offset
            ));
        }
    }
    all.join(", ")
}

fn of(r: &mut OffsetForLeaderEpochRequest) -> &mut OffsetForLeaderPartition {
    &mut r.topics[0].partitions[0]
}

const EPOCHS: &[Case<OffsetForLeaderEpochRequest>] = &[
    ("unknown topic", ALL, |r, n| r.topics[0].topic = name(&n.of("none"))),
    ("topic a b", ALL, |r, _| r.topics[0].topic = name("a b")),
    ("partition 7", ALL, |r, _| of(r).partition = 7),
    ("partition -1", ALL, |r, _| of(r).partition = -1),
    ("no topics", ALL, |r, _| r.topics.clear()),
    ("one partition twice", ALL, |r, _| {
        let again = of(r).clone();
        r.topics[0].partitions.push(again);
    }),
    ("epoch 0", ALL, |_, _| {}),
    ("epoch 9", ALL, |r, _| of(r).leader_epoch = 9),
    ("epoch -1", ALL, |r, _| of(r).leader_epoch = -1),
    ("epoch -2", ALL, |r, _| of(r).leader_epoch = -2),
    ("epoch 2^31-1", ALL, |r, _| of(r).leader_epoch = i32::MAX),
    ("epoch 0, empty partition", ALL, |r, _| of(r).partition = 1),
    ("epoch 9, empty partition", ALL, |r, _| (of(r).partition, of(r).leader_epoch) = (1, 9)),
    ("leader epoch of now", ALL, |r, _| of(r).current_leader_epoch = 0),
    ("leader epoch 9", ALL, |r, _| of(r).current_leader_epoch = 9),
    ("leader epoch -2", ALL, |r, _| of(r).current_leader_epoch = -2),
    ("replica -2", 3..=99, |r, _| r.replica_id = (-2).into()),
];

fn delete(_: i16, names: &Names) -> DeleteRecordsRequest {
    let asked = DeleteRecordsPartition::default().with_partition_index(0).with_offset(1);
    let topic = DeleteRecordsTopic::default().with_name(name(&names.of("cut"))).with_partitions(vec![asked]);
    DeleteRecordsRequest::default().with_timeout_ms(30_000).with_topics(vec![topic])
}

fn deleted(answer: &DeleteRecordsResponse, _: &Names) -> String {
    let mut all = Vec::new();
    for topic in &answer.topics {
        for p in &topic.partitions {
            all.push(format!(
                "{}-{} {} low {}",
                topic.name.0, p.partition_index, p.error_code, p.low_watermark
            ));
        }
    }
    all.sort_unstable();
    all.join(", ")
}

fn until(r: &mut DeleteRecordsRequest) -> &mut DeleteRecordsPartition {
    &mut r.topics[0].partitions[0]
}

const DELETIONS: &[Case<DeleteRecordsRequest>] = &[
    ("unknown topic", ALL, |r, n| r.topics[0].name = name(&n.of("none"))),
    ("topic a b", ALL, |r, _| r.topics[0].name = name("a b")),
    ("topic of no letters", ALL, |r, _| r.topics[0].name = name("")),
    ("internal topic", ALL, |r, _| r.topics[0].name = name("__consumer_offsets")),
    ("partition 7", ALL, |r, _| until(r).partition_index = 7),
    ("partition -1", ALL, |r, _| until(r).partition_index = -1),
    ("no topics", ALL, |r, _| r.topics.clear()),
    ("beyond the end", ALL, |r, _| until(r).offset = 4),
    ("offset 2^63-1", ALL, |r, _| until(r).offset = i64::MAX),
    ("offset -2", ALL, |r, _| until(r).offset = -2),
    ("offset -2^63", ALL, |r, _| until(r).offset = i64::MIN),
    ("one wrong, one right", ALL, |r, _| {
        let wrong = DeleteRecordsPartition::default().with_partition_index(7).with_offset(1);
        r.topics[0].partitions.push(wrong);
    }),
    ("below the start", ALL, |r, _| until(r).offset = 0),
    ("timeout 0, offset of the start", ALL, |r, _| r.timeout_ms = 0),
    ("timeout -1, offset of the start", ALL, |r, _| r.timeout_ms = -1),
];

/// The last: the log is empty then.
const LAST: &[Case<DeleteRecordsRequest>] = &[("offset -1, the end", ALL, |r, _| until(r).offset = -1)];

impl Asked {
    pub(super) fn offsets(&mut self) -> Result<()> {
        self.each(list, LISTS, listed)?;
        self.each(epoch, EPOCHS, ended)?;
        self.each(delete, DELETIONS, deleted)?;
        self.each(delete, LAST, deleted)
    }
}
