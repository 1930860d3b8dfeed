//! A lost shard and a rotten journal group: what they held is offline with its reason, the rest is served, and nothing is
//! made in their place.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use callboard_cluster_tests::process::wire::{Wire, name, whole_batches};
use callboard_cluster_tests::process::{Broker, HANG, Options};
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};

use crate::site::batch;

const TOPIC: &str = "archive";
const STORAGE_ERROR: i16 = 56;

/// What the broker says to a batch: its code and its words.
fn offer(wire: &mut Wire, partition: i32) -> Result<(i16, String)> {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch("another")));
    let data = TopicProduceData::default().with_name(name(TOPIC)).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data]);
    let answer = wire.call(9, &request)?;
    let said = answer.responses.first().and_then(|t| t.partition_responses.first()).context("no answer")?;
    Ok((said.error_code, said.error_message.as_ref().map(|words| words.to_string()).unwrap_or_default()))
}

fn append(wire: &mut Wire, partition: i32, text: &str) -> Result<()> {
    wire.send_batch(TOPIC, partition, -1, batch(text))?;
    match wire.receive_batch()? {
        (0, _) => Ok(()),
        (code, _) => bail!("{text} to partition {partition}: error {code}"),
    }
}

/// Batches that can be read, from the start.
fn readable(wire: &mut Wire, partition: i32) -> Result<i64> {
    let (mut next, end) = (0, wire.list_offset(TOPIC, partition, -1)?);
    while next < end {
        let batches = whole_batches(wire.fetch(TOPIC, partition, next, 0)?.records);
        if batches.is_empty() {
            bail!("partition {partition}: nothing at {next}, the end is {end}");
        }
        next += batches.len() as i64;
    }
    Ok(next)
}

/// Every way in says 56, a produce says it in words that hold `reason`, and the log has both.
fn offline(broker: &Broker, wire: &mut Wire, partition: i32, reason: &str) -> Result<()> {
    let (code, words) = offer(wire, partition)?;
    if code != STORAGE_ERROR || !words.contains(reason) {
        bail!("partition {partition} should be offline for {reason}: produce says {code} {words}");
    }
    for said in
        [wire.fetch(TOPIC, partition, 0, 0).map(drop), wire.list_offset(TOPIC, partition, -1).map(drop)]
    {
        match said {
            Err(error) if error.to_string().ends_with("error 56") => {}
            other => bail!("partition {partition} should be offline: {other:?}"),
        }
    }
    let lines = broker.lines();
    for words in [format!("offline: {reason}"), "code=KafkaStorageError".to_owned()] {
        lines.wait_for(&words, 0, HANG).with_context(|| format!("no line with {words}"))?;
    }
    Ok(())
}

#[test]
fn a_shard_without_its_database_is_lost_and_the_other_is_served() -> Result<()> {
    const PARTITIONS: i32 = 12;
    let mut broker = Broker::start(Options { shards: 2, ..Options::default() })?;
    let mut wire = Wire::connect(broker.addr())?;
    wire.create_topic(TOPIC, PARTITIONS)?;
    (0..PARTITIONS).try_for_each(|partition| append(&mut wire, partition, "first"))?;
    broker.stop()?;
    let (database, aside) = (broker.data().join("shard-1/store.redb"), broker.dir().join("aside"));
    std::fs::rename(&database, &aside)?;
    broker.restart()?;
    let line =
        broker.lines().wait_for("shard 1 is lost: ", 0, HANG).context("no line names the lost shard")?;
    if !line.contains("store.redb") || !line.contains("its partitions are offline, the others are served") {
        bail!("the line of a lost shard: {line}");
    }
    let mut wire = Wire::connect(broker.addr())?;
    let (mut served, mut lost) = (Vec::new(), Vec::new());
    for partition in 0..PARTITIONS {
        match offer(&mut wire, partition)?.0 {
            0 => served.push(partition),
            STORAGE_ERROR => lost.push(partition),
            code => bail!("partition {partition}: error {code}"),
        }
    }
    if served.is_empty() || lost.is_empty() {
        bail!("served: {served:?}, lost: {lost:?}");
    }
    for partition in &lost {
        offline(&broker, &mut wire, *partition, "shard 1 is lost")?;
    }
    for partition in &served {
        if readable(&mut wire, *partition)? != 2 {
            bail!("partition {partition} of the good shard is not whole");
        }
    }
    if database.exists() {
        bail!("a database was made in place of the lost one");
    }
    broker.stop()?;
    // Back where it was, it is the shard it was.
    std::fs::rename(&aside, &database)?;
    broker.restart()?;
    let mut wire = Wire::connect(broker.addr())?;
    for partition in 0..PARTITIONS {
        append(&mut wire, partition, "last")?;
        let whole = if served.contains(&partition) { 3 } else { 2 };
        if readable(&mut wire, partition)? != whole {
            bail!("partition {partition} came back without its records");
        }
    }
    broker.stop()
}

#[test]
fn without_any_shard_it_does_not_start() -> Result<()> {
    let mut broker = Broker::start(Options::default())?;
    broker.stop()?;
    std::fs::remove_file(broker.data().join("shard-0/store.redb"))?;
    let (code, text) = broker.refuses()?;
    for words in ["shard 0 is lost: ", "store.redb", "no shard of ", "nothing is created in their place"] {
        if code != Some(78) || !text.contains(words) {
            bail!("exit code {code:?}, {words:?} was due:\n{text}");
        }
    }
    Ok(())
}

/// Where `text` lies in the journal of shard 0: file and position.
fn find(broker: &Broker, text: &str) -> Result<(PathBuf, usize)> {
    for entry in std::fs::read_dir(broker.data().join("shard-0/journal"))? {
        let path = entry?.path();
        let bytes = std::fs::read(&path)?;
        if let Some(at) = bytes.windows(text.len()).position(|window| window == text.as_bytes()) {
            return Ok((path, at));
        }
    }
    bail!("{text} is not in the journal")
}

/// Flips a bit where `place` says, given the position of `text` in its segment.
fn rot(broker: &Broker, text: &str, place: impl FnOnce(&[u8], usize) -> Option<usize>) -> Result<()> {
    let (path, at) = find(broker, text)?;
    let mut bytes = std::fs::read(&path)?;
    let at = place(&bytes, at).context("no such place in the segment")?;
    if at < 8 * 512 || at > bytes.len() - 8 * 512 {
        bail!("{at} is not in the middle of the segment");
    }
    bytes[at] ^= 0x04;
    Ok(std::fs::write(path, bytes)?)
}

/// Three partitions of one shard, written in turns, one group a batch, partition 1 only before round `until`; killed, so
/// that all of it is unsettled.
fn written_and_killed(rounds: u32, until: u32) -> Result<Broker> {
    let options = Options::default().with_env("CALLBOARD_SEGMENT_BYTES", 1 << 20);
    let mut broker = Broker::start(options)?;
    let mut wire = Wire::connect(broker.addr())?;
    wire.create_topic(TOPIC, 3)?;
    for round in 0..rounds {
        for partition in (0..3).filter(|partition| *partition != 1 || round < until) {
            append(&mut wire, partition, &format!("partition {partition} round {round}."))?;
        }
    }
    broker.kill9()?;
    Ok(broker)
}

/// Partition 1 is offline for a reason, the others are whole and take more; also after one more restart.
fn one_is_offline(mut broker: Broker, rounds: u32, reason: &str) -> Result<()> {
    for restart in 0..2i64 {
        broker.restart()?;
        let mut wire = Wire::connect(broker.addr())?;
        offline(&broker, &mut wire, 1, reason).map_err(|error| broker.broken(&format!("{error:#}")))?;
        for partition in [0, 2] {
            let found = readable(&mut wire, partition)?;
            if found != i64::from(rounds) + restart {
                return Err(broker.broken(&format!("partition {partition}: {found} batches of {rounds}")));
            }
            append(&mut wire, partition, "more")?;
        }
        broker.stop()?;
    }
    Ok(())
}

/// Back from a record to the start of its group; there the first byte of its length.
fn group_length(bytes: &[u8], at: usize) -> Option<usize> {
    (0..=at / 512).rev().map(|n| n * 512).find(|at| bytes[*at..].starts_with(b"CGB1")).map(|at| at + 32)
}

#[test]
fn a_rotten_record_below_the_synced_mark_takes_its_partition_offline_and_no_other() -> Result<()> {
    let broker = written_and_killed(20, 20)?;
    rot(&broker, "partition 1 round 9.", |_, at| Some(at + 3))?;
    one_is_offline(broker, 20, "shard 0: its entry ")
}

#[test]
fn a_rotten_group_header_takes_the_partition_that_lost_an_entry_offline() -> Result<()> {
    let broker = written_and_killed(20, 20)?;
    rot(&broker, "partition 1 round 9.", group_length)?;
    one_is_offline(broker, 20, "shard 0: its entries ")
}

#[test]
fn a_rotten_group_that_was_the_last_of_its_partition_is_not_taken_for_its_end() -> Result<()> {
    let broker = written_and_killed(20, 10)?;
    rot(&broker, "partition 1 round 9.", group_length)?;
    one_is_offline(broker, 20, "shard 0: the journal is rotten from ")
}
