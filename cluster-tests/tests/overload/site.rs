//! A broker under attack, and the good client beside it.

use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use callboard_cluster_tests::process::load::{Ledger, Load, Script};
use callboard_cluster_tests::process::verdict::{Read, judge, read_at, read_partition};
use callboard_cluster_tests::process::wire::Wire;
use callboard_cluster_tests::process::{Broker, HANG, Options, say};
use callboard_core::limits;
use parking_lot::{Condvar, Mutex};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const BESIDE: &str = "beside";
const PARTITIONS: i32 = 2;
/// Batches and records that have to get through before the good client counts as going on.
const GOES_ON: u64 = 10;

/// What the consumer beside has read.
#[derive(Default)]
struct Consumed {
    records: Mutex<u64>,
    more: Condvar,
}

/// A broker under attack.
pub struct Site {
    pub broker: Broker,
    http: SocketAddr,
    script: Script,
    load: Arc<Load>,
    producer: JoinHandle<Result<Ledger>>,
    consumer: JoinHandle<Result<Vec<Vec<Read>>>>,
    consumed: Arc<Consumed>,
    stop: Arc<AtomicBool>,
}

impl Site {
    /// A broker with this configuration; the good client is under way when this returns.
    pub fn start(config: &str) -> Result<Site> {
        let mut broker = Broker::new(Options::default().with_env("CALLBOARD_CONFIG", "attacked.toml"))?;
        // Small segments: recovery and the maker fill them, and what they hold hides what an attack takes.
        let small = if config.contains("segment_bytes") { "" } else { "segment_bytes = 4194304\n" };
        let config = format!("{small}{config}");
        std::fs::write(broker.dir().join("attacked.toml"), config)?;
        broker.restart()?;
        let (addr, http) = (broker.addr(), broker.http()?);
        Wire::connect(addr)?.create_topic(BESIDE, PARTITIONS)?;
        let script = Script::now(0x0bad);
        let load = Load::new(addr, BESIDE, PARTITIONS, script);
        let producer = load.producer(1, true);
        let (consumed, stop) = (Arc::<Consumed>::default(), Arc::<AtomicBool>::default());
        let consumer = {
            let (consumed, stop) = (Arc::clone(&consumed), Arc::clone(&stop));
            std::thread::spawn(move || consume(addr, &consumed, &stop))
        };
        let mut site = Site { broker, http, script, load, producer, consumer, consumed, stop };
        site.goes_on()?;
        Ok(site)
    }

    pub fn addr(&self) -> SocketAddr {
        self.broker.addr()
    }

    /// The good client gets further from here on: its producer and its consumer.
    pub fn goes_on(&mut self) -> Result<()> {
        let before = *self.consumed.records.lock();
        let broker = &mut self.broker;
        self.load.wait_acked(GOES_ON, || broker.running())?;
        let until = Instant::now() + HANG;
        let mut records = self.consumed.records.lock();
        while *records < before + GOES_ON {
            if self.consumed.more.wait_until(&mut records, until).timed_out() {
                bail!("the consumer beside has stopped at record {records}");
            }
        }
        Ok(())
    }

    /// What a series of the metrics says now; one that is not there has counted nothing.
    pub fn metric(&self, series: &str) -> Result<f64> {
        Ok(value(&scrape(self.http)?, series).unwrap_or_default())
    }

    /// Asks the metrics until a series is as wanted.
    pub fn until(&self, series: &str, wanted: impl Fn(f64) -> bool) -> Result<()> {
        until(self.http, series, wanted)
    }

    /// After the attack: the good client goes on and everything it was promised is there; nothing is held any more; a
    /// new client is served; the end is an orderly one, without a panic before it.
    pub fn recovers(mut self, what: &str) -> Result<()> {
        self.goes_on().context("after the attack")?;
        self.load.stop();
        let ledger = self.producer.join().map_err(|_| anyhow::anyhow!("the producer panicked"))??;
        self.stop.store(true, Ordering::SeqCst);
        let seen = self.consumer.join().map_err(|_| anyhow::anyhow!("the consumer panicked"))??;
        let pools = ["produce", "requests", "small", "reserve", "responses", "response_reserve", "tickets"];
        let begun = Instant::now();
        for pool in pools {
            let series = format!("callboard_kafka_pool_used_bytes{{pool=\"{pool}\"}}");
            let text = scrape(self.http)?;
            ensure!(value(&text, &series).is_some(), "no {series}");
            while value(&scrape(self.http)?, &series) != Some(0.0) {
                ensure!(begun.elapsed() < Duration::from_secs(30), "{pool} is not given back: {text}");
                std::thread::yield_now();
            }
        }
        let mut wire = Wire::connect(self.broker.addr())?;
        wire.create_topic("afterwards", 1)?;
        let partitions: Vec<_> =
            (0..PARTITIONS).map(|p| read_partition(&mut wire, BESIDE, p)).collect::<Result<_>>()?;
        let counts = judge(self.script, &[ledger], &partitions, &seen)?;
        ensure!(counts.acked > 0 && counts.read >= counts.acked, "{counts:?}");
        within_bounds(&self.broker, self.http, what)?;
        self.broker.stop()?;
        self.broker.lines().wait_end(HANG);
        let lines = self.broker.lines().since(0);
        match lines.iter().find(|line| line.contains("panicked") || line.contains("ERROR")) {
            Some(line) => bail!("the broker's log says: {line}"),
            None => Ok(()),
        }
    }
}

/// Asks the metrics until a series is as wanted; the limit is a guard against a hang.
pub fn until(http: SocketAddr, series: &str, wanted: impl Fn(f64) -> bool) -> Result<()> {
    let begun = Instant::now();
    loop {
        let now = value(&scrape(http)?, series).unwrap_or_default();
        if wanted(now) {
            return Ok(());
        }
        if begun.elapsed() > HANG {
            bail!("{series} stays at {now}");
        }
        std::thread::yield_now();
    }
}

/// The process never held more than its bounds and its base.
fn within_bounds(broker: &Broker, http: SocketAddr, what: &str) -> Result<()> {
    let sum = value(&scrape(http)?, "callboard_memory_bounds_sum_bytes").context("no sum of the bounds")?;
    let (bound, most) = (sum as u64 + limits::PROCESS_BASE as u64, broker.resident_at_most()?);
    say(&format!("{what}: {} MiB resident at most; bounds and base {} MiB", most >> 20, bound >> 20));
    ensure!(most <= bound, "{what}: {most} bytes were resident, {bound} are allowed");
    Ok(())
}

/// Reads both partitions over and over, from where it is, until told to stop.
fn consume(addr: SocketAddr, consumed: &Consumed, stop: &AtomicBool) -> Result<Vec<Vec<Read>>> {
    let mut wire = Wire::connect(addr)?;
    let mut seen: Vec<Vec<Read>> = (0..PARTITIONS).map(|_| Vec::new()).collect();
    while !stop.load(Ordering::SeqCst) {
        for (partition, seen) in seen.iter_mut().enumerate() {
            let next = seen.last().map_or(0, |read| read.offset + 1);
            let got = read_at(&mut wire, BESIDE, partition as i32, next, 20)?;
            *consumed.records.lock() += got.len() as u64;
            consumed.more.notify_all();
            seen.extend(got);
        }
    }
    Ok(seen)
}

fn scrape(http: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&http, HANG)?;
    stream.set_read_timeout(Some(HANG))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    ensure!(text.starts_with("HTTP/1.1 200"), "metrics: {text}");
    Ok(text)
}

fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as i64
}

/// How many connections a test may open of those it wants: the limit of descriptors is raised as far as it goes, and
/// shared with the tests beside it.
pub fn connections(wanted: usize) -> usize {
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    let most = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| most as usize);
    let may = most.saturating_sub(1_000) / 3;
    if may < wanted {
        say(&format!("SCALED: {may} connections instead of {wanted}: {most} descriptors are the limit"));
    }
    wanted.min(may)
}
