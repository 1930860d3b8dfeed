//! Limits, retention and producers go by each record's time and the broker's clocks, never by the head's time.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::odd::{Codec, Odd};
use callboard_cluster_tests::process::wire::RETRY;
use callboard_cluster_tests::process::{HANG, Options};

use crate::site::{INVALID_TIMESTAMP, Site, now};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Kafka's words for the batch.
const WORDS: &str = "One or more records have been rejected due to invalid timestamp";
/// First version that has room for them.
const NAMED: i16 = 8;

/// A name, the records' times, the head's latest time, the records to blame.
type Case = (&'static str, Vec<i64>, i64, &'static [i32]);

fn cases(now: i64) -> Vec<Case> {
    let (old, ahead) = (now - 2 * HOUR, now + 10 * HOUR);
    vec![
        ("sound", vec![now, now, now], now, &[]),
        ("sound, a head that is too early", vec![now, now, now], ahead, &[]),
        ("sound, a head that is too old", vec![now, now, now], old, &[]),
        ("sound, no latest in the head", vec![now, now, now], -1, &[]),
        ("no time at all", vec![-1, -1, -1], -1, &[]),
        ("no time, a head too early", vec![-1, -1, -1], ahead, &[]),
        ("one without a time", vec![now, -1, now], now, &[]),
        ("second too early", vec![now, ahead, now], now, &[1]),
        ("last too early", vec![now, now, ahead], now, &[2]),
        ("first too early", vec![ahead, now, now], now, &[0]),
        ("second too old", vec![now, old, now], now, &[1]),
        ("first too old", vec![old, now, now], now, &[0]),
        ("first and last too old", vec![old, now, old], now, &[0, 2]),
        ("one too old and one too early", vec![old, now, ahead], now, &[0, 2]),
        ("all too early", vec![ahead, ahead, ahead], ahead, &[0, 1, 2]),
        ("negative", vec![now, -2, now], now, &[1]),
        ("the least there is", vec![now, i64::MIN, now], now, &[1]),
        ("the most there is", vec![now, i64::MAX, now], now, &[1]),
    ]
}

#[test]
fn limits_by_time_go_by_each_record_and_name_it() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    let limits =
        [("message.timestamp.before.max.ms", "3600000"), ("message.timestamp.after.max.ms", "3600000")];
    site.create("limits", &limits)?;
    let (mut end, time) = (0, now());
    for codec in Codec::ALL {
        for (what, times, max_timestamp, blamed) in cases(time) {
            let batch = Odd { max_timestamp, ..Odd::of_times(codec, &times)? }.bytes();
            if blamed.is_empty() {
                site.stored("limits", &batch, end).with_context(|| format!("{what}, {}", codec.name()))?;
                end += times.len() as i64;
                continue;
            }
            let versions = 3..=13;
            for version in versions.filter(|version| codec != Codec::Zstd || *version >= 7) {
                let (before, said) = (now(), site.produce(version, "limits", &batch)?);
                let after = now();
                let context = format!("{what}, {} v{version}: {said:?}", codec.name());
                ensure!((said.error_code, said.base_offset) == (INVALID_TIMESTAMP, -1), "{context}");
                ensure!(site.wire.list_offset("limits", 0, -1)? == end, "stored: {context}");
                if version < NAMED {
                    continue;
                }
                let said_words = said.error_message.as_ref().map(|words| words.to_string());
                ensure!(said_words.as_deref() == Some(WORDS), "{context}");
                let named: Vec<i32> = said.record_errors.iter().map(|error| error.batch_index).collect();
                ensure!(named == blamed, "{context}");
                for error in &said.record_errors {
                    let (n, words) = (error.batch_index, error.batch_index_error_message.as_ref());
                    let words = words.with_context(|| context.clone())?.to_string();
                    // The broker read its clock in between.
                    let right = (before..=after).any(|clock| {
                        let (from, to) = (clock - HOUR, clock + HOUR);
                        words
                            == format!(
                                "Timestamp {} of message with offset {n} is out of range. The timestamp should be within [{from}, {to}]",
                                times[n as usize]
                            )
                    });
                    ensure!(right, "{words}: {context}");
                }
            }
        }
    }
    site.end()
}

#[test]
fn under_log_append_time_nobody_is_to_blame() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    let configs =
        [("message.timestamp.type", "LogAppendTime"), ("message.timestamp.before.max.ms", "3600000")];
    site.create("stamped", &configs)?;
    let (mut end, time) = (0, now());
    for codec in Codec::ALL {
        for (what, times, max_timestamp, _) in cases(time) {
            let batch = Odd { max_timestamp, ..Odd::of_times(codec, &times)? };
            let said = site.produce(9, "stamped", &batch.bytes())?;
            let context = || format!("{what}, {}: {said:?}", codec.name());
            ensure!((said.error_code, said.base_offset) == (0, end), "{}", context());
            ensure!((time..=now()).contains(&said.log_append_time_ms), "{}", context());
            end += times.len() as i64;
        }
    }
    site.end()
}

#[test]
fn retention_by_time_goes_by_the_records() -> Result<()> {
    let options = Options::default()
        .with_env("CALLBOARD_SEGMENT_BYTES", 64 << 10)
        .with_env("CALLBOARD_UNSETTLED_BYTES_MAX", 128 << 10)
        .with_env("CALLBOARD_LOG_RETENTION_CHECK_INTERVAL_MS", 20);
    let mut site = Site::start(options)?;
    let hour = [("retention.ms", "3600000")];
    let time = now();
    // Fresh records behind a head that says 1970, and stale ones behind a head that says now.
    let cases = [
        ("fresh", [time - MINUTE, time], 0),
        ("unset", [time - MINUTE, time], -1),
        ("stale", [time - DAY; 2], time),
    ];
    for codec in Codec::ALL {
        for (what, times, max_timestamp) in cases {
            let topic = format!("{what}-{}", codec.name());
            site.create(&topic, &hour)?;
            let batch = Odd { max_timestamp, ..Odd::of_times(codec, &times)? };
            site.stored(&topic, &batch.bytes(), 0)?;
        }
    }
    let judged = |site: &mut Site, beside: &str| {
        for codec in Codec::ALL {
            begins(site, &format!("stale-{}", codec.name()), 2)?;
        }
        // By the time a topic made later has been looked at, all others have been too.
        site.create(beside, &hour)?;
        site.stored(beside, &Odd::of_times(Codec::Plain, &[time - DAY])?.bytes(), 0)?;
        begins(site, beside, 1)?;
        for (what, codec) in
            ["fresh", "unset"].into_iter().flat_map(|what| Codec::ALL.map(|codec| (what, codec)))
        {
            let topic = format!("{what}-{}", codec.name());
            ensure!(site.wire.list_offset(&topic, 0, -2)? == 0, "{topic} has expired");
        }
        Ok(())
    };
    judged(&mut site, "beside")?;
    site.killed()?;
    judged(&mut site, "beside-again")?;
    site.end()
}

/// Waits until the log begins there.
fn begins(site: &mut Site, topic: &str, offset: i64) -> Result<()> {
    let begun = Instant::now();
    while site.wire.list_offset(topic, 0, -2)? != offset {
        ensure!(begun.elapsed() < HANG, "{topic} does not begin at {offset}");
        std::thread::sleep(RETRY);
    }
    Ok(())
}

/// A producer sends a batch again when it has no answer, after a restart too; the batch's times change nothing.
#[test]
fn a_batch_sent_again_is_known_whatever_its_times() -> Result<()> {
    let options = Options::default()
        .with_env("CALLBOARD_SEGMENT_BYTES", 64 << 10)
        .with_env("CALLBOARD_UNSETTLED_BYTES_MAX", 128 << 10);
    let mut site = Site::start(options)?;
    let time = now();
    let mut sent = Vec::new();
    for codec in [Codec::Plain, Codec::Lz4] {
        for (what, times, max_timestamp) in [
            ("now", [time; 3], time),
            ("unset", [time; 3], -1),
            ("zero", [time; 3], 0),
            ("backfill", [time - 2 * DAY; 3], time - 2 * DAY),
            ("timeless", [-1; 3], -1),
        ] {
            let topic = format!("{what}-{}", codec.name());
            site.create(&topic, &[("retention.ms", "-1")])?;
            let (id, epoch) = site.wire.init_producer_id()?;
            let batch = Odd { max_timestamp, ..Odd::of_times(codec, &times)? };
            let first = Odd { producer: (id, epoch, 0), ..batch.clone() };
            let next = Odd { producer: (id, epoch, 3), ..batch };
            site.stored(&topic, &first.bytes(), 0)?;
            sent.push((topic, first, next));
        }
    }
    // These make the broker settle: it writes the producers it knows into the database then.
    site.create("filler", &[])?;
    for n in 0..100 {
        let batch = Odd::of_times(Codec::Plain, &vec![time; 200])?;
        site.stored("filler", &batch.bytes(), n * 200)?;
    }
    let again = |site: &mut Site, when: &str, next: bool| {
        for (topic, first, second) in &sent {
            site.stored(topic, &first.bytes(), 0).with_context(|| format!("{when}, the first again"))?;
            if next {
                site.stored(topic, &second.bytes(), 3).with_context(|| format!("{when}, the second"))?;
            }
            let end = if next { 6 } else { 3 };
            ensure!(site.wire.list_offset(topic, 0, -1)? == end, "{when}: {topic} holds a batch twice");
        }
        Ok(())
    };
    again(&mut site, "at once", false)?;
    site.restarted()?;
    again(&mut site, "after a restart", false)?;
    site.killed()?;
    again(&mut site, "after a kill", true)?;
    site.restarted()?;
    again(&mut site, "after another restart", true)?;
    site.end()
}
