//! Batches with a sound head and broken records, and heads that lie about records, against the built binary.
//!
//! ```text
//!   refused   87 and nothing stored: `before` and `after` are read through, whatever came between
//!   mended    the latest timestamp is the records' own; all else is served as it was sent, byte for byte
//!   judged    limits by time, retention and producers go by records and clocks, never by what a head says
//! ```
//! Apache Kafka 4.3.0 gave the right values (`api_answers/records.rs`), except where it takes batches that stop consumers.

#[path = "poison/judged.rs"]
mod judged;
#[path = "poison/site.rs"]
mod site;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use callboard_cluster_tests::odd::{Codec, DELTAS, Odd, VALUE, broken, record, records, unreadable};
use callboard_cluster_tests::process::verdict::read_partition;
use callboard_cluster_tests::process::wire::whole_batches;
use callboard_cluster_tests::process::{Options, find_program, need, run};
use callboard_core::records::{BatchBuilder, NewRecord};
use site::{INVALID_RECORD, Site, now};

const MINUTE: i64 = 60_000;

/// One plain record.
fn line(text: &str) -> Result<Bytes> {
    let value = Some(text.as_bytes().to_vec());
    let record = NewRecord { timestamp: now(), value, ..NewRecord::default() };
    Ok(BatchBuilder::new(0).record(record).build()?.into())
}

/// Every batch here stops some consumer.
fn poisons(codec: Codec) -> Result<Vec<(&'static str, Odd)>> {
    let time = now();
    let mut all = unreadable(codec, time)?;
    let mut inside =
        vec![("opens to nothing", vec![]), ("a byte more inside", [records(3), vec![0]].concat())];
    inside.extend(broken().into_iter().map(|(what, third)| (what, [records(2), third].concat())));
    inside.extend(DELTAS.map(|(what, d)| (what, d.iter().flat_map(|n| record(*n, 0)).collect())));
    for (what, inside) in inside {
        all.push((what, Odd::holding(codec, codec.pack(&inside)?, 3, time)));
    }
    Ok(all)
}

#[test]
fn what_cannot_be_read_is_refused_and_consumers_read_through() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    let kcat = need("poison", "kcat", find_program("kcat"))?;
    for codec in Codec::ALL {
        let topic = codec.name();
        site.create(topic, &[])?;
        site.stored(topic, &line("before")?, 0)?;
        for (what, poison) in poisons(codec)? {
            for version in [3, 7, 9, 13] {
                if codec == Codec::Zstd && version < 7 {
                    continue;
                }
                let said = site.produce(version, topic, &poison.bytes())?;
                let context = format!("{what}, {topic} v{version}: {said:?}");
                ensure!((said.error_code, said.base_offset) == (INVALID_RECORD, -1), "{context}");
                ensure!(said.record_errors.is_empty(), "no record is to blame alone: {context}");
                ensure!(
                    version < 8 || said.error_message.is_some_and(|words| !words.is_empty()),
                    "{context}"
                );
                ensure!(site.wire.list_offset(topic, 0, -1)? == 1, "stored: {context}");
            }
        }
        site.stored(topic, &line("after")?, 1)?;
        let read: Vec<_> = read_partition(&mut site.wire, topic, 0)?.into_iter().map(|r| r.value).collect();
        ensure!(read == ["before", "after"], "{topic}: {read:?}");
        if let Some(kcat) = &kcat {
            let address = site.broker.addr().to_string();
            let args = ["-C", "-b", &address, "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q"];
            let read = run(kcat, &args, |_| ())?.good("kcat -C")?;
            ensure!(read == b"before\nafter\n", "{topic}: {}", String::from_utf8_lossy(&read));
        }
    }
    site.end()
}

#[test]
fn the_latest_timestamp_is_that_of_the_records() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    let now = now();
    let times = [now - MINUTE, now - MINUTE / 2, now];
    let lies = [-1, 0, now - MINUTE / 2, now, now + 1000, now + 600 * MINUTE, i64::MAX, i64::MIN];
    let mut kept = Vec::new();
    for codec in Codec::ALL {
        for (n, lie) in lies.into_iter().enumerate() {
            let topic = format!("{}-{n}", codec.name());
            let honest = Odd::of_times(codec, &times)?;
            let sent = Odd { max_timestamp: lie, ..honest.clone() };
            site.create(&topic, &[])?;
            site.stored(&topic, &sent.bytes(), 0).with_context(|| format!("{topic}: {lie}"))?;
            kept.push((topic, honest.bytes()));
        }
    }
    let look = |site: &mut Site, when: &str| {
        for (topic, honest) in &kept {
            let stored = whole_batches(site.wire.fetch(topic, 0, 0, 0)?.records);
            ensure!(stored.len() == 1 && stored[0][16..] == honest[16..], "{when} {topic}: {stored:?}");
            let mut found = Vec::new();
            for at in [now - MINUTE, now - MINUTE + 1, now - MINUTE / 2, now - 1, now, now + 1, -3] {
                found.push(site.wire.list_offset(topic, 0, at)?);
            }
            ensure!(found == [0, 1, 1, 2, 2, -1, 2], "{when} {topic}: {found:?}");
        }
        Ok(())
    };
    look(&mut site, "at once")?;
    site.killed()?;
    look(&mut site, "after a kill")?;
    site.restarted()?;
    look(&mut site, "after a restart")?;
    site.end()
}

#[test]
fn honest_batches_are_stored_as_they_were_sent() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    for codec in Codec::ALL {
        let topic = codec.name();
        site.create(topic, &[])?;
        let time = now();
        let mut sent = vec![
            Odd::of_times(codec, &[time])?,
            Odd::of_times(codec, &[time, time - MINUTE, time - 2])?,
            Odd::of_times(codec, &vec![time; 3000])?,
            // The base is below the first record's time; the sums are right.
            Odd { base_timestamp: 0, ..Odd::holding(codec, codec.pack(&record(0, time))?, 1, time) },
            Odd::of_times(codec, &[-1, -1])?,
        ];
        // The broker keeps a bit without a meaning for clients that will know it.
        sent.push(Odd { attributes: codec.bits() | 0x80, ..sent[0].clone() });
        let mut next = 0;
        for batch in &sent {
            let bytes = batch.bytes();
            site.stored(topic, &bytes, next)?;
            let stored = whole_batches(site.wire.fetch(topic, 0, next, 0)?.records);
            let stored = stored.first().context("nothing is served")?;
            ensure!(stored[..8] == next.to_be_bytes(), "{topic}: base offset at {next}");
            ensure!(
                stored[8..12] == bytes[8..12] && stored[16..] == bytes[16..],
                "{topic}: changed at {next}"
            );
            next += i64::from(batch.count);
        }
    }
    site.end()
}

#[test]
fn producers_that_are_trusted_are_believed_where_a_topic_says_so() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    for (topic, value) in [("trusted", "false"), ("proved", "true")] {
        site.create(topic, &[("callboard.validate.records", value)])?;
    }
    for codec in Codec::ALL.into_iter().filter(|codec| *codec != Codec::Plain) {
        for (what, poison) in unreadable(codec, now())? {
            let end = site.wire.list_offset("trusted", 0, -1)?;
            site.stored("trusted", &poison.bytes(), end)
                .with_context(|| format!("{what}, {}", codec.name()))?;
            site.refused("proved", &poison.bytes(), INVALID_RECORD)?;
        }
    }
    // The broker checks the head all the same.
    let sound = Odd::holding(Codec::Gzip, Codec::Gzip.pack(&records(3))?, 3, now());
    for (what, wrong, code) in [
        ("count and last offset", Odd { count: 5, ..sound.clone() }, INVALID_RECORD),
        ("count 0", Odd { count: 0, last_offset_delta: -1, ..sound.clone() }, INVALID_RECORD),
        ("base offset", Odd { base_offset: 9, ..sound.clone() }, INVALID_RECORD),
        ("control", Odd { attributes: 0x21, ..sound.clone() }, INVALID_RECORD),
    ] {
        site.refused("trusted", &wrong.bytes(), code).with_context(|| what)?;
    }
    let mut rotten = sound.bytes().to_vec();
    rotten[20] ^= 1;
    site.refused("trusted", &rotten.into(), 2)?;
    // The config can be taken back.
    site.set("trusted", "callboard.validate.records", "true")?;
    for (_, poison) in unreadable(Codec::Zstd, now())? {
        site.refused("trusted", &poison.bytes(), INVALID_RECORD)?;
    }
    site.end()
}

/// The broker may open large batches elsewhere than small ones; none of them may pass another.
#[test]
fn batches_of_one_connection_keep_their_order() -> Result<()> {
    const BATCHES: usize = 60;
    let mut site = Site::start(Options::default())?;
    site.create("order", &[])?;
    let (id, epoch) = site.wire.init_producer_id()?;
    let (mut sequence, mut bases) = (0, Vec::new());
    for n in 0..BATCHES {
        let codec = Codec::ALL[n % Codec::ALL.len()];
        // Large ones open to half a megabyte.
        let count = if n % 2 == 0 { (500_000 / VALUE.len()) as i32 } else { 1 };
        let batch = Odd::of_times(codec, &vec![now(); count as usize])?;
        let batch = Odd { producer: (id, epoch, sequence), ..batch };
        ensure!(batch.payload.len() < 1_000_000, "it is too large to be sent");
        site.wire.send_batch("order", 0, -1, batch.bytes())?;
        bases.push(i64::from(sequence));
        sequence += count;
    }
    for (n, base) in bases.into_iter().enumerate() {
        let said = site.wire.receive_batch()?;
        ensure!(said == (0, base), "batch {n}: {said:?}, {base} was due");
    }
    site.end()
}
