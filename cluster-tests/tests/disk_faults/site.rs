//! A broker with a fault under it, producers that write down what was acknowledged, and the judge at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use callboard_cluster_tests::process::faults::Faults;
use callboard_cluster_tests::process::load::{Ledger, Load, Script};
use callboard_cluster_tests::process::verdict::{Read, judge, read_partition};
use callboard_cluster_tests::process::wire::{RETRY, Wire};
use callboard_cluster_tests::process::{Broker, HANG, Options, need, say};

use crate::web;

pub const MIB: u64 = 1 << 20;
pub const TOPIC: &str = "beside-the-fault";
pub const PARTITIONS: i32 = 3;

/// Faults of writes and syncs, where they can be made.
pub fn faults() -> Result<Option<Faults>> {
    need("disk_faults", "a C compiler and seccomp notifications", Faults::build()?)
}

/// Small segments and windows: it rolls and settles all the time.
pub fn small() -> Options {
    Options::default()
        .with_env("CALLBOARD_SEGMENT_BYTES", MIB)
        .with_env("CALLBOARD_UNSETTLED_BYTES_MAX", 2 * MIB)
}

pub struct Site {
    pub broker: Broker,
    load: Arc<Load>,
    script: Script,
    producers: Vec<JoinHandle<Result<Ledger>>>,
}

impl Site {
    /// A broker with its topic; nobody produces yet.
    pub fn start(options: Options, seed: u64) -> Result<Self> {
        let broker = Broker::start(options)?;
        Wire::connect(broker.addr())?.create_topic(TOPIC, PARTITIONS)?;
        let script = Script::now(seed);
        let load = Load::new(broker.addr(), TOPIC, PARTITIONS, script);
        Ok(Self { broker, load, script, producers: Vec::new() })
    }

    /// Good clients, which send again what was refused or not answered; one that never does, if asked for.
    pub fn produce(&mut self, plain: bool) {
        let ids = 0..if plain { 3 } else { 2 };
        self.producers = ids.map(|id| self.load.producer(id, id < 2)).collect();
    }

    pub fn wire(&self) -> Result<Wire> {
        Wire::connect(self.broker.addr())
    }

    pub fn http(&mut self) -> Result<SocketAddr> {
        self.broker.http()
    }

    /// Waits for more acknowledgements.
    pub fn goes_on(&mut self, batches: u64) -> Result<()> {
        let Self { broker, load, .. } = self;
        let went = load.wait_acked(batches, || broker.running());
        went.map_err(|error| self.broker.broken(&format!("{error:#}")))
    }

    /// Batches acknowledged so far.
    pub fn acked(&self) -> u64 {
        self.load.acked()
    }

    /// Waits for a line of the broker's log.
    pub fn says(&mut self, text: &str, from: usize) -> Result<String> {
        let said = self.broker.lines().wait_for(text, from, HANG);
        said.ok_or_else(|| self.broker.broken(&format!("it did not say `{text}`")))
    }

    /// Waits until a series has a value that fits.
    pub fn series(&mut self, series: &str, fits: impl Fn(f64) -> bool) -> Result<f64> {
        let http = self.http()?;
        let begun = Instant::now();
        loop {
            let value = web::scrape(http)?.value(series)?;
            if fits(value) {
                return Ok(value);
            }
            if begun.elapsed() > HANG {
                return Err(self.broker.broken(&format!("{series} stays {value}")));
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Code and text of `/ready`, when it has the code.
    pub fn ready(&mut self, code: u16) -> Result<String> {
        let http = self.http()?;
        let begun = Instant::now();
        loop {
            let reply = web::get(http, "/ready")?;
            if reply.code == code {
                return Ok(reply.body);
            }
            if begun.elapsed() > HANG {
                return Err(self.broker.broken(&format!("/ready stays {reply:?}")));
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Reads all there is; how many records.
    pub fn readable(&mut self) -> Result<usize> {
        self.read_all().map(|all| all.iter().map(Vec::len).sum())
    }

    fn read_all(&mut self) -> Result<Vec<Vec<Read>>> {
        let mut wire = self.wire()?;
        let all: Result<Vec<_>> =
            (0..PARTITIONS).map(|partition| read_partition(&mut wire, TOPIC, partition)).collect();
        all.map_err(|error| self.broker.broken(&format!("reading: {error:#}")))
    }

    /// The producers end; every record is read and judged, before and after an orderly restart.
    pub fn finish(mut self, what: &str) -> Result<()> {
        self.load.stop();
        let mut ledgers = Vec::new();
        for producer in std::mem::take(&mut self.producers) {
            let ended = producer.join().map_err(|_| anyhow!("a producer panicked"))?;
            ledgers.push(ended.map_err(|error| self.broker.broken(&format!("{error:#}")))?);
        }
        let reads = self.read_all()?;
        let counts = judge(self.script, &ledgers, &reads, &vec![Vec::new(); PARTITIONS as usize]);
        let counts = counts.map_err(|error| self.broker.broken(&format!("{error:#}")))?;
        if counts.acked == 0 {
            bail!("{what}: nothing was acknowledged");
        }
        self.broker.stop()?;
        self.broker.restart().context("after an orderly end")?;
        if self.read_all()? != reads {
            bail!("{what}: an orderly restart changed what is read");
        }
        self.broker.stop()?;
        let refused: u64 = ledgers.iter().map(|ledger| ledger.refused).sum();
        say(&format!("{what}: {counts:?}, {refused} batches refused for now and sent again"));
        Ok(())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // A test that has failed lets nobody produce on.
        self.load.abandon();
    }
}
