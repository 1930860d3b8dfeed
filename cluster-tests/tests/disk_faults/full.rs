//! A disk without space. Produce is refused with an error that clients retry; reads, deletes and metadata go on; with room
//! it goes on by itself. The file system is a real one where the machine lets a user mount one.

use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use callboard_cluster_tests::process::faults::Volume;
use callboard_cluster_tests::process::wire::{RETRY, Wire, name};
use callboard_cluster_tests::process::{HANG, say};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteTopicsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};

use crate::site::{MIB, Site, faults, small};
use crate::web;

const STORAGE_ERROR: i16 = 56;
const FULL: &str = "callboard_disk_full{shard=\"0\"}";
const NO_SPACE: &str = "callboard_disk_no_space_total{shard=\"0\"}";
const RESERVE: &str = "callboard_disk_reserve_bytes{shard=\"0\"}";
const REFUSED: &str = "produce is refused";
const OLD: &str = "what-may-go";

/// One record of so many bytes.
fn batch(bytes: usize) -> Result<Bytes> {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: -1,
        timestamp: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64,
        key: None,
        value: Some(vec![7; bytes].into()),
        headers: Default::default(),
    };
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut out, [&record], &options)?;
    Ok(out.freeze())
}

fn produce_old(wire: &mut Wire, bytes: usize) -> Result<i16> {
    wire.send_batch(OLD, 0, -1, batch(bytes)?)?;
    Ok(wire.receive_batch()?.0)
}

/// Until produce is refused: settling goes on giving segments back, and what is taken up to then takes them again.
fn refused_at_last(wire: &mut Wire, volume: Option<&Volume>) -> Result<()> {
    let begun = Instant::now();
    loop {
        if let Some(volume) = volume {
            volume.fill()?;
        }
        match produce_old(wire, 100 << 10)? {
            STORAGE_ERROR => return Ok(()),
            code => ensure!(code == 0 && begun.elapsed() < HANG, "code {code} on a full disk"),
        }
    }
}

fn delete_records(wire: &mut Wire, to: i64) -> Result<i16> {
    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(to);
    let topic = DeleteRecordsTopic::default().with_name(name(OLD)).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let answer = wire.call(2, &request)?;
    let topic = answer.topics.first().context("DeleteRecords: no topic")?;
    Ok(topic.partitions.first().context("DeleteRecords: no partition")?.error_code)
}

/// `retention.ms`, and then nothing is left.
fn expire(wire: &mut Wire) -> Result<()> {
    let config = AlterableConfig::default()
        .with_name(StrBytes::from_static_str("retention.ms"))
        .with_value(Some(StrBytes::from_static_str("1")));
    let topic = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(StrBytes::from_static_str(OLD))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![topic]);
    let answer = wire.call(1, &request)?;
    ensure!(answer.responses.iter().all(|r| r.error_code == 0), "{answer:?}");
    let begun = Instant::now();
    while wire.list_offset(OLD, 0, -2)? < wire.list_offset(OLD, 0, -1)? {
        ensure!(begun.elapsed() < HANG, "nothing expires on a full disk");
        std::thread::sleep(RETRY);
    }
    Ok(())
}

fn delete_topic(wire: &mut Wire, topic: &str) -> Result<i16> {
    let state = DeleteTopicState::default().with_name(Some(name(topic)));
    let request = DeleteTopicsRequest::default().with_topics(vec![state]).with_timeout_ms(30_000);
    let answer = wire.call(6, &request)?;
    Ok(answer.responses.first().context("DeleteTopics: no topic")?.error_code)
}

#[test]
fn a_small_file_system_fills_up_and_all_goes_on_when_there_is_room() -> Result<()> {
    let Some(volume) = Volume::new(48)? else {
        // The same fault, of calls instead of a file system, is the next test's.
        say("NOT RUN: a truly full file system: this machine lets nobody mount one (unshare -rm, nsenter)");
        return Ok(());
    };
    let mut options = small()
        .with_env("CALLBOARD_DISK_RESERVE_BYTES", 4 * MIB)
        .with_env("CALLBOARD_LOG_RETENTION_CHECK_INTERVAL_MS", 200);
    options.wrap = volume.wrap();
    options.data = Some(volume.path().join("data"));
    let mut site = Site::start(options, 0xf0_11)?;
    let mut wire = site.wire()?;
    wire.create_topic(OLD, 1)?;
    for _ in 0..24 {
        assert_eq!(produce_old(&mut wire, 512 << 10)?, 0);
    }
    site.series(RESERVE, |bytes| bytes == 4.0 * MIB as f64)?;
    site.produce(false);

    // Full: the mark is met.
    site.says(REFUSED, 0)?;
    assert_eq!(site.series(FULL, |full| full == 1.0)?, 1.0);
    site.ready(200)?;
    refused_at_last(&mut wire, None)?;
    ensure!(site.readable()? > 0, "nothing can be read while it is full");

    // Another program takes what is left: not a byte is free.
    volume.fill()?;
    wire.create_topic("late", 1).context("a topic on a full disk")?;
    assert_eq!(delete_topic(&mut wire, "late")?, 0);
    assert_eq!(produce_old(&mut wire, 100)?, STORAGE_ERROR);
    assert_eq!(delete_records(&mut wire, 1)?, 0);
    assert_eq!(wire.list_offset(OLD, 0, -2)?, 1);
    ensure!(site.readable()? > 0);

    // Killed and started on the full disk.
    site.broker.kill9()?;
    site.broker.restart().context("a start on a full disk")?;
    site.says(REFUSED, 0)?;
    let mut wire = site.wire()?;
    refused_at_last(&mut wire, Some(&volume))?;
    ensure!(site.readable()? > 0);
    expire(&mut wire)?;
    assert_eq!(delete_topic(&mut wire, OLD)?, 0);

    // What was deleted is room to write in, with what the other program gives back.
    volume.unfill()?;
    site.says("there is room on the disk again", 0)?;
    site.goes_on(20)?;
    volume.enlarge(256)?;
    site.series(FULL, |full| full == 0.0)?;
    site.goes_on(50)?;
    site.series(RESERVE, |bytes| bytes == 4.0 * MIB as f64)?;
    site.finish("a full file system")
}

#[test]
fn no_space_for_what_grows_is_met_again_and_again() -> Result<()> {
    let Some(faults) = faults()? else { return Ok(()) };
    let mut options = small().with_env("CALLBOARD_DISK_RESERVE_BYTES", 4 * MIB);
    options.wrap = faults.wrap();
    let mut site = Site::start(options, 0xf0_12)?;
    site.wire()?.create_topic(OLD, 1)?;
    site.produce(false);
    for _ in 0..3 {
        site.goes_on(30)?;
        faults.set("grow error 28\n")?;
        site.series(FULL, |full| full == 1.0)?;
        let mut wire = site.wire()?;
        assert_eq!(produce_old(&mut wire, 100)?, STORAGE_ERROR);
        ensure!(site.readable()? > 0, "nothing can be read");
        faults.set("")?;
        site.series(FULL, |full| full == 0.0)?;
    }
    ensure!(web::scrape(site.http()?)?.value(NO_SPACE)? >= 3.0);
    site.goes_on(30)?;
    site.finish("no space for what grows")
}

#[test]
fn a_start_without_space_says_so_and_changes_nothing() -> Result<()> {
    let Some(faults) = faults()? else { return Ok(()) };
    let mut options = small();
    options.wrap = faults.wrap();
    let mut site = Site::start(options, 0xf0_13)?;
    site.produce(true);
    site.goes_on(50)?;
    site.broker.kill9()?;
    faults.set("write error 28\n")?;
    let (code, said) = site.broker.refuses()?;
    ensure!(code == Some(78) && said.contains("the disk is full"), "{code:?}: {said}");
    faults.set("")?;
    site.broker.restart()?;
    site.goes_on(50)?;
    site.finish("a start without space")
}
