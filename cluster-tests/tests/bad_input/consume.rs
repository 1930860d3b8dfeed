//! Fetch and ListOffsets in every version: offsets outside the log, epochs of another time, topics nobody made. And the
//! other requests whose refusal is an error code.

use anyhow::{Context, Result, bail};
use callboard_cluster_tests::process::Options;
use callboard_cluster_tests::process::wire::{Wire, name};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::site::{Site, batch};

const TOPIC: &str = "library";
const MISSING: (i16, &str) = (3, "UnknownTopicOrPartition");
const OUTSIDE: (i16, &str) = (1, "OffsetOutOfRange");
const FENCED: (i16, &str) = (74, "FencedLeaderEpoch");
const UNKNOWN: (i16, &str) = (75, "UnknownLeaderEpoch");

/// A topic with three records, whose leader epoch is at least 1.
fn site() -> Result<(Site, Uuid)> {
    let mut site = Site::start(Options::default())?;
    let id = site.wire.create_topic(TOPIC, 1)?;
    for text in ["a", "b", "c"] {
        site.wire.send_batch(TOPIC, 0, -1, batch(text))?;
        site.wire.receive_batch()?;
    }
    site.restart()?;
    Ok((site, id))
}

/// What one partition is asked for.
#[derive(Clone, Copy)]
struct Asked {
    topic: &'static str,
    id: Uuid,
    partition: i32,
    epoch: i32,
    /// An offset, or a timestamp.
    at: i64,
    code: (i16, &'static str),
}

fn fetch(wire: &mut Wire, version: i16, asked: &Asked) -> Result<i16> {
    let partition = FetchPartition::default()
        .with_partition(asked.partition)
        .with_current_leader_epoch(if version < 9 { -1 } else { asked.epoch })
        .with_fetch_offset(asked.at)
        .with_last_fetched_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_partitions(vec![partition]);
    let topic =
        if version < 13 { topic.with_topic(name(asked.topic)) } else { topic.with_topic_id(asked.id) };
    // An error is said at once, however long the client would wait.
    let request = FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(100_000)
        .with_min_bytes(1 << 20)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let answer = wire.call(version, &request)?;
    let topic = answer.responses.first().context("no topic in the answer")?;
    let said = topic.partitions.first().context("no partition in the answer")?;
    if answer.error_code != 0 || said.records.as_ref().is_some_and(|bytes| !bytes.is_empty()) {
        bail!("error {} and {:?}", answer.error_code, said.records);
    }
    Ok(said.error_code)
}

fn list_offsets(wire: &mut Wire, version: i16, asked: &Asked) -> Result<i16> {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(asked.partition)
        .with_current_leader_epoch(if version < 4 { -1 } else { asked.epoch })
        .with_timestamp(asked.at);
    let topic = ListOffsetsTopic::default().with_name(name(asked.topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    let answer = wire.call(version, &request)?;
    let topic = answer.topics.first().context("no topic in the answer")?;
    let said = topic.partitions.first().context("no partition in the answer")?;
    if said.error_code != 0 && (said.offset, said.timestamp) != (-1, -1) {
        bail!("an offset beside error {}: {said:?}", said.error_code);
    }
    Ok(said.error_code)
}

/// Runs cases over all versions; the log line is proved in one version of either encoding.
fn run(
    site: &mut Site,
    api: &str,
    logged: [i16; 2],
    version: i16,
    cases: &[Asked],
    ask: fn(&mut Wire, i16, &Asked) -> Result<i16>,
) -> Result<()> {
    let mut wire = Wire::connect(site.addr())?;
    let client = format!("client=\"{} callboard-tests\"", wire.local()?);
    let api = format!("api=\"{api}\"");
    for asked in cases {
        let what = format!("{api} v{version}: {}-{} at {}", asked.topic, asked.partition, asked.at);
        let mut once = |_: &mut Site| match ask(&mut wire, version, asked)? {
            code if code == asked.code.0 => Ok(()),
            code => bail!("error {code} instead of {:?}", asked.code),
        };
        if logged.contains(&version) {
            let code = format!("code={} ", asked.code.1);
            let words = ["refused: ", &api, &code, &client, "what=\"", "suppressed="];
            site.until_logged(&words, once)
        } else {
            once(site)
        }
        .with_context(|| what.clone())?;
        site.serves().with_context(|| format!("after {what}"))?;
    }
    Ok(())
}

#[test]
fn a_fetch_that_cannot_be_served_is_told_why_at_once() -> Result<()> {
    let (mut site, id) = site()?;
    let base = Asked { topic: TOPIC, id, partition: 0, epoch: -1, at: 0, code: (0, "None") };
    for version in 4..=18 {
        let mut cases: Vec<Asked> =
            [4, -1, -5, i64::MAX, i64::MIN].map(|at| Asked { at, code: OUTSIDE, ..base }).to_vec();
        cases.extend([1, -1, i32::MAX].map(|partition| Asked { partition, code: MISSING, ..base }));
        if version >= 9 {
            cases.push(Asked { epoch: 0, code: FENCED, ..base });
            cases.push(Asked { epoch: 99, code: UNKNOWN, ..base });
        }
        if version < 13 {
            cases.push(Asked { topic: "nowhere", code: MISSING, ..base });
        } else {
            let code = (100, "UnknownTopicId");
            cases.extend([Uuid::from_u128(7), Uuid::nil()].map(|id| Asked { id, code, ..base }));
        }
        run(&mut site, "Fetch", [11, 13], version, &cases, fetch)?;
    }
    if site.wire.list_offset("nowhere", 0, -1).is_ok() || site.wire.list_offset(TOPIC, 0, -1)? != 3 {
        bail!("fetching has changed something");
    }
    site.end()
}

#[test]
fn a_look_up_that_cannot_be_answered_is_told_why() -> Result<()> {
    let (mut site, id) = site()?;
    let base = Asked { topic: TOPIC, id, partition: 0, epoch: -1, at: -1, code: (0, "None") };
    let old = (35, "UnsupportedVersion");
    for version in 1..=10 {
        let mut unknown = vec![-7, -99, i64::MIN];
        // Special timestamps came one by one: maximum, earliest local, latest tiered, earliest pending upload.
        unknown.extend(
            [(-3, 7), (-4, 8), (-5, 9), (-6, 11)].iter().filter(|(_, from)| version < *from).map(|s| s.0),
        );
        let mut cases: Vec<Asked> = unknown.into_iter().map(|at| Asked { at, code: old, ..base }).collect();
        cases.extend([1, -1].map(|partition| Asked { partition, code: MISSING, ..base }));
        cases.push(Asked { topic: "nowhere", code: MISSING, ..base });
        if version >= 4 {
            cases.push(Asked { epoch: 0, code: FENCED, ..base });
            cases.push(Asked { epoch: 99, code: UNKNOWN, ..base });
        }
        run(&mut site, "ListOffsets", [5, 6], version, &cases, list_offsets)?;
    }
    site.end()
}

#[test]
fn a_fetch_session_that_is_not_kept_is_not_found() -> Result<()> {
    let (mut site, _) = site()?;
    for version in 7..=18 {
        let request = FetchRequest::default().with_session_id(4_711).with_session_epoch(3);
        let answer = site.wire.call(version, &request)?;
        if answer.error_code != 70 || !answer.responses.is_empty() {
            bail!("Fetch v{version} of an unknown session: error {}", answer.error_code);
        }
    }
    site.end()
}

#[test]
fn topics_that_cannot_be_made_are_refused_one_by_one() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    let topic = |text: &str, partitions, factor| {
        CreatableTopic::default()
            .with_name(name(text))
            .with_num_partitions(partitions)
            .with_replication_factor(factor)
    };
    let cases = [
        ("a b", 1, 1, 17),
        ("..", 1, 1, 17),
        ("zero", 0, 1, 37),
        ("absurd", i32::MAX, 1, 44),
        ("minus", -2, 1, 37),
        ("copies", 1, 3, 38),
        ("none", 1, 0, 38),
        ("good", 1, 1, 0),
    ];
    let before = site.broker.resident()?;
    for version in 2..=7 {
        for (text, partitions, factor, code) in cases {
            let asked = CreateTopicsRequest::default().with_timeout_ms(30_000);
            let asked = asked.with_topics(vec![topic(text, partitions, factor)]).with_validate_only(true);
            let said = site.wire.call(version, &asked)?.topics.first().map(|t| t.error_code);
            if said != Some(code) {
                bail!("CreateTopics v{version} {text}: {said:?} instead of {code}");
            }
        }
        site.serves()?;
    }
    if site.broker.resident()?.saturating_sub(before) > 16 << 20 {
        bail!("topics that were never made took memory");
    }
    site.end()
}

#[test]
fn a_bad_name_makes_no_topic_and_a_bad_client_name_keeps_its_connection() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    for version in 0..=13 {
        for text in ["a b", "..", &"x".repeat(250)] {
            let asked = MetadataRequestTopic::default().with_name(Some(name(text)));
            let request = MetadataRequest::default()
                .with_topics(Some(vec![asked]))
                .with_allow_auto_topic_creation(true);
            let said = site.wire.call(version, &request)?.topics.first().map(|topic| topic.error_code);
            if said != Some(17) {
                bail!("Metadata v{version} for {text:?}: {said:?}");
            }
        }
    }
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("no spaces please"))
        .with_client_software_version(StrBytes::from_static_str("1"));
    for _ in 0..2 {
        // Twice on one connection: it stays open.
        let said = site.wire.call(3, &request)?.error_code;
        if said != 42 {
            bail!("a bad client name: error {said}");
        }
    }
    site.end()
}
