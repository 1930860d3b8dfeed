//! After a load, the metrics say what happened; whatever is shown is declared in a `metrics.rs`; promtool agrees.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use callboard_cluster_tests::process::wire::{self, Wire, code, name};
use callboard_cluster_tests::process::{Broker, HANG, Options, find_program, need, run, scratch};
use callboard_core::records::{BatchBuilder, NewRecord};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteTopicsRequest, FindCoordinatorRequest, GroupId, OffsetCommitRequest,
};
use kafka_protocol::protocol::{Request, StrBytes};

use super::web::{Scraped, scrape};

const BATCHES: usize = 40;
const RECORDS: usize = 3;

fn batch() -> Bytes {
    let record = |n| NewRecord { timestamp: n, value: Some(b"value".to_vec()), ..NewRecord::default() };
    let records = (0..RECORDS as i64).map(record);
    Bytes::from(records.fold(BatchBuilder::new(0), BatchBuilder::record).build().unwrap())
}

/// A broker that shows each partition, and a load on it: [`BATCHES`] batches to each of two partitions, read again; one
/// request that is refused; one wait for records that never come.
fn loaded() -> Result<(Broker, Wire)> {
    let options = Options::default().with_env("CALLBOARD_CONFIG", "each.toml");
    let mut broker = Broker::new(options)?;
    std::fs::write(broker.dir().join("each.toml"), "metrics_partitions = true\n")?;
    broker.restart()?;
    let mut wire = Wire::connect(broker.addr())?;
    wire.create_topic("counted", 2)?;
    for _ in 0..BATCHES {
        for partition in 0..2 {
            wire.send_batch("counted", partition, -1, batch())?;
        }
        for _ in 0..2 {
            assert_eq!(wire.receive_batch()?.0, code::NONE);
        }
    }
    assert!(!wire.fetch("counted", 0, 0, 0)?.records.is_empty());
    let end = (BATCHES * RECORDS) as i64;
    assert!(wire.fetch("counted", 1, end, 300)?.records.is_empty());
    assert!(wire.fetch("counted", 1, end + 1, 0).is_err(), "out of range");
    Ok((broker, wire))
}

#[test]
fn after_a_load_the_counters_say_what_happened() -> Result<()> {
    let (mut broker, mut wire) = loaded()?;
    let http = broker.http()?;
    let now = scrape(http)?;
    let (batches, bytes) = (2.0 * BATCHES as f64, (2 * BATCHES * batch().len()) as f64);
    now.is("callboard_kafka_requests_total{api=\"Produce\"}", batches)?;
    now.is("callboard_kafka_request_seconds_count{api=\"Produce\"}", batches)?;
    for phase in ["queue", "local", "fsync", "response"] {
        let series =
            format!("callboard_kafka_request_phase_seconds_count{{api=\"Produce\",phase=\"{phase}\"}}");
        now.is(&series, batches)?;
    }
    now.is("callboard_kafka_requests_total{api=\"Fetch\"}", 3.0)?;
    let waited = now.value("callboard_kafka_request_phase_seconds_sum{api=\"Fetch\",phase=\"wait\"}")?;
    assert!(waited >= 0.25, "the wait for records that did not come: {waited} s");
    let spent = |what: &str| now.value(&format!("callboard_kafka_request_{what}"));
    let parts: f64 = ["queue", "local", "fsync", "response"]
        .iter()
        .map(|phase| spent(&format!("phase_seconds_sum{{api=\"Produce\",phase=\"{phase}\"}}")))
        .sum::<Result<f64>>()?;
    let whole = spent("seconds_sum{api=\"Produce\"}")?;
    assert!((parts - whole).abs() < 0.25 * whole + 0.005, "phases {parts} s, requests {whole} s");
    assert!(now.value("callboard_kafka_received_bytes_total{api=\"Produce\"}")? > bytes);
    assert!(now.value("callboard_kafka_sent_bytes_total{api=\"Fetch\"}")? > bytes / 2.0);
    now.is("callboard_kafka_refused_total{api=\"Fetch\",code=\"1\"}", 1.0)?;
    now.is("callboard_kafka_connections", 1.0)?;
    now.is("callboard_kafka_connections_opened_total", 1.0)?;
    now.is("callboard_kafka_requests_in_flight", 0.0)?;
    now.is("callboard_kafka_pool_used_bytes{pool=\"produce\"}", 0.0)?;
    now.is("callboard_kafka_pool_capacity_bytes{pool=\"produce\"}", f64::from(128 << 20))?;
    now.is("callboard_partition_batches_appended_total", batches)?;
    now.is("callboard_partition_bytes_appended_total", bytes)?;
    // Two entries more: the replicas' `Open`.
    now.is("callboard_journal_group_entries_sum{shard=\"0\"}", batches + 2.0)?;
    now.is("callboard_journal_group_bytes_sum{shard=\"0\"}", bytes)?;
    let groups = now.value("callboard_journal_group_entries_count{shard=\"0\"}")?;
    assert!(groups >= 1.0 && groups <= batches + 2.0);
    assert!(now.value("callboard_journal_sync_seconds_count{shard=\"0\"}")? >= groups);
    now.is("callboard_journal_queue_seconds_count{shard=\"0\"}", groups)?;
    assert!(now.value("callboard_journal_unsettled_bytes{shard=\"0\"}")? > 0.0);
    now.is("callboard_tail_bytes", bytes.max(now.value("callboard_tail_bytes")?))?;
    now.is("callboard_topics", 1.0)?;
    now.is("callboard_partitions{state=\"leader\"}", 2.0)?;
    now.is("callboard_partitions{state=\"offline\"}", 0.0)?;
    assert!(now.value("callboard_process_resident_memory_bytes")? > f64::from(1 << 20));
    assert!(now.value("callboard_process_cpu_seconds_total")? > 0.0);
    assert!(now.value("callboard_process_open_fds")? > 5.0);
    after_it(&mut broker, &mut wire, &now)
}

/// What goes again: a connection; a topic, with its series.
fn after_it(broker: &mut Broker, wire: &mut Wire, now: &Scraped) -> Result<()> {
    let (end, http) = ((BATCHES * RECORDS) as f64, broker.http()?);
    for what in ["log_end_offset", "high_watermark_offset"] {
        for partition in 0..2 {
            let series = format!("callboard_partition_{what}{{topic=\"counted\",partition=\"{partition}\"}}");
            now.is(&series, end)?;
        }
    }
    now.is("callboard_partition_log_start_offset{topic=\"counted\",partition=\"1\"}", 0.0)?;
    now.is("callboard_partitions_without_series", 0.0)?;
    let delete =
        DeleteTopicsRequest::default().with_topic_names(vec![name("counted")]).with_timeout_ms(30_000);
    let answer = wire.call(5, &delete)?;
    assert_eq!(answer.responses.first().context("no topic")?.error_code, code::NONE);
    let begun = Instant::now();
    loop {
        let later = scrape(http)?;
        let gone = !later.has("callboard_partition_log_end_offset{")
            && later.value("callboard_partitions{state=\"leader\"}")? == 0.0;
        if gone {
            break;
        }
        if begun.elapsed() > HANG {
            bail!("a deleted topic is still shown:\n{}", later.text);
        }
        std::thread::yield_now();
    }
    broker.stop()
}

/// Asks until the answer carries no error: the topic of the groups has to be made, and loaded.
fn until_good<R: Request>(
    wire: &mut Wire,
    version: i16,
    request: &R,
    error: impl Fn(&R::Response) -> i16,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        match error(&wire.call(version, request)?) {
            code::NONE => return Ok(()),
            code if begun.elapsed() > HANG => bail!("error {code}"),
            _ => std::thread::sleep(wire::RETRY),
        }
    }
}

#[test]
fn a_group_is_shown_with_how_far_it_is_behind_and_gone_when_it_is_deleted() -> Result<()> {
    let (mut broker, mut wire) = loaded()?;
    let (http, group) = (broker.http()?, GroupId(StrBytes::from_static_str("behind")));
    let find = FindCoordinatorRequest::default().with_key(group.0.clone());
    until_good(&mut wire, 3, &find, |answer| answer.error_code)?;
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(10);
    let topic =
        OffsetCommitRequestTopic::default().with_name(name("counted")).with_partitions(vec![partition]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(group.clone())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    until_good(&mut wire, 7, &commit, |answer| answer.topics[0].partitions[0].error_code)?;
    let now = scrape(http)?;
    let labels = "{group=\"behind\",topic=\"counted\"}";
    now.is("callboard_groups{state=\"Empty\"}", 1.0)?;
    now.is(&format!("callboard_group_lag_records{labels}"), (BATCHES * RECORDS) as f64 - 10.0)?;
    // The records say that they are of 1970.
    assert!(now.value(&format!("callboard_group_lag_seconds{labels}"))? > 1e9);
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group]);
    until_good(&mut wire, 1, &delete, |answer| answer.results[0].error_code)?;
    let later = scrape(http)?;
    assert!(!later.has("callboard_group_lag_records{"), "{}", later.text);
    broker.stop()
}

#[test]
fn partitions_have_no_series_unless_they_are_asked_for() -> Result<()> {
    let mut broker = Broker::start(Options::default())?;
    Wire::connect(broker.addr())?.create_topic("quiet", 3)?;
    let now = scrape(broker.http()?)?;
    now.is("callboard_partitions{state=\"leader\"}", 3.0)?;
    assert!(!now.text.contains("quiet"));
    broker.stop()
}

/// The string constants of all `metrics.rs` below a directory.
fn declared(dir: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            declared(&path, found)?;
        } else if path.file_name().is_some_and(|name| name == "metrics.rs") {
            let text = std::fs::read_to_string(&path)?;
            let names =
                text.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(": &str = \""));
            found.extend(names.filter_map(|(_, rest)| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
    Ok(())
}

#[test]
fn whatever_is_shown_is_declared() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut names = BTreeSet::new();
    declared(&root.join("src"), &mut names)?;
    declared(&root.join("actors/src"), &mut names)?;
    let (mut broker, _wire) = loaded()?;
    let now = scrape(broker.http()?)?;
    let undeclared: Vec<_> = now.types.keys().filter(|name| !names.contains(*name)).collect();
    assert!(undeclared.is_empty(), "shown and in no metrics.rs: {undeclared:?}");
    assert!(now.types.len() > 45, "only {} metrics are shown: {:?}", now.types.len(), now.types.keys());
    // A summary would mean that a histogram's unit has no buckets in console/recorder.rs.
    assert!(now.types.values().all(|kind| matches!(kind.as_str(), "counter" | "gauge" | "histogram")));
    broker.stop()
}

/// promtool: `CALLBOARD_PROMTOOL`, or on the PATH.
fn promtool() -> Result<Option<PathBuf>> {
    let named = std::env::var_os("CALLBOARD_PROMTOOL").map(PathBuf::from).filter(|path| path.is_file());
    need("http", "promtool", named.or_else(|| find_program("promtool")))
}

#[test]
fn promtool_finds_nothing_wrong() -> Result<()> {
    let Some(promtool) = promtool()? else { return Ok(()) };
    let check = |text: &str| -> Result<String> {
        let dir = scratch()?;
        let path = dir.path().join("metrics");
        std::fs::write(&path, text)?;
        let input = File::open(&path)?;
        let done = run(&promtool, &["check", "metrics"], |command| {
            command.stdin(input);
        })?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        Ok(if done.status.success() { said } else { format!("{}: {said}", done.status) })
    };
    let (mut broker, _wire) = loaded()?;
    let now = scrape(broker.http()?)?;
    assert_eq!(check(&now.text)?, "");
    // And it would have.
    assert_ne!(check("# HELP callboard_x counts\n# TYPE callboard_x counter\ncallboard_x 1\n")?, "");
    broker.stop()
}
