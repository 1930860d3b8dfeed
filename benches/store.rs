//! The store against the disk below it: `cargo bench --bench store`, or a few seconds of it with `-- --quick`.
//!
//! ```text
//!   a round:  store      a new data directory, a real shard with its threads, settling all the while
//!             append     the same bytes a group to a new file: write, fdatasync
//!             overwrite  the same into a file that was zeroed and synced before
//! ```
//!
//! One run does all three in turns, in one directory. A disk's speed changes by the hour, so only ratios of neighbours mean
//! anything. A store lap begins after the first settle, so that its segments are recycled ones. Bytes that are unsettled at
//! its end are settled afterwards and not counted; the bench prints the settled share. It asserts nothing.
//!
//! `CALLBOARD_BENCH_DIR` names the place of the data (default `target/bench-data`). `CALLBOARD_BENCH_UNSETTLED_MIB` sets
//! `unsettled_bytes_max`. `CALLBOARD_BENCH_ONLY` is a part of a scenario's name.

#[path = "store/load.rs"]
mod load;
#[path = "store/meter.rs"]
mod meter;
#[path = "store/raw.rs"]
mod raw;

use anyhow::{Context, bail};
use callboard::storage::{EngineOptions, Opened, Readers, RealDisk, ShardHandle, Store, StoreOptions};
use callboard_actors::ports::Admission;
use callboard_core::storage::{ENTRY_HEADER, GROUP_HEADER, aligned};
use load::{Driven, Load, Shape};
use meter::{Counts, Meter, SyncTimes, cpu_by_thread, median, percentile};
use raw::{RawLap, Stint};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MIB: u64 = 1 << 20;
/// Names of the store's threads.
const STORE_THREADS: [&str; 3] = ["journal-0", "settle-0", "maker-0"];

/// One load, how long it runs, and its targets.
struct Scenario {
    name: &'static str,
    shape: Shape,
    /// Least ratio of the store to append, and to overwrite.
    targets: (f64, Option<f64>),
    /// Least seconds of all store laps together.
    store_seconds: f64,
    /// Least bytes of all store laps together, in multiples of `unsettled_bytes_max`.
    windows: u64,
    /// Bounds of one store lap.
    store: Stint,
    raw: Stint,
}

struct Setup {
    dir: PathBuf,
    quick: bool,
    engine: EngineOptions,
    meter: Meter,
}

/// The measurements of one store lap.
struct StoreLap {
    driven: Driven,
    counts: Counts,
    syncs: SyncTimes,
    /// CPU seconds by thread.
    cpu: BTreeMap<String, f64>,
    written: u64,
    settled: u64,
}

struct Round {
    store: StoreLap,
    append: RawLap,
    overwrite: RawLap,
    entries: u64,
}

fn scenarios(quick: bool) -> [Scenario; 2] {
    let stint = |seconds: f64, mib| Stint { time: Duration::from_secs_f64(seconds), bytes: mib * MIB };
    let (store, raw) =
        if quick { (stint(1.0, 256), stint(0.4, 128)) } else { (stint(10.0, 1536), stint(5.0, 1024)) };
    // Small batches fill a lap's bytes later than its time: shorter laps make as many rounds.
    let short = Stint { time: store.time / 2, ..store };
    let scenario = |name, partitions, batch, records, lump, targets, least: f64, windows, store| Scenario {
        name,
        shape: Shape { partitions, batch, records, lump },
        targets,
        store_seconds: if quick { 2.0 } else { least },
        windows: if quick { 0 } else { windows },
        store,
        raw,
    };
    [
        scenario("64 KiB batches, 8 a group", 100, 64 << 10, 64, 8, (1.0, Some(0.8)), 60.0, 8, store),
        scenario("1 KiB batches, 256 in flight", 1000, 1 << 10, 1, 128, (0.4, None), 30.0, 0, short),
    ]
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` says `--bench`. Other runs (`cargo test --benches`) only check that the bench works.
    let quick = args.iter().any(|a| a == "--quick") || !args.iter().any(|a| a == "--bench");
    let base = std::env::var_os("CALLBOARD_BENCH_DIR").map_or_else(default_dir, PathBuf::from);
    let mut engine = EngineOptions::default();
    if quick {
        engine.unsettled_bytes_max = 32 * MIB;
        engine.segment_bytes = 16 * MIB;
    }
    if let Ok(mib) = std::env::var("CALLBOARD_BENCH_UNSETTLED_MIB") {
        engine.unsettled_bytes_max = mib.parse::<u64>().context("CALLBOARD_BENCH_UNSETTLED_MIB")? * MIB;
    }
    // The bench removes its own directory at the end, and nothing else in the given one.
    let dir = base.join(format!("store-{}", std::process::id()));
    let setup = Setup { dir, quick, engine, meter: Meter::install()? };
    let only = std::env::var("CALLBOARD_BENCH_ONLY").unwrap_or_default();
    let ran = scenarios(quick)
        .iter()
        .filter(|scenario| scenario.name.contains(&only))
        .try_for_each(|scenario| report(scenario, &setup, &run(scenario, &setup)?));
    let _ = std::fs::remove_dir_all(&setup.dir);
    ran
}

fn default_dir() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    target
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from)
        .join("bench-data")
}

fn run(scenario: &Scenario, setup: &Setup) -> anyhow::Result<Vec<Round>> {
    println!("\n{}, {} partitions", scenario.name, scenario.shape.partitions);
    let batch = load::batch(scenario.shape)?;
    let pool: Vec<u8> = batch.iter().copied().cycle().take(load::POOL_BYTES).collect();
    let (mut rounds, mut seconds, mut bytes): (Vec<Round>, f64, u64) = (Vec::new(), 0.0, 0);
    while seconds < scenario.store_seconds
        || bytes < scenario.windows * setup.engine.unsettled_bytes_max
        || rounds.len() < 3
    {
        let _ = std::fs::remove_dir_all(&setup.dir);
        std::fs::create_dir_all(&setup.dir).with_context(|| format!("{}", setup.dir.display()))?;
        let store = store_lap(scenario, setup, &batch)?;
        let groups = store.counts.groups.max(1);
        let entries = ((store.counts.entries + groups / 2) / groups).max(1);
        let group = aligned(GROUP_HEADER as u64 + entries * (ENTRY_HEADER + batch.len()) as u64) as usize;
        // Each goes first as often as the other, so both share the work that the store's removal leaves to the disk.
        let (append, overwrite) = if rounds.len() % 2 == 0 {
            let first = raw::append(&setup.dir, group, &pool, scenario.raw)?;
            (first, raw::overwrite(&setup.dir, group, &pool, scenario.raw)?)
        } else {
            let first = raw::overwrite(&setup.dir, group, &pool, scenario.raw)?;
            (raw::append(&setup.dir, group, &pool, scenario.raw)?, first)
        };
        seconds += store.driven.seconds;
        bytes += store.written;
        let round = Round { store, append, overwrite, entries };
        let rates = rates(&round, batch.len());
        println!(
            "  round {}: store {:.0} MB/s (groups of {:.1}, {} settles, {:.0} % settled, gate closed {:.1} of {:.1} s), \
             append {:.0}, overwrite {:.0}",
            rounds.len() + 1,
            rates[0],
            round.store.counts.entries as f64 / groups as f64,
            round.store.counts.settles,
            100.0 * round.store.settled as f64 / round.store.written as f64,
            round.store.driven.gated,
            round.store.driven.seconds,
            rates[1],
            rates[2],
        );
        rounds.push(round);
    }
    Ok(rounds)
}

fn store_lap(scenario: &Scenario, setup: &Setup, batch: &[u8]) -> anyhow::Result<StoreLap> {
    let data = setup.dir.join("data");
    let options = StoreOptions {
        shards: Some(1),
        default_shards: 1,
        boot_id: callboard_core::storage::Boot::from("bench"),
        journal_bytes_max: None,
        engine: setup.engine,
    };
    let mut store = Store::open(Arc::new(RealDisk), &data, &options)?;
    let Some(Opened::Shard { engine, states }) = store.shards.pop() else { bail!("the new shard is lost") };
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let readers = Arc::new(Readers::start(2 * cores)?);
    let on_fault = Box::new(|n: u16, fault: &_| eprintln!("shard {n}: {fault}"));
    let shard = Arc::new(ShardHandle::start(engine, states, Arc::clone(&readers), on_fault)?);
    let mut load = Load::new(Arc::clone(&shard), setup.meter.clone(), scenario.shape, batch)?;
    let before = setup.meter.counts();
    // The warm-up also ends at a bound, because a store may never settle.
    let warm = setup.engine.unsettled_bytes_max.min(1024 * MIB);
    load.drive(|_, n| setup.meter.counts().settles == before.settles && n * (batch.len() as u64) < warm)?;
    setup.meter.take_syncs();
    let (counts, cpu, unsettled) = (setup.meter.counts(), cpu_by_thread(), shard.stats().unsettled_bytes);
    let stint = scenario.store;
    let driven = load.drive(|time, n| time < stint.time && n * (batch.len() as u64) < stint.bytes)?;
    let left = shard.stats().unsettled_bytes;
    let (now, cpu_now, syncs) = (setup.meter.counts(), cpu_by_thread(), setup.meter.take_syncs());
    let written = driven.batches * batch.len() as u64;
    drop(load);
    shard.close().map_err(|fault| anyhow::anyhow!("the store's end: {fault}"))?;
    readers.stop();
    drop((shard, store));
    std::fs::remove_dir_all(&data)?;
    Ok(StoreLap {
        counts: Counts {
            groups: now.groups - counts.groups,
            entries: now.entries - counts.entries,
            settles: now.settles - counts.settles,
        },
        cpu: cpu_now.into_iter().map(|(k, v)| (k.clone(), v - cpu.get(&k).unwrap_or(&0.0))).collect(),
        settled: (written + unsettled).saturating_sub(left),
        driven,
        syncs,
        written,
    })
}

/// MB/s of batches: store, append, overwrite.
fn rates(round: &Round, batch: usize) -> [f64; 3] {
    let raw = |lap: &RawLap| (lap.groups * round.entries * batch as u64) as f64 / lap.seconds / 1e6;
    let store = round.store.written as f64 / round.store.driven.seconds / 1e6;
    [store, raw(&round.append), raw(&round.overwrite)]
}

fn report(scenario: &Scenario, setup: &Setup, rounds: &[Round]) -> anyhow::Result<()> {
    let batch = load::batch(scenario.shape)?.len();
    let rates: Vec<[f64; 3]> = rounds.iter().map(|round| rates(round, batch)).collect();
    let column = |n: usize| median(&rates.iter().map(|r| r[n]).collect::<Vec<_>>());
    let ratio = |n: usize| median(&rates.iter().map(|r| r[0] / r[n]).collect::<Vec<_>>());
    let sum = |of: fn(&StoreLap) -> f64| rounds.iter().map(|round| of(&round.store)).sum::<f64>();
    let gb = sum(|lap| lap.written as f64) / 1e9;
    println!(
        "  medians of {} rounds, {:.0} s and {gb:.1} GB of store:",
        rounds.len(),
        sum(|l| l.driven.seconds)
    );
    println!(
        "    MB/s               store {:.0}, append {:.0}, overwrite {:.0}",
        column(0),
        column(1),
        column(2)
    );
    let (append, overwrite) = scenario.targets;
    let target = |t: Option<f64>| t.map_or("none".into(), |t| format!("{t:.1}"));
    println!("    store / append     {:.2}   (target {})", ratio(1), target(Some(append)));
    println!("    store / overwrite  {:.2}   (target {})", ratio(2), target(overwrite));
    println!(
        "    groups of          {:.1} batches; {} settles of {} MiB windows; {:.0} % of what was written was settled meanwhile",
        sum(|l| l.counts.entries as f64) / sum(|l| l.counts.groups as f64),
        sum(|l| l.counts.settles as f64),
        setup.engine.unsettled_bytes_max / MIB / 2,
        sum(|l| l.settled as f64) / gb / 1e7,
    );
    println!("    gate closed        {:.1} s", sum(|l| l.driven.gated));
    let cpu = |name: &str| rounds.iter().map(|r| r.store.cpu.get(name).unwrap_or(&0.0)).sum::<f64>() / gb;
    let all: f64 = STORE_THREADS.iter().map(|name| cpu(name)).sum();
    println!(
        "    CPU s/GB           store {all:.2}: journal {:.2}, settler {:.2} ({:.2} a settled GB), maker {:.2}",
        cpu("journal-0"),
        cpu("settle-0"),
        cpu("settle-0") * gb * 1e9 / sum(|l| l.settled as f64),
        cpu("maker-0"),
    );
    let times = |of: &dyn Fn(&Round) -> &[f64]| {
        let all: Vec<f64> = rounds.iter().flat_map(|round| of(round).iter().copied()).collect();
        format!("{:.2} / {:.2} ms", 1e3 * percentile(&all, 0.5), 1e3 * percentile(&all, 0.99))
    };
    println!("    p50 / p99 of a group   store {}", times(&|r| &r.store.syncs.group));
    println!("                           of it fdatasync {}", times(&|r| &r.store.syncs.sync));
    println!("                           append {}", times(&|r| &r.append.group));
    println!("                           overwrite {}", times(&|r| &r.overwrite.group));
    println!(
        "    p50 / p99 of a batch, submitted to acknowledged, two groups in flight   {}",
        times(&|r| &r.store.driven.latencies)
    );
    if setup.quick {
        println!("    (quick: a smoke check, no measurement)");
    }
    Ok(())
}
