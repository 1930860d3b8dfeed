//! kcat (librdkafka in C) against the built broker: a real file goes in and comes out byte for byte, also after a
//! kill -9 and after an orderly restart. And as a group whose members come, go, and are killed.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::process::load::Rng;
use callboard_cluster_tests::process::wire::{RETRY, Wire};
use callboard_cluster_tests::process::{Broker, HANG, Options, Running, find_program, need, run};

const LINES: usize = 120_000;

fn kcat() -> Result<Option<PathBuf>> {
    need("clients_kcat", "kcat", find_program("kcat"))
}

/// Lines as logs have them: of all lengths, never empty (kcat leaves those out), some not ASCII, a few very long.
fn lines(count: usize, seed: u64) -> String {
    let mut rng = Rng::new(seed);
    let words = [
        "prompt",
        "call",
        "Bühne",
        "curtain",
        "half-hour",
        "幕間",
        "places",
        "\tcue",
        "  exit",
        "\"quoted\"",
        "{}",
    ];
    let mut text = String::new();
    for n in 0..count {
        // Writing to a String cannot fail.
        let _ = write!(text, "{n} {:016x}", rng.any());
        let more = if rng.below(2_000) == 0 { 3_000 } else { rng.below(12) };
        for _ in 0..more {
            text.push(' ');
            text.push_str(words[rng.below(words.len() as u64) as usize]);
        }
        text.push('\n');
    }
    text
}

fn produce(kcat: &Path, broker: &mut Broker, topic: &str, file: &Path, more: &[&str]) -> Result<()> {
    let (bootstrap, file) = (broker.bootstrap(), file.to_string_lossy());
    let args = [&["-P", "-b", &bootstrap, "-t", topic, "-p", "0", "-l", &file], more].concat();
    let done = run(kcat, &args, |_| ())?.good("kcat -P");
    done.map(drop).map_err(|error| broker.broken(&format!("{error:#}")))
}

fn consume(kcat: &Path, broker: &mut Broker, topic: &str) -> Result<Vec<u8>> {
    let bootstrap = broker.bootstrap();
    let args = ["-C", "-b", &bootstrap, "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q"];
    let done = run(kcat, &args, |_| ())?.good("kcat -C");
    done.map_err(|error| broker.broken(&format!("{error:#}")))
}

/// Names the first place where two files differ: the files themselves are too long for a message.
fn same(got: &[u8], wanted: &[u8], what: &str) -> Result<()> {
    if got == wanted {
        return Ok(());
    }
    let at = got.iter().zip(wanted).position(|(a, b)| a != b).unwrap_or_else(|| got.len().min(wanted.len()));
    let line = wanted[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    let (got_len, wanted_len) = (got.len(), wanted.len());
    anyhow::bail!(
        "{what}: {got_len} bytes where {wanted_len} were produced; they differ at byte {at}, in line {line}"
    )
}

#[test]
fn a_file_comes_back_byte_for_byte_also_after_kill_9() -> Result<()> {
    let Some(kcat) = kcat()? else { return Ok(()) };
    let mut broker = Broker::start(Options::default())?;
    let text = lines(LINES, 1);
    let file = broker.dir().join("lines");
    std::fs::write(&file, &text)?;
    produce(&kcat, &mut broker, "file", &file, &[])?;
    same(&consume(&kcat, &mut broker, "file")?, text.as_bytes(), "read back")?;
    broker.kill9()?;
    broker.restart()?;
    same(&consume(&kcat, &mut broker, "file")?, text.as_bytes(), "after kill -9")?;
    let second = lines(1_000, 2);
    std::fs::write(&file, &second)?;
    produce(&kcat, &mut broker, "file", &file, &["-X", "enable.idempotence=true"])?;
    let both = text + &second;
    same(&consume(&kcat, &mut broker, "file")?, both.as_bytes(), "appended after kill -9")?;
    broker.stop()?;
    broker.restart()?;
    same(&consume(&kcat, &mut broker, "file")?, both.as_bytes(), "after an orderly restart")?;
    broker.stop()
}

#[test]
fn each_codec_and_each_kind_of_acknowledgement() -> Result<()> {
    let Some(kcat) = kcat()? else { return Ok(()) };
    let mut broker = Broker::start(Options { shards: 2, ..Options::default() })?;
    let text = lines(10_000, 3);
    let file = broker.dir().join("lines");
    std::fs::write(&file, &text)?;
    let kinds: [(&str, &[&str]); 3] = [
        ("all", &["-X", "acks=all"]),
        ("one", &["-X", "acks=1"]),
        ("idempotent", &["-X", "enable.idempotence=true"]),
    ];
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for (kind, flags) in kinds {
            let topic = format!("{codec}-{kind}");
            let flags = [flags, &["-z", codec]].concat();
            produce(&kcat, &mut broker, &topic, &file, &flags).with_context(|| topic.clone())?;
            same(&consume(&kcat, &mut broker, &topic)?, text.as_bytes(), &topic)?;
            let mut wire = Wire::connect(broker.addr())?;
            // Old librdkafka uses lz4 only with a broker that lists FindCoordinator (key 10), which comes with groups.
            if codec != "lz4" || wire.lists(10)? {
                wire.codec_is(&topic, codec)?;
            }
        }
    }
    broker.stop()
}

const PARTITIONS: i32 = 6;

/// `-G`: a member of the group `readers`.
fn member(kcat: &Path, broker: &Broker) -> Result<Running> {
    let bootstrap = broker.bootstrap();
    let base = ["-G", "readers", "-b", &bootstrap, "-u", "-E", "-X", "auto.offset.reset=earliest"];
    let session = ["-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=200", "topic"];
    Running::start(kcat, &[&base[..], &session[..]].concat())
}

/// Asks until it is so.
fn until(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !so()? {
        ensure!(begun.elapsed() < HANG, "still not: {what}");
        std::thread::sleep(RETRY);
    }
    Ok(())
}

/// The partitions that a member has, as its last word about them says.
fn share(member: &Running) -> BTreeSet<String> {
    let lines = member.err.since(0);
    let last = lines.iter().rev().find_map(|line| line.split_once("): "));
    match last {
        Some((_, last)) => last
            .strip_prefix("assigned: ")
            .into_iter()
            .flat_map(|all| all.split(", "))
            .map(str::to_owned)
            .collect(),
        None => BTreeSet::new(),
    }
}

fn shares_are(members: &[&Running], wanted: usize) -> Result<()> {
    let settled = || {
        let shares: Vec<_> = members.iter().map(|member| share(member)).collect();
        let all: BTreeSet<_> = shares.iter().flatten().cloned().collect();
        Ok(shares.iter().all(|share| share.len() == wanted) && all.len() == PARTITIONS as usize)
    };
    until(&format!("{wanted} partitions a member"), settled)
}

/// 20 lines more for each partition, from `first` on.
fn more(kcat: &Path, broker: &mut Broker, first: usize) -> Result<()> {
    let bootstrap = broker.bootstrap();
    for partition in 0..PARTITIONS {
        let from = first + usize::try_from(partition)? * 20;
        let text = (from..from + 20).fold(String::new(), |text, n| text + &format!("{n}\n"));
        let file = broker.dir().join("more");
        std::fs::write(&file, text)?;
        let (partition, file) = (partition.to_string(), file.to_string_lossy());
        let args = ["-P", "-b", &bootstrap, "-t", "topic", "-p", &partition, "-l", &file];
        run(kcat, &args, |_| ())?.good("kcat -P").map_err(|error| broker.broken(&format!("{error:#}")))?;
    }
    Ok(())
}

/// Every line up to `count` is with one of them.
fn all_seen(members: &[&Running], count: usize) -> Result<()> {
    let wanted: BTreeSet<String> = (0..count).map(|n| n.to_string()).collect();
    let seen = || members.iter().flat_map(|member| member.out.since(0)).collect::<BTreeSet<_>>();
    until(&format!("all of {count} lines"), || Ok(seen().is_superset(&wanted)))?;
    ensure!(seen() == wanted, "lines that nobody has sent");
    Ok(())
}

#[test]
fn members_of_a_group_come_go_and_are_killed() -> Result<()> {
    let Some(kcat) = kcat()? else { return Ok(()) };
    let mut broker = Broker::start(Options { shards: 2, ..Options::default() })?;
    Wire::connect(broker.addr())?.create_topic("topic", PARTITIONS)?;
    more(&kcat, &mut broker, 0)?;
    let mut a = member(&kcat, &broker)?;
    shares_are(&[&a], 6)?;
    let mut b = member(&kcat, &broker)?;
    shares_are(&[&a, &b], 3)?;
    more(&kcat, &mut broker, 120)?;
    let mut c = member(&kcat, &broker)?;
    shares_are(&[&a, &b, &c], 2)?;
    more(&kcat, &mut broker, 240)?;
    all_seen(&[&a, &b, &c], 360)?;
    // Killed, it is missed when its session ends; what it had not committed is read again by the others.
    c.kill9()?;
    shares_are(&[&a, &b], 3)?;
    more(&kcat, &mut broker, 360)?;
    b.interrupt()?;
    shares_are(&[&a], 6)?;
    all_seen(&[&a, &b, &c], 480)?;
    // The broker itself is killed: the group goes on where it was.
    broker.kill9()?;
    broker.restart()?;
    more(&kcat, &mut broker, 480)?;
    all_seen(&[&a, &b, &c], 600)?;
    a.interrupt()?;
    broker.stop()
}
