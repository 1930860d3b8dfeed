//! kcat (librdkafka in C) against the built broker: a real file goes in and comes out byte for byte, also after a
//! kill -9 and after an orderly restart.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use callboard_cluster_tests::process::load::Rng;
use callboard_cluster_tests::process::wire::Wire;
use callboard_cluster_tests::process::{Broker, Options, find_program, need, run};

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
