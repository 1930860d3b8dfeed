//! Compressed batches that no consumer could open are refused, and real clients read what lies before and behind them.
//!
//! ```text
//!   a topic for each codec and each kind of poison:   before │ poison, refused │ after
//!   kcat, confluent-kafka (librdkafka) and aiokafka read every topic to its end
//! ```
//! `CALLBOARD_ORACLE=host:port` asks a running Kafka instead of the built broker; the codes are those of Apache Kafka 4.3.

#[path = "clients_poison/batches.rs"]
mod batches;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use batches::{Codec, KINDS};
use bytes::Bytes;
use callboard_cluster_tests::process::wire::{RETRY, Wire, code};
use callboard_cluster_tests::process::{Broker, HANG, Options, find_program, find_python, need, run};

/// What is read from each topic.
type Values = BTreeMap<String, Vec<String>>;

/// `INVALID_RECORD`, and `UNKNOWN_SERVER_ERROR`: Kafka says the one or the other, as its decompressor fails.
const REFUSED: [i16; 2] = [87, -1];

/// The code of the answer. A topic shows a little after its creation was answered.
fn write(wire: &mut Wire, topic: &str, batch: Bytes) -> Result<i16> {
    let begun = Instant::now();
    loop {
        wire.send_batch(topic, 0, -1, batch.clone())?;
        match wire.receive_batch()?.0 {
            error if code::retriable(error) && begun.elapsed() < HANG => std::thread::sleep(RETRY),
            answer => return Ok(answer),
        }
    }
}

/// Fills the topics; what has to be read from each. `as_kafka`: a batch that Kafka takes has to be taken, and its topic is
/// left out.
fn fill(addr: SocketAddr, as_kafka: bool) -> Result<Values> {
    let mut wire = Wire::connect(addr)?;
    let (mut values, mut wrong) = (Values::new(), Vec::new());
    for codec in Codec::ALL {
        for (kind, taken) in KINDS {
            let topic = format!("{codec:?}-{kind}-{}", uuid::Uuid::new_v4().simple()).to_lowercase();
            wire.create_topic(&topic, 1)?;
            let before = write(&mut wire, &topic, codec.good("before")?)?;
            let answer = write(&mut wire, &topic, codec.poison(kind)?)?;
            let after = write(&mut wire, &topic, codec.good("after")?)?;
            ensure!((before, after) == (0, 0), "{topic}: sound batches were answered {before} and {after}");
            if as_kafka && taken.contains(&codec) {
                ensure!(answer == 0, "{topic}: Kafka takes this no more; it answered {answer}");
                continue;
            }
            if !REFUSED.contains(&answer) {
                wrong.push(format!("{codec:?}, {kind}: answered {answer}"));
            }
            values.insert(topic, ["before", "after"].map(str::to_owned).to_vec());
        }
    }
    ensure!(
        wrong.is_empty(),
        "consumers cannot open these, and they were not refused:\n{}",
        wrong.join("\n")
    );
    ensure!(values.len() >= 30, "only {} topics", values.len());
    Ok(values)
}

fn kcat(program: &Path, bootstrap: &str, topics: &Values) -> Result<Values> {
    let read = |topic: &String| {
        let args = ["-C", "-b", bootstrap, "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q"];
        let out = run(program, &args, |_| ())?.good("kcat -C")?;
        Ok((topic.clone(), String::from_utf8(out)?.lines().map(str::to_owned).collect()))
    };
    topics.keys().map(read).collect()
}

fn script(program: &Path, package: &str, bootstrap: &str, topics: &Values) -> Result<Values> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/values.py");
    let path = path.to_string_lossy();
    let args: Vec<&str> =
        ["-B", &path, package, bootstrap].into_iter().chain(topics.keys().map(String::as_str)).collect();
    let out = String::from_utf8(run(program, &args, |_| ())?.good(package)?)?;
    let line = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        Some((words.next()?, words.collect()))
    };
    Ok(out.lines().filter_map(line).collect())
}

#[test]
fn readers_pass_where_a_batch_that_cannot_be_opened_was_refused() -> Result<()> {
    let kcat_at = need("clients_poison", "kcat", find_program("kcat"))?;
    let confluent_at =
        need("clients_poison", "python3 with confluent_kafka", find_python("confluent_kafka"))?;
    let aiokafka_at = need("clients_poison", "python3 with aiokafka", find_python("aiokafka"))?;
    let oracle = std::env::var("CALLBOARD_ORACLE").ok();
    let broker =
        oracle.is_none().then(|| Broker::start(Options { shards: 2, ..Options::default() })).transpose()?;
    let addr = match &broker {
        Some(broker) => broker.addr(),
        None => oracle.unwrap_or_default().parse().context("CALLBOARD_ORACLE is HOST:PORT")?,
    };
    let (bootstrap, wanted) = (addr.to_string(), fill(addr, broker.is_none())?);
    if let Some(program) = kcat_at {
        same("kcat", &kcat(&program, &bootstrap, &wanted)?, &wanted)?;
    }
    for (package, program) in [("confluent_kafka", confluent_at), ("aiokafka", aiokafka_at)] {
        if let Some(program) = program {
            same(package, &script(&program, package, &bootstrap, &wanted)?, &wanted)?;
        }
    }
    broker.map_or(Ok(()), |mut broker| broker.stop())
}

fn same(client: &str, read: &Values, wanted: &Values) -> Result<()> {
    let other = wanted.iter().filter(|(topic, values)| read.get(*topic) != Some(*values));
    let lines: Vec<String> =
        other.map(|(topic, values)| format!("{topic}: {:?}, wanted {values:?}", read.get(topic))).collect();
    ensure!(lines.is_empty(), "{client} read\n{}", lines.join("\n"));
    Ok(())
}
