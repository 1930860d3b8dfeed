//! The log of `__consumer_offsets`: it is written anew before it grows without bound, and what it says outlives a
//! kill -9; offsets of a topic that was deleted go with it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::process::wire::{Wire, name};
use callboard_cluster_tests::process::{Broker, HANG, Options};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{
    DeleteTopicsRequest, FindCoordinatorRequest, OffsetCommitRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::StrBytes;

const TOPIC: &str = "read";
const OFFSETS: &str = "__consumer_offsets";
const GROUPS: usize = 5;
const COMMITS: i64 = 3_000;

fn group(n: usize) -> StrBytes {
    StrBytes::from_string(format!("group-{n}"))
}

fn start(partitions: u32) -> Result<(Broker, tempfile::NamedTempFile)> {
    let config = tempfile::NamedTempFile::new()?;
    let text = format!("offsets_topic_num_partitions = {partitions}\noffsets_rewrite_bytes = 65536\n");
    std::fs::write(config.path(), text)?;
    let broker = Broker::start(Options::default().with_env("CALLBOARD_CONFIG", config.path().display()))?;
    let mut wire = Wire::connect(broker.addr())?;
    wire.create_topic(TOPIC, 3)?;
    let found = wire.call(3, &FindCoordinatorRequest::default().with_key(group(0)))?;
    ensure!(found.error_code == 0, "FindCoordinator: error {}", found.error_code);
    Ok((broker, config))
}

fn commit_of(n: usize, partition: i32, offset: i64) -> OffsetCommitRequest {
    let asked = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(StrBytes::from_string(format!("at {offset}"))));
    let topic = OffsetCommitRequestTopic::default().with_name(name(TOPIC)).with_partitions(vec![asked]);
    OffsetCommitRequest::default()
        .with_group_id(group(n).into())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

/// The committed offset and its words; waits while the coordinator reads its log.
fn committed(wire: &mut Wire, n: usize, partition: i32) -> Result<(i64, String)> {
    let topic =
        OffsetFetchRequestTopic::default().with_name(name(TOPIC)).with_partition_indexes(vec![partition]);
    let request = OffsetFetchRequest::default().with_group_id(group(n).into()).with_topics(Some(vec![topic]));
    let begun = Instant::now();
    loop {
        let answer = wire.call(7, &request)?;
        if answer.error_code == 0 {
            let found = &answer.topics[0].partitions[0];
            let words = found.metadata.as_ref().map(|words| words.to_string()).unwrap_or_default();
            return Ok((found.committed_offset, words));
        }
        ensure!(matches!(answer.error_code, 14..=16), "OffsetFetch: error {}", answer.error_code);
        ensure!(begun.elapsed() < HANG, "the coordinator does not come back");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_live_is_written_anew_and_the_rest_let_go() -> Result<()> {
    let (mut broker, _config) = start(1)?;
    let mut wire = Wire::connect(broker.addr())?;
    // One that is committed once and has to be carried along by every rewrite.
    ensure!(wire.call(5, &commit_of(0, 2, 77))?.topics[0].partitions[0].error_code == 0);
    for offset in 1..=COMMITS {
        wire.send(5, &commit_of(offset as usize % GROUPS, 0, offset))?;
        if offset % 30 == 0 {
            for _ in 0..30 {
                let answer = wire.receive::<OffsetCommitRequest>(5)?;
                let error = answer.topics[0].partitions[0].error_code;
                ensure!(error == 0, "OffsetCommit: error {error}");
            }
        }
    }
    let begun = Instant::now();
    let start = loop {
        let start = wire.list_offset(OFFSETS, 0, -2)?;
        if start > COMMITS / 2 {
            break start;
        }
        ensure!(begun.elapsed() < HANG, "the log of {COMMITS} commits still begins at {start}");
        std::thread::sleep(Duration::from_millis(5));
    };
    broker.kill9()?;
    broker.restart()?;
    let mut wire = Wire::connect(broker.addr())?;
    ensure!(wire.list_offset(OFFSETS, 0, -2)? >= start, "the log start went back");
    ensure!(committed(&mut wire, 0, 2)? == (77, "at 77".into()), "an old offset was not carried along");
    for n in 0..GROUPS {
        let last = (COMMITS - GROUPS as i64 + 1..=COMMITS).find(|o| *o as usize % GROUPS == n);
        let last = last.context("each group has a last commit")?;
        let found = committed(&mut wire, n, 0)?;
        ensure!(found == (last, format!("at {last}")), "group {n}: {found:?} instead of {last}");
    }
    broker.stop()
}

#[test]
fn offsets_go_with_their_topic() -> Result<()> {
    let (mut broker, _config) = start(3)?;
    let mut wire = Wire::connect(broker.addr())?;
    for n in 0..GROUPS {
        ensure!(wire.call(5, &commit_of(n, 1, 9))?.topics[0].partitions[0].error_code == 0);
        ensure!(committed(&mut wire, n, 1)?.0 == 9);
    }
    let state = DeleteTopicState::default().with_name(Some(name(TOPIC)));
    let request = DeleteTopicsRequest::default().with_topics(vec![state]).with_timeout_ms(30_000);
    ensure!(wire.call(6, &request)?.responses[0].error_code == 0);
    let begun = Instant::now();
    while (0..GROUPS)
        .map(|n| committed(&mut wire, n, 1))
        .collect::<Result<Vec<_>>>()?
        .iter()
        .any(|c| c.0 != -1)
    {
        ensure!(begun.elapsed() < HANG, "offsets of a deleted topic stay");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Made again, it has none, after a restart neither.
    wire.create_topic(TOPIC, 3)?;
    broker.kill9()?;
    broker.restart()?;
    let mut wire = Wire::connect(broker.addr())?;
    for n in 0..GROUPS {
        ensure!(committed(&mut wire, n, 1)?.0 == -1, "a new topic has offsets of an old one");
    }
    broker.stop()
}
