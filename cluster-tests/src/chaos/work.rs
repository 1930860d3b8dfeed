//! The load: idempotent producers to every partition, and a group that reads and commits.
//!
//! A producer is one producer id with a *lane* for each partition, on a thread of its own. Each lane has a ledger, so the
//! judge knows lanes only. The driver reads counters here, and times of acknowledgements from the tape.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use parking_lot::Mutex;

use super::lane::{self, Lane};
use super::map::Map;
use super::member;
use super::options::Options;
use super::tape::Tape;
use crate::process::HANG;
use crate::process::load::{Ledger, Script};
use crate::process::verdict::Read;
use crate::process::wire::RETRY;

/// The topic that the load writes and reads.
pub const TOPIC: &str = "under-fire";
/// Members of the group.
const MEMBERS: usize = 2;

/// Places of the group in one partition.
#[derive(Clone, Default)]
pub(super) struct Mark {
    /// The largest offset whose commit was sent.
    pub asked: i64,
    /// The largest offset whose commit was acknowledged.
    pub acked: i64,
}

/// What the threads of one load share.
pub struct Work {
    pub map: Map,
    pub(super) partitions: i32,
    pub(super) script: Script,
    /// Time between two records of one lane.
    pub(super) pace: Duration,
    pub(super) stop: AtomicBool,
    pub(super) in_flight: AtomicU64,
    pub(super) acked: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) tape: Tape,
    pub(super) marks: Mutex<BTreeMap<i32, Mark>>,
    /// Records that the group read, by partition.
    pub(super) seen: Mutex<Vec<Vec<Read>>>,
    /// Refusals by error code, and times that a client counted as hung.
    pub(super) refusals: Mutex<BTreeMap<i16, u64>>,
    pub(super) odd: Mutex<Vec<String>>,
    failed: AtomicBool,
    lanes: Mutex<Vec<JoinHandle<Result<LaneEnd>>>>,
    members: Mutex<Vec<JoinHandle<Result<()>>>>,
}

/// A lane's ledger, and when each of its batches was acknowledged.
pub struct LaneEnd {
    pub ledger: Ledger,
    /// First record, count, time.
    pub times: Vec<(u64, u64, Instant)>,
}

/// All that a load leaves for the judge.
pub struct Finished {
    pub script: Script,
    pub lanes: Vec<LaneEnd>,
    pub seen: Vec<Vec<Read>>,
}

impl Work {
    /// Creates the topic and starts producers and the group; returns when each lane has its first acknowledgement.
    pub fn start(map: Map, options: &Options) -> Result<Arc<Work>> {
        let partitions = options.partitions;
        let tracks = usize::try_from(partitions)?;
        map.create(TOPIC, partitions, i16::try_from(options.nodes.min(3))?, &[])?;
        let lanes = u64::from(options.producers) * u64::try_from(partitions)?;
        ensure!(lanes > 0 && options.rate > 0, "a load needs a producer, a partition and a rate");
        let work = Arc::new(Work {
            map,
            partitions,
            script: Script::small(options.seed),
            pace: Duration::from_nanos(1_000_000_000 * lanes / options.rate),
            stop: AtomicBool::new(false),
            in_flight: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            tape: Tape::new(2 * tracks),
            marks: Mutex::default(),
            seen: Mutex::new(vec![Vec::new(); tracks]),
            refusals: Mutex::default(),
            odd: Mutex::default(),
            failed: AtomicBool::new(false),
            lanes: Mutex::default(),
            members: Mutex::default(),
        });
        for producer in 0..options.producers {
            let identity = lane::identity(&work)?;
            for partition in 0..partitions {
                let id = producer * u32::try_from(partitions)? + u32::try_from(partition)?;
                let lane = Lane::new(&work, id, partition, identity);
                work.lanes.lock().push(work.thread(move || lane.run()));
            }
        }
        for number in 0..MEMBERS {
            let share = Arc::clone(&work);
            work.members.lock().push(work.thread(move || member::run(&share, number)));
        }
        work.moves_on(Instant::now(), HANG, || Ok(()))?;
        Ok(work)
    }

    fn thread<T: Send + 'static>(
        self: &Arc<Self>,
        body: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let work = Arc::clone(self);
        std::thread::spawn(move || {
            let result = body();
            if result.is_err() {
                // The driver must not wait for an acknowledgement that will never come.
                work.failed.store(true, Ordering::SeqCst);
                work.stop();
            }
            result
        })
    }

    /// Waits until every partition, and the group's commits of it, had an acknowledgement after `time`.
    pub fn moves_on(
        &self,
        time: Instant,
        limit: Duration,
        mut alive: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let until = Instant::now() + limit;
        let commits = usize::try_from(self.partitions)?;
        loop {
            let still: Vec<usize> = (0..2 * commits).filter(|track| !self.tape.since(*track, time)).collect();
            if still.is_empty() {
                return Ok(());
            }
            alive()?;
            ensure!(!self.failed.load(Ordering::SeqCst), "a lane or a member has ended early");
            if Instant::now() > until {
                let say = |track: usize| match track.checked_sub(commits) {
                    Some(partition) => format!("the group's commits of {TOPIC}-{partition}"),
                    None => format!("{TOPIC}-{track}"),
                };
                let still: Vec<String> = still.into_iter().map(say).collect();
                bail!("stuck for {limit:?}: no acknowledgement of {}", still.join(", "));
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Records that are sent and not acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Records acknowledged so far.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::SeqCst)
    }

    /// Acknowledged commits of the group so far.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// The longest gap between two acknowledgements of a partition that touches the span.
    #[must_use]
    pub fn gap(&self, partition: i32, from: Instant, to: Instant) -> Duration {
        self.tape.gap(usize::try_from(partition).unwrap_or(usize::MAX), from, to)
    }

    /// The longest gap between two acknowledged commits of one partition that touches the span.
    #[must_use]
    pub fn commit_gap(&self, from: Instant, to: Instant) -> Duration {
        let gaps = (self.partitions..2 * self.partitions).map(|track| self.gap(track, from, to));
        gaps.max().unwrap_or_default()
    }

    /// Partitions of the topic.
    #[must_use]
    pub fn partitions(&self) -> i32 {
        self.partitions
    }

    /// Notes something that no client should meet, and that is not a broken promise by itself.
    pub(super) fn note(&self, what: String) {
        let mut odd = self.odd.lock();
        if odd.len() < 200 {
            odd.push(what);
        }
    }

    /// What [`Work::note`] has gathered, and the refusals by code.
    #[must_use]
    pub fn notes(&self) -> (Vec<String>, BTreeMap<i16, u64>) {
        (self.odd.lock().clone(), self.refusals.lock().clone())
    }

    /// Checks the committed offsets of the group once more.
    pub fn group_kept(&self) -> Result<()> {
        member::kept(self)
    }

    /// Lets producers make no new records and the group read no more.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Stops the load and brings all batches under way to their end.
    pub fn finish(&self) -> Result<Finished> {
        self.stop();
        let (lanes, members) =
            (std::mem::take(&mut *self.lanes.lock()), std::mem::take(&mut *self.members.lock()));
        let (mut ends, mut failed) = (Vec::new(), Vec::new());
        for lane in lanes {
            match join(lane) {
                Ok(end) => ends.push(end),
                Err(error) => failed.push(format!("{error:#}")),
            }
        }
        failed.extend(members.into_iter().filter_map(|member| join(member).err()).map(|e| format!("{e:#}")));
        ensure!(failed.is_empty(), "clients failed:\n{}", failed.join("\n"));
        Ok(Finished { script: self.script, lanes: ends, seen: std::mem::take(&mut *self.seen.lock()) })
    }
}

fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread of the load panicked"))?
}
