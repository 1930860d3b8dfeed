//! What proves that a config is enforced. A proof turns a knob and asks a client: each turn takes effect with its answer.

use std::time::Instant;

use anyhow::{Result, ensure};
use callboard_cluster_tests::process::HANG;
use callboard_cluster_tests::process::wire::{RETRY, whole_batches};
use callboard_core::records::verify;

use super::admin::{DELETE, Site, TOPIC, batch, now};

const INVALID_TIMESTAMP: i16 = 32;
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

type Changes = fn(&mut Site, &Knob) -> Result<()>;

pub enum Proof {
    /// Its value changes what the broker does.
    Changes(Changes),
    /// It takes no other value, such as this one.
    ReadOnly(&'static str),
}

pub fn topic() -> Vec<(&'static str, Proof)> {
    vec![
        ("callboard.durability", Proof::Changes(|site, knob| synced(site, knob, "fsync", "os"))),
        ("cleanup.policy", Proof::ReadOnly("compact")),
        ("compression.type", Proof::ReadOnly("zstd")),
        ("flush.messages", Proof::Changes(|site, knob| synced(site, knob, "1", "10000"))),
        ("max.message.bytes", Proof::Changes(size)),
        ("message.timestamp.after.max.ms", Proof::Changes(ahead)),
        ("message.timestamp.before.max.ms", Proof::Changes(behind)),
        ("message.timestamp.type", Proof::Changes(stamped)),
        ("min.insync.replicas", Proof::ReadOnly("2")),
        ("remote.storage.enable", Proof::ReadOnly("true")),
        ("retention.bytes", Proof::Changes(kept_by_size)),
        ("retention.ms", Proof::Changes(kept_by_time)),
        ("segment.bytes", Proof::ReadOnly("1048576")),
        ("unclean.leader.election.enable", Proof::ReadOnly("true")),
    ]
}

pub fn broker() -> Vec<(&'static str, Proof)> {
    let mut all = vec![
        ("compression.type", Proof::ReadOnly("zstd")),
        ("log.cleanup.policy", Proof::ReadOnly("compact")),
        ("log.flush.interval.messages", Proof::Changes(|site, knob| synced(site, knob, "1", "10000"))),
        ("log.message.timestamp.after.max.ms", Proof::Changes(ahead)),
        ("log.message.timestamp.before.max.ms", Proof::Changes(behind)),
        ("log.message.timestamp.type", Proof::Changes(stamped)),
        ("log.retention.bytes", Proof::Changes(kept_by_size)),
        ("log.retention.ms", Proof::Changes(kept_by_time)),
        ("log.segment.bytes", Proof::ReadOnly("1048576")),
        ("message.max.bytes", Proof::Changes(size)),
        ("min.insync.replicas", Proof::ReadOnly("2")),
        ("unclean.leader.election.enable", Proof::ReadOnly("true")),
    ];
    let from_file = [
        "advertised.listeners",
        "auto.create.topics.enable",
        "broker.id",
        "broker.rack",
        "callboard.durability",
        "connections.max.idle.ms",
        "default.replication.factor",
        "delete.topic.enable",
        "group.initial.rebalance.delay.ms",
        "group.max.session.timeout.ms",
        "group.max.size",
        "group.min.session.timeout.ms",
        "listeners",
        "log.dirs",
        "log.retention.check.interval.ms",
        "log.retention.hours",
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
        "socket.request.max.bytes",
        "socket.send.buffer.bytes",
    ];
    all.extend(from_file.map(|name| (name, Proof::ReadOnly("7"))));
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

fn kept_by_size(site: &mut Site, knob: &Knob) -> Result<()> {
    knob.set(site, "-1")?;
    for _ in 0..100 {
        ensure!(site.produce(&knob.topic, batch(now(), 10_000))? == 0);
    }
    ensure!(site.wire.list_offset(&knob.topic, 0, -2)? == 0, "kept whatever its size, it is gone");
    knob.set(site, "100000")?;
    begins_at(site, &knob.topic, 1)
}
