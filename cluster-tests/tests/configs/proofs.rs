//! What proves that a config is enforced. A proof turns a knob and asks a client: each turn takes effect with its answer.

use std::time::Instant;

use anyhow::{Result, ensure};
use callboard_cluster_tests::odd::{Codec, Odd};
use callboard_cluster_tests::process::HANG;
use callboard_cluster_tests::process::wire::{RETRY, whole_batches};
use callboard_core::records::verify;

use super::admin::{DELETE, Site, TOPIC, batch, entry, now};

const INVALID_TIMESTAMP: i16 = 32;
const INVALID_RECORD: i16 = 87;
const MESSAGE_TOO_LARGE: i16 = 10;
/// A record that nobody dated today, well after 1970 all the same.
const LONG_AGO: i64 = 1_000_000_000_000;

/// A config of something, and a topic that it is to show on.
pub struct Knob {
    pub kind: i8,
    pub resource: String,
    pub name: String,
    pub topic: String,
}

impl Knob {
    pub fn set(&self, site: &mut Site, value: &str) -> Result<()> {
        let (code, why) = site.set(self.kind, &self.resource, &self.name, value)?;
        ensure!(code == 0, "{}={value}: {code} {why}", self.name);
        Ok(())
    }

    pub fn unset(&self, site: &mut Site) -> Result<()> {
        let resource = (self.kind, self.resource.as_str());
        ensure!(site.alter(resource, &self.name, DELETE, None, false)?.0 == 0);
        Ok(())
    }
}

/// Sets a value that is stored and returned from where it was set, and one that is not; then takes it back.
pub fn stored(site: &mut Site, knob: &Knob, value: &str, bad: &str) -> Result<()> {
    let told = |site: &mut Site| {
        let all = site.describe(knob.kind, &knob.resource)?;
        anyhow::Ok(entry(&all, &knob.name)?.clone())
    };
    knob.set(site, value)?;
    let holds = told(site)?;
    let source = match (knob.kind, knob.resource.as_str()) {
        (TOPIC, _) => 1,
        (_, "") => 3,
        _ => 2,
    };
    let said = holds.value.as_ref().map(|value| value.to_string()).unwrap_or_default();
    ensure!((said.as_str(), holds.config_source, holds.read_only) == (value, source, false), "{holds:?}");
    ensure!(holds.synonyms.first().is_some_and(|first| first.source == source), "{holds:?}");
    ensure!(holds.documentation.as_ref().is_some_and(|words| !words.is_empty()), "{holds:?}");
    let (code, why) = site.set(knob.kind, &knob.resource, &knob.name, bad)?;
    // Kafka's codes: INVALID_CONFIG of a topic, INVALID_REQUEST of a broker.
    ensure!(code == if knob.kind == TOPIC { 40 } else { 42 }, "{}={bad}: {code} {why}", knob.name);
    ensure!(told(site)? == holds, "{}={bad} was refused and changed", knob.name);
    Ok(())
}

type Changes = fn(&mut Site, &Knob) -> Result<()>;

pub enum Proof {
    /// Its value changes what the broker does.
    Changes(Changes),
    /// A value that is stored and returned, and one that is refused; its documentation says what becomes of it.
    Stored(&'static str, &'static str),
    /// The same, for all brokers alone.
    StoredForAll(&'static str, &'static str),
    /// It takes no other value, such as this one.
    ReadOnly(&'static str),
}

pub fn topic() -> Vec<(&'static str, Proof)> {
    use Proof::{Changes, ReadOnly, Stored};
    vec![
        ("callboard.durability", Changes(|site, knob| synced(site, knob, "fsync", "os"))),
        ("callboard.validate.records", Changes(opened)),
        ("cleanup.policy", Changes(kept_by_policy)),
        ("compression.gzip.level", Stored("9", "0")),
        ("compression.lz4.level", Stored("17", "18")),
        ("compression.type", ReadOnly("zstd")),
        ("compression.zstd.level", Stored("-5", "23")),
        ("delete.retention.ms", Stored("0", "-1")),
        ("file.delete.delay.ms", Stored("0", "-1")),
        ("flush.messages", Changes(|site, knob| synced(site, knob, "1", "10000"))),
        ("flush.ms", Stored("1000", "-1")),
        ("follower.replication.throttled.replicas", Stored("0:1,1:1", "0")),
        ("index.interval.bytes", Stored("0", "-1")),
        ("leader.replication.throttled.replicas", Stored("*", "all")),
        ("local.retention.bytes", Stored("-2", "-3")),
        ("local.retention.ms", Stored("-2", "-3")),
        ("max.compaction.lag.ms", Stored("1", "0")),
        ("max.message.bytes", Changes(size)),
        ("message.timestamp.after.max.ms", Changes(ahead)),
        ("message.timestamp.before.max.ms", Changes(behind)),
        ("message.timestamp.type", Changes(stamped)),
        ("min.cleanable.dirty.ratio", Stored("0.1", "1.1")),
        ("min.compaction.lag.ms", Stored("7", "-1")),
        ("min.insync.replicas", Stored("2", "0")),
        ("preallocate", Stored("true", "1")),
        ("remote.log.copy.disable", Stored("true", "x")),
        ("remote.log.delete.on.disable", Stored("true", "x")),
        ("remote.storage.enable", ReadOnly("true")),
        ("retention.bytes", Changes(kept_by_size)),
        ("retention.ms", Changes(kept_by_time)),
        ("segment.bytes", Stored("52428800", "1048575")),
        ("segment.index.bytes", Stored("4", "3")),
        ("segment.jitter.ms", Stored("0", "-1")),
        ("segment.ms", Stored("43200000", "0")),
        // Only a second node shows what it does: `cluster_elections.rs`.
        ("unclean.leader.election.enable", Stored("true", "yes")),
    ]
}

/// Broker configs that the configuration file alone sets.
const FROM_FILE: [&str; 34] = [
    "advertised.listeners",
    "auto.create.topics.enable",
    "broker.id",
    "broker.rack",
    "callboard.durability",
    "callboard.segment.bytes",
    "connections.max.idle.ms",
    "default.replication.factor",
    "delete.topic.enable",
    "group.initial.rebalance.delay.ms",
    "group.max.session.timeout.ms",
    "group.max.size",
    "group.min.session.timeout.ms",
    "listeners",
    "log.dirs",
    "log.flush.scheduler.interval.ms",
    "log.retention.check.interval.ms",
    "log.retention.hours",
    "log.roll.hours",
    "log.roll.jitter.hours",
    "max.connections",
    "max.incremental.fetch.session.cache.slots",
    "node.id",
    "num.partitions",
    "offset.metadata.max.bytes",
    "offsets.retention.check.interval.ms",
    "offsets.retention.minutes",
    "offsets.topic.num.partitions",
    "offsets.topic.replication.factor",
    "process.roles",
    "producer.id.expiration.ms",
    "replica.lag.time.max.ms",
    "socket.request.max.bytes",
    "socket.send.buffer.bytes",
];

pub fn broker() -> Vec<(&'static str, Proof)> {
    use Proof::{Changes, ReadOnly, Stored, StoredForAll};
    let mut all = vec![
        ("compression.gzip.level", Stored("9", "0")),
        ("compression.lz4.level", Stored("17", "18")),
        ("compression.type", ReadOnly("zstd")),
        ("compression.zstd.level", Stored("-5", "23")),
        ("log.cleaner.delete.retention.ms", Stored("0", "-1")),
        ("log.cleaner.max.compaction.lag.ms", Stored("1", "0")),
        ("log.cleaner.min.cleanable.ratio", Stored("0.1", "1.1")),
        ("log.cleaner.min.compaction.lag.ms", Stored("7", "-1")),
        ("log.cleanup.policy", Changes(kept_by_policy)),
        ("log.flush.interval.messages", Changes(|site, knob| synced(site, knob, "1", "10000"))),
        ("log.flush.interval.ms", Stored("1000", "x")),
        ("log.index.interval.bytes", Stored("0", "-1")),
        ("log.index.size.max.bytes", Stored("4", "3")),
        ("log.local.retention.bytes", Stored("-2", "-3")),
        ("log.local.retention.ms", Stored("99", "-1")),
        ("log.message.timestamp.after.max.ms", Changes(ahead)),
        ("log.message.timestamp.before.max.ms", Changes(behind)),
        ("log.message.timestamp.type", Changes(stamped)),
        ("log.preallocate", Stored("true", "1")),
        ("log.retention.bytes", Changes(kept_by_size)),
        ("log.retention.ms", Changes(kept_by_time)),
        ("log.roll.jitter.ms", Stored("0", "-1")),
        ("log.roll.ms", Stored("43200000", "0")),
        ("log.segment.bytes", Stored("52428800", "1048575")),
        ("log.segment.delete.delay.ms", Stored("0", "-1")),
        ("message.max.bytes", Changes(size)),
        ("min.insync.replicas", StoredForAll("2", "0")),
        // Likewise.
        ("unclean.leader.election.enable", Stored("true", "yes")),
    ];
    all.extend(FROM_FILE.map(|name| (name, Proof::ReadOnly("7"))));
    all
}

/// Where every batch is synced before it is acknowledged there are as many syncs as batches, else one a second.
fn synced(site: &mut Site, knob: &Knob, every: &str, later: &str) -> Result<()> {
    const BATCHES: u64 = 100;
    let mut syncs = |value: &str| {
        knob.set(site, value)?;
        let before = site.syncs()?;
        for _ in 0..BATCHES {
            ensure!(site.produce(&knob.topic, batch(now(), 10))? == 0);
        }
        anyhow::Ok(site.syncs()? - before)
    };
    // The first batch after an fsync topic became an os one is synced too: the journal has to know.
    let (lazy, eager, lazy_again) = (syncs(later)?, syncs(every)?, syncs(later)?);
    ensure!(eager >= BATCHES, "{eager} syncs for {BATCHES} batches");
    ensure!(lazy < BATCHES && lazy_again < BATCHES, "{lazy} and {lazy_again} syncs without need");
    Ok(())
}

fn size(site: &mut Site, knob: &Knob) -> Result<()> {
    let batch = batch(now(), 2000);
    for (most, code) in [("1000", MESSAGE_TOO_LARGE), ("3000", 0), ("0", MESSAGE_TOO_LARGE)] {
        knob.set(site, most)?;
        ensure!(site.produce(&knob.topic, batch.clone())? == code, "{most} bytes");
    }
    Ok(())
}

/// A compressed batch that does not open is taken where producers are trusted.
fn opened(site: &mut Site, knob: &Knob) -> Result<()> {
    for (trusted, code) in [("false", 0), ("true", INVALID_RECORD), ("false", 0)] {
        knob.set(site, trusted)?;
        let garbage = Odd::holding(Codec::Zstd, b"not a frame".to_vec(), 1, now());
        ensure!(site.produce(&knob.topic, garbage.bytes())? == code, "{trusted}");
    }
    Ok(())
}

fn ahead(site: &mut Site, knob: &Knob) -> Result<()> {
    for (most, code) in [("1000", INVALID_TIMESTAMP), ("100000000", 0), ("0", INVALID_TIMESTAMP)] {
        knob.set(site, most)?;
        ensure!(site.produce(&knob.topic, batch(now() + 10_000_000, 10))? == code, "{most} ms");
    }
    Ok(())
}

fn behind(site: &mut Site, knob: &Knob) -> Result<()> {
    for (most, code) in [("1000", INVALID_TIMESTAMP), ("100000000", 0), ("9000", INVALID_TIMESTAMP)] {
        knob.set(site, most)?;
        ensure!(site.produce(&knob.topic, batch(now() - 10_000_000, 10))? == code, "{most} ms");
    }
    Ok(())
}

fn stamped(site: &mut Site, knob: &Knob) -> Result<()> {
    for (at, (kind, by_broker)) in
        [("LogAppendTime", true), ("CreateTime", false), ("LogAppendTime", true)].into_iter().enumerate()
    {
        knob.set(site, kind)?;
        ensure!(site.produce(&knob.topic, batch(now(), 10))? == 0);
        let stored = whole_batches(site.wire.fetch(&knob.topic, 0, at as i64, 0)?.records);
        ensure!(verify(&stored[0])?.is_log_append_time() == by_broker, "{kind}");
    }
    Ok(())
}

/// Waits until the log begins at or above an offset.
fn begins_at(site: &mut Site, topic: &str, offset: i64) -> Result<()> {
    let begun = Instant::now();
    while site.wire.list_offset(topic, 0, -2)? < offset {
        ensure!(begun.elapsed() < HANG, "{topic} does not begin at {offset}");
        std::thread::sleep(RETRY);
    }
    Ok(())
}

fn kept_by_time(site: &mut Site, knob: &Knob) -> Result<()> {
    knob.set(site, "-1")?;
    ensure!(site.produce(&knob.topic, batch(LONG_AGO, 10))? == 0);
    // By the time a topic made later has been looked at, this one has been too.
    let beside = format!("{}-beside", knob.topic);
    site.wire.create_topic(&beside, 1)?;
    ensure!(site.set(TOPIC, &beside, "retention.ms", "1000")?.0 == 0);
    ensure!(site.produce(&beside, batch(LONG_AGO, 10))? == 0);
    begins_at(site, &beside, 1)?;
    ensure!(site.wire.list_offset(&knob.topic, 0, -2)? == 0, "kept for ever, it is gone");
    knob.set(site, "1000")?;
    begins_at(site, &knob.topic, 1)
}

/// Without a policy records are kept whatever their age, and compaction is refused.
fn kept_by_policy(site: &mut Site, knob: &Knob) -> Result<()> {
    knob.set(site, "")?;
    // By the time a topic made later has been looked at, this one has been too.
    let beside = format!("{}-beside", knob.topic);
    site.wire.create_topic(&beside, 1)?;
    ensure!(site.set(TOPIC, &beside, "cleanup.policy", "delete")?.0 == 0);
    for topic in [&knob.topic, &beside] {
        ensure!(site.set(TOPIC, topic, "retention.ms", "1000")?.0 == 0);
        ensure!(site.produce(topic, batch(LONG_AGO, 10))? == 0);
    }
    begins_at(site, &beside, 1)?;
    ensure!(site.wire.list_offset(&knob.topic, 0, -2)? == 0, "kept without a policy, it is gone");
    for compacted in ["compact", "delete,compact"] {
        let (code, why) = site.set(knob.kind, &knob.resource, &knob.name, compacted)?;
        ensure!(code == 40 && why.contains("not supported by this version"), "{compacted}: {code} {why}");
    }
    knob.set(site, "delete")?;
    begins_at(site, &knob.topic, 1)
}

fn kept_by_size(site: &mut Site, knob: &Knob) -> Result<()> {
    knob.set(site, "-1")?;
    for _ in 0..100 {
        ensure!(site.produce(&knob.topic, batch(now(), 10_000))? == 0);
    }
    ensure!(site.wire.list_offset(&knob.topic, 0, -2)? == 0, "kept whatever its size, it is gone");
    knob.set(site, "100000")?;
    begins_at(site, &knob.topic, 1)
}
