//! kill -9 under load, again and again, and no acknowledged record may be lost.
//!
//! `unsettled_bytes_max` and the segments are shrunk to 1 MiB, so that the broker settles, recycles and recovers all the
//! time. Kills come at a random number of acknowledgements (seeded), within a settle and within a recovery; whether one
//! hit is read from what the broker has logged when it is dead. Idempotent and plain producers run at once, and a
//! consumer per partition reads at the tail. Then every partition is read and judged, record by record.

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use callboard_cluster_tests::process::load::{Load, Rng, Script};
use callboard_cluster_tests::process::verdict::{Read, judge, read_at, read_partition};
use callboard_cluster_tests::process::wire::Wire;
use callboard_cluster_tests::process::{Broker, HANG, Lines, Options, say};

const MIB: u64 = 1 << 20;
const TOPIC: &str = "under-fire";
const PARTITIONS: i32 = 6;
/// Producers of each kind.
const PRODUCERS: u32 = 2;
const KILLS: u32 = 20;
const WITHIN: u32 = 5;

#[derive(Clone, Copy, Default, Debug)]
struct Kills {
    all: u32,
    in_settle: u32,
    in_recovery: u32,
}

impl Kills {
    fn enough(self) -> bool {
        self.all >= kills_wanted() && self.in_settle >= WITHIN && self.in_recovery >= WITHIN
    }
}

/// As many kills as `CALLBOARD_KILLS` says: once, by hand, a hundred.
fn kills_wanted() -> u32 {
    std::env::var("CALLBOARD_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS)
}

#[test]
fn one_shard_loses_nothing() -> Result<()> {
    // Large runs stay in the journal, and have to leave it all the time.
    under_fire(1, 0xca11_b0a2, Some(8 * MIB))
}

#[test]
fn two_shards_lose_nothing() -> Result<()> {
    // Large runs stay in the journal for good.
    under_fire(2, 0x0bad_5eed, None)
}

fn under_fire(shards: u32, seed: u64, journal: Option<u64>) -> Result<()> {
    let mut options = Options { shards, ..Options::default() }
        .with_env("CALLBOARD_SEGMENT_BYTES", MIB)
        .with_env("CALLBOARD_UNSETTLED_BYTES_MAX", MIB);
    if let Some(journal) = journal {
        options = options.with_env("CALLBOARD_JOURNAL_BYTES_MAX", journal);
    }
    let mut broker = Broker::start(options)?;
    Wire::connect(broker.addr())?.create_topic(TOPIC, PARTITIONS)?;
    let script = Script::now(seed);
    let load = Load::new(broker.addr(), TOPIC, PARTITIONS, script);
    let producers: Vec<_> = (0..2 * PRODUCERS).map(|id| load.producer(id, id < PRODUCERS)).collect();
    let consumers: Vec<_> = (0..PARTITIONS).map(|partition| consumer(&load, &broker, partition)).collect();

    let fired = fire(&mut broker, &load, &mut Rng::new(seed));
    if fired.is_err() {
        load.abandon();
    }
    load.stop();
    let (mut ledgers, mut failed) = (Vec::new(), Vec::new());
    for producer in producers {
        match join(producer) {
            Ok(ledger) => ledgers.push(ledger),
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    let seen = consumers.into_iter().map(join).collect::<Result<Vec<_>>>()?;
    let kills = match fired {
        Ok(kills) if failed.is_empty() => kills,
        // What a producer saw tells more than that the load has stopped.
        Ok(kills) => return Err(broker.broken(&format!("{kills:?}; {}", failed.join("; ")))),
        Err(error) => return Err(broker.broken(&format!("{error:#}; {}", failed.join("; ")))),
    };
    let first = read_all(&broker)?;
    let counts = judge(script, &ledgers, &first, &seen).map_err(|e| broker.broken(&format!("{e:#}")))?;
    broker.stop()?;
    broker.restart()?;
    if read_all(&broker)? != first {
        bail!("an orderly restart changed what is read");
    }
    broker.stop()?;
    let consumed: usize = seen.iter().map(Vec::len).sum();
    if consumed == 0 {
        bail!("the consumers saw nothing while the broker was dying");
    }
    let resent: u64 = ledgers.iter().map(|l| l.resent).sum();
    say(&format!(
        "kill -9, S={shards}, seed {seed:#x}: {} kills, {} within a settle, {} within a recovery; records: {} \
         acknowledged, {} read, {consumed} of them seen between the kills; {resent} batches sent again; unanswered \
         records of plain producers: {} there, {} not",
        kills.all,
        kills.in_settle,
        kills.in_recovery,
        counts.acked,
        counts.read,
        counts.unknown_there,
        counts.unknown_absent
    ));
    Ok(())
}

fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread of the test panicked"))?
}

/// Kills until there have been enough of each kind. The broker serves when this returns.
fn fire(broker: &mut Broker, load: &Load, rng: &mut Rng) -> Result<Kills> {
    let mut kills = Kills::default();
    while !kills.enough() {
        // So many may miss before the suite says that it cannot hit.
        if kills.all > 6 * kills_wanted() {
            bail!("{kills:?} after so many kills: the broker is too quick to be hit, or says nothing");
        }
        load.wait_acked(1 + rng.below(600), || broker.running())?;
        match rng.below(3) {
            0 => kill_in_settle(broker, &mut kills)?,
            1 => kill_in_recovery(broker, &mut kills)?,
            _ => kill(broker, &mut kills)?,
        }
        broker.restart().with_context(|| format!("the restart after {kills:?}"))?;
    }
    // The last life too is one that serves.
    load.wait_acked(50, || broker.running())?;
    Ok(kills)
}

fn kill(broker: &mut Broker, kills: &mut Kills) -> Result<()> {
    broker.kill9()?;
    kills.all += 1;
    kills.in_settle += u32::from(died_within(broker.lines(), "settle"));
    kills.in_recovery += u32::from(died_within(broker.lines(), "recovery"));
    Ok(())
}

fn kill_in_settle(broker: &mut Broker, kills: &mut Kills) -> Result<()> {
    let from = broker.lines().seen();
    if broker.lines().wait_for("settle started", from, HANG).is_none() {
        return Err(broker.broken("under load it did not settle"));
    }
    kill(broker, kills)
}

fn kill_in_recovery(broker: &mut Broker, kills: &mut Kills) -> Result<()> {
    kill(broker, kills)?;
    broker.launch()?;
    if broker.lines().wait_for("recovery started", 0, HANG).is_none() {
        return Err(broker.broken("killed, it did not recover"));
    }
    kill(broker, kills)
}

/// Whether some shard had begun `what` and not ended it.
fn died_within(lines: &Lines, what: &str) -> bool {
    let lines = lines.since(0);
    (0..64).any(|shard| {
        let count = |word: &str| {
            let text = format!("shard {shard}: {what} {word}");
            lines.iter().filter(|line| line.contains(&text)).count()
        };
        count("started") > count("finished")
    })
}

/// Reads at the tail of a partition, through all deaths, and keeps what it saw.
fn consumer(load: &Arc<Load>, broker: &Broker, partition: i32) -> JoinHandle<Result<Vec<Read>>> {
    let (load, addr) = (Arc::clone(load), broker.addr());
    std::thread::spawn(move || {
        let mut seen: Vec<Read> = Vec::new();
        let mut wire = None;
        while !load.stopped() {
            let next = seen.last().map_or(0, |read| read.offset + 1);
            wire = match wire.take() {
                None => Wire::connect(addr).ok(),
                Some(mut wire) => match read_at(&mut wire, TOPIC, partition, next, 100) {
                    Ok(reads) => {
                        seen.extend(reads);
                        Some(wire)
                    }
                    Err(_) => None,
                },
            };
            if wire.is_none() {
                // What a client does between two attempts to connect.
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        Ok(seen)
    })
}

fn read_all(broker: &Broker) -> Result<Vec<Vec<Read>>> {
    let mut wire = Wire::connect(broker.addr())?;
    (0..PARTITIONS).map(|partition| read_partition(&mut wire, TOPIC, partition)).collect()
}
