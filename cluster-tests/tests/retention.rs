//! Records that go: by age, by size, by DeleteRecords; and the broker's own time on those that come.
//!
//! The broker looks for expired records every few milliseconds here, and its segments are as small as they may be. What
//! is waited for is what a client sees: the beginning of the log. Then the broker is killed: what is gone stays gone.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use callboard_cluster_tests::process::verdict::{Read, read_partition};
use callboard_cluster_tests::process::wire::{RETRY, Wire, name, whole_batches};
use callboard_cluster_tests::process::{Broker, HANG, Options};
use callboard_core::records::{BatchBuilder, NewRecord, verify};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, FindCoordinatorRequest, ProduceRequest,
};
use kafka_protocol::protocol::StrBytes;

/// A record that nobody dated today, well after 1970 all the same.
const LONG_AGO: i64 = 1_000_000_000_000;
const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_TOPIC_EXCEPTION: i16 = 17;

struct Site {
    broker: Broker,
    wire: Wire,
}

impl Site {
    fn start() -> Result<Site> {
        let options = Options::default()
            .with_env("CALLBOARD_SEGMENT_BYTES", 64 << 10)
            .with_env("CALLBOARD_UNSETTLED_BYTES_MAX", 128 << 10)
            .with_env("CALLBOARD_LOG_RETENTION_CHECK_INTERVAL_MS", 20);
        let broker = Broker::start(options)?;
        let wire = Wire::connect(broker.addr())?;
        Ok(Site { broker, wire })
    }

    fn create(&mut self, topic: &str, configs: &[(&str, &str)]) -> Result<()> {
        let config = |(name, value): &(&str, &str)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string((*name).to_owned()))
                .with_value(Some(StrBytes::from_string((*value).to_owned())))
        };
        let topic = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        let answer = self.wire.call(7, &request)?;
        let result = answer.topics.first().context("CreateTopics: no topic in the answer")?;
        ensure!(result.error_code == 0, "{:?} {:?}", result.name, result.error_message);
        Ok(())
    }

    /// Base offset and the time that the broker gave.
    fn produce(&mut self, topic: &str, batch: Bytes) -> Result<(i64, i64)> {
        let data = PartitionProduceData::default().with_index(0).with_records(Some(batch));
        let data = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data]);
        let answer = self.wire.call(9, &request)?;
        let partition = answer.responses.first().and_then(|topic| topic.partition_responses.first());
        let partition = partition.context("Produce: no partition in the answer")?;
        ensure!(partition.error_code == 0, "Produce: error {}", partition.error_code);
        Ok((partition.base_offset, partition.log_append_time_ms))
    }

    fn first(&mut self, topic: &str) -> Result<i64> {
        self.wire.list_offset(topic, 0, -2)
    }

    /// Waits until the log begins there, or beyond.
    fn begins_at(&mut self, topic: &str, offset: i64) -> Result<i64> {
        let begun = Instant::now();
        loop {
            let first = self.first(topic)?;
            if first >= offset {
                return Ok(first);
            }
            if begun.elapsed() > HANG {
                return Err(self.broker.broken(&format!("{topic} still begins at {first}, not at {offset}")));
            }
            std::thread::sleep(RETRY);
        }
    }

    fn read(&mut self, topic: &str) -> Result<Vec<Read>> {
        read_partition(&mut self.wire, topic, 0)
    }

    fn killed(&mut self) -> Result<()> {
        self.broker.kill9()?;
        self.broker.restart()?;
        self.wire = Wire::connect(self.broker.addr())?;
        Ok(())
    }

    /// Low watermark and error code, for each partition asked.
    fn delete_records(
        &mut self,
        version: i16,
        topic: &str,
        asked: &[(i32, i64)],
    ) -> Result<Vec<(i32, i64, i16)>> {
        let asked = asked.iter().map(|(partition, offset)| {
            DeleteRecordsPartition::default().with_partition_index(*partition).with_offset(*offset)
        });
        let asked = DeleteRecordsTopic::default().with_name(name(topic)).with_partitions(asked.collect());
        let request = DeleteRecordsRequest::default().with_topics(vec![asked]).with_timeout_ms(30_000);
        let answer = self.wire.call(version, &request)?;
        let topic = answer.topics.first().context("DeleteRecords: no topic in the answer")?;
        let said = topic.partitions.iter().map(|p| (p.partition_index, p.low_watermark, p.error_code));
        Ok(said.collect())
    }

    /// What lies below the beginning is refused.
    fn nothing_below(&mut self, topic: &str, offset: i64) -> Result<()> {
        let Err(error) = self.wire.fetch(topic, 0, offset - 1, 0) else {
            bail!("{topic}: what lies below {offset} is served");
        };
        ensure!(error.to_string().ends_with(&format!("error {OFFSET_OUT_OF_RANGE}")), "{error}");
        Ok(())
    }
}

/// Records of these times, each of so many bytes.
fn batch(times: &[i64], size: usize) -> Bytes {
    let records = times.iter().map(|timestamp| NewRecord {
        timestamp: *timestamp,
        value: Some(vec![7; size]),
        ..NewRecord::default()
    });
    Bytes::from(records.fold(BatchBuilder::new(0), BatchBuilder::record).build().unwrap_or_default())
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as i64
}

#[test]
fn records_older_than_a_week_expire_and_newer_ones_stay() -> Result<()> {
    let mut site = Site::start()?;
    site.create("news", &[])?;
    for n in 0..30 {
        site.produce("news", batch(&[LONG_AGO + n, LONG_AGO], 5000))?;
    }
    let end = site.wire.list_offset("news", 0, -1)?;
    ensure!(site.begins_at("news", end)? == 60, "all of it is old");
    ensure!(site.read("news")?.is_empty());
    site.nothing_below("news", 60)?;
    site.produce("news", batch(&[now()], 100))?;
    site.produce("news", batch(&[LONG_AGO], 100))?;
    site.killed()?;
    // What is old and lies behind something new stays: only a beginning goes.
    let left = |site: &mut Site| {
        Ok::<_, anyhow::Error>(site.read("news")?.iter().map(|r| r.offset).collect::<Vec<_>>())
    };
    ensure!(site.first("news")? == 60 && left(&mut site)? == [60, 61]);
    site.nothing_below("news", 60)?;
    let from = site.broker.lines().seen();
    site.create("beside", &[])?;
    site.produce("beside", batch(&[LONG_AGO], 1))?;
    // By the time a topic made later has been looked at, this one has been too.
    site.begins_at("beside", 1)?;
    ensure!(
        !site
            .broker
            .lines()
            .since(from)
            .iter()
            .any(|line| line.contains("all has expired, the log started at 60"))
    );
    ensure!(left(&mut site)? == [60, 61]);
    site.broker.stop()
}

#[test]
fn by_size_the_newest_bytes_stay() -> Result<()> {
    const KEEP: usize = 100_000;
    // One batch is a request, a group and a run: the smallest thing that goes. In redb it is a block.
    const BLOCK: usize = 256 << 10;
    let mut site = Site::start()?;
    site.create("bounded", &[("retention.bytes", "100000"), ("retention.ms", "-1")])?;
    for n in 0..100 {
        site.produce("bounded", batch(&[LONG_AGO + n], 10_000))?;
    }
    // Retention may take away the first record between the question for its offset and the fetch.
    let bytes = |site: &mut Site| {
        site.read("bounded").map_or(usize::MAX, |read| read.iter().map(|r| r.value.len()).sum::<usize>())
    };
    let begun = Instant::now();
    while bytes(&mut site) > KEEP + BLOCK {
        ensure!(begun.elapsed() < HANG, "{} bytes stay", bytes(&mut site));
        std::thread::sleep(RETRY);
    }
    let first = site.first("bounded")?;
    site.nothing_below("bounded", first)?;
    site.killed()?;
    ensure!(site.first("bounded")? >= first, "what was gone is back");
    let left = site.read("bounded")?;
    ensure!(
        left.last().is_some_and(|last| last.offset == 99) && left.len() * 10_100 >= KEEP,
        "{}",
        left.len()
    );
    site.broker.stop()
}

#[test]
fn under_log_append_time_the_brokers_time_counts() -> Result<()> {
    let mut site = Site::start()?;
    site.create("stamped", &[("message.timestamp.type", "LogAppendTime")])?;
    let before = now();
    let (_, first) = site.produce("stamped", batch(&[LONG_AGO, LONG_AGO + 9, LONG_AGO], 100))?;
    let (base, second) = site.produce("stamped", batch(&[LONG_AGO + 7, LONG_AGO + 8], 100))?;
    ensure!(base == 3 && before <= first && first <= second && second <= now(), "{before} {first} {second}");
    // The checksum is that of the batch as it is now; what the producer said of each record is still there beneath.
    let batches = whole_batches(site.wire.fetch("stamped", 0, 0, 0)?.records);
    for (batch, time) in batches.iter().zip([first, second]) {
        let head = verify(batch)?;
        ensure!(head.is_log_append_time() && head.max_timestamp == time, "{head:?}");
        ensure!(head.base_timestamp / 100 == LONG_AGO / 100, "{head:?}");
    }
    ensure!(batches.len() == 2, "{} batches", batches.len());
    let newest = if first == second { 0 } else { 3 };
    ensure!(site.wire.list_offset("stamped", 0, -3)? == newest);
    ensure!(site.wire.list_offset("stamped", 0, first)? == 0);
    ensure!(site.wire.list_offset("stamped", 0, second + 1)? == -1, "what producers say is not searched");
    // By the broker's time they are new; under the same rules a topic of the producers' time ends empty.
    site.create("unstamped", &[])?;
    site.produce("unstamped", batch(&[LONG_AGO], 100))?;
    site.begins_at("unstamped", 1)?;
    ensure!(site.first("stamped")? == 0);
    site.create("brief", &[("message.timestamp.type", "LogAppendTime"), ("retention.ms", "1")])?;
    site.produce("brief", batch(&[now() + 1_000_000], 100))?;
    ensure!(site.begins_at("brief", 1)? == 1);
    site.broker.stop()
}

#[test]
fn what_is_deleted_stays_deleted() -> Result<()> {
    let mut site = Site::start()?;
    site.create("ledger", &[])?;
    for _ in 0..20 {
        site.produce("ledger", batch(&[now(), now()], 5000))?;
    }
    for (version, to) in [(0, 3), (1, 8), (2, 9)] {
        ensure!(site.delete_records(version, "ledger", &[(0, to)])? == [(0, to, 0)]);
        site.nothing_below("ledger", to)?;
        let records = site.read("ledger")?;
        ensure!(records.first().is_some_and(|r| r.offset == to) && records.len() == 40 - to as usize);
        site.killed()?;
        ensure!(site.first("ledger")? == to, "back after a kill");
        ensure!(site.read("ledger")? == records);
    }
    ensure!(site.delete_records(2, "ledger", &[(0, 5)])? == [(0, 9, 0)], "it never moves back");
    let refused =
        [(0, 41, OFFSET_OUT_OF_RANGE), (0, -2, OFFSET_OUT_OF_RANGE), (7, 1, UNKNOWN_TOPIC_OR_PARTITION)];
    for (partition, offset, code) in refused {
        ensure!(
            site.delete_records(2, "ledger", &[(partition, offset)])? == [(partition, -1, code)],
            "{offset}"
        );
    }
    ensure!(site.delete_records(2, "nowhere", &[(0, 1)])? == [(0, -1, UNKNOWN_TOPIC_OR_PARTITION)]);
    let both = site.delete_records(2, "ledger", &[(0, 10), (1, 10)])?;
    ensure!(both == [(0, 10, 0), (1, -1, UNKNOWN_TOPIC_OR_PARTITION)], "{both:?}");
    ensure!(site.delete_records(2, "ledger", &[(0, -1)])? == [(0, 40, 0)], "-1: all of it");
    site.broker.stop()?;
    site.broker.restart()?;
    site.wire = Wire::connect(site.broker.addr())?;
    ensure!(site.first("ledger")? == 40 && site.wire.list_offset("ledger", 0, -1)? == 40);
    ensure!(site.produce("ledger", batch(&[now()], 10))?.0 == 40, "offsets go on");
    ensure!(site.read("ledger")?.len() == 1);
    site.broker.stop()
}

#[test]
fn what_the_broker_keeps_for_itself_is_not_deleted_by_offset() -> Result<()> {
    const TOPIC: &str = "__consumer_offsets";
    let mut site = Site::start()?;
    ensure!(site.delete_records(2, TOPIC, &[(0, 0)])? == [(0, -1, UNKNOWN_TOPIC_OR_PARTITION)]);
    // Asking for a group's coordinator makes the topic.
    let request = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("readers"));
    let begun = Instant::now();
    while site.wire.call(2, &request)?.error_code != 0 {
        ensure!(begun.elapsed() < HANG, "no coordinator");
        std::thread::sleep(RETRY);
    }
    ensure!(site.delete_records(2, TOPIC, &[(0, 0)])? == [(0, -1, INVALID_TOPIC_EXCEPTION)]);
    site.broker.stop()
}
