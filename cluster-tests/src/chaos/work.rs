//! The load as its driver sees it: idempotent producers to every partition, and a group that reads and commits.
//!
//! A producer is one producer id with a *lane* for each partition, on a thread of its own. Each lane has a ledger, so the
//! judge knows lanes only. The driver starts all clients here, waits for their progress, and gathers what they leave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::lane::{self, Lane};
use super::map::{Map, View};
use super::member;
use super::options::Options;
use super::promise;
use super::reader;
use super::recorder::DRIVER;
use super::shared::{LaneEnd, Shared};
use crate::history::History;
use crate::process::HANG;
use crate::process::load::Script;
use crate::process::verdict::Read;
use crate::process::wire::RETRY;

/// Members of the group.
const MEMBERS: usize = 2;
/// Consumers with assigned partitions: all partitions, the even ones, the odd ones.
const READERS: u32 = 3;

/// A load that runs.
pub struct Work {
    shared: Arc<Shared>,
    lanes: Vec<JoinHandle<Result<LaneEnd>>>,
    members: Vec<JoinHandle<Result<()>>>,
}

/// All that a load leaves for the judge.
pub struct Finished {
    pub script: Script,
    pub lanes: Vec<LaneEnd>,
    pub seen: Vec<Vec<Read>>,
}

impl Work {
    /// Creates the topic and starts producers and the group; returns when each partition moves.
    pub fn start(map: Map, options: &Options) -> Result<Work> {
        let partitions = options.partitions;
        let durability = options.topic_durability.map(|durability| ("callboard.durability", durability));
        let factor = i16::try_from(options.nodes.min(3))?;
        map.create(&options.topic, partitions, factor, durability.as_slice())?;
        let lanes = u64::from(options.producers) * u64::try_from(partitions)?;
        ensure!(lanes > 0 && options.rate > 0, "a load needs a producer, a partition and a rate");
        let pace = Duration::from_nanos(1_000_000_000 * lanes / options.rate);
        let shared =
            Arc::new(Shared::new(map, &options.topic, partitions, Script::small(options.seed), pace));
        let mut work = Work { shared, lanes: Vec::new(), members: Vec::new() };
        for producer in 0..options.producers {
            let identity = lane::identity(&work.shared)?;
            for partition in 0..partitions {
                let id = producer * u32::try_from(partitions)? + u32::try_from(partition)?;
                let lane = Lane::new(&work.shared, id, partition, identity);
                work.shared
                    .record
                    .name(id, format!("producer {producer} to {}-{partition}", work.shared.topic));
                work.lanes.push(work.thread(move || lane.run()));
            }
        }
        for number in 0..MEMBERS {
            let shared = Arc::clone(&work.shared);
            work.members.push(work.thread(move || member::run(&shared, number)));
        }
        for number in 0..READERS {
            let shared = Arc::clone(&work.shared);
            let some = |partition: &i32| number == 0 || partition % 2 == i32::from(number == 1);
            let partitions: Vec<i32> = (0..partitions).filter(some).collect();
            work.members.push(work.thread(move || reader::run(&shared, number, &partitions)));
        }
        work.moves_on(Instant::now(), HANG, || Ok(()))?;
        Ok(work)
    }

    fn thread<T: Send + 'static>(
        &self,
        body: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let shared = Arc::clone(&self.shared);
        std::thread::spawn(move || {
            let result = body();
            if let Err(error) = &result {
                // The driver must not wait for an acknowledgement that will never come.
                shared.failed.lock().push(format!("{error:#}"));
                shared.stop();
            }
            result
        })
    }

    /// Waits until every partition, and the group's commits of it, had an acknowledgement after `time`.
    pub fn moves_on(&self, time: Instant, limit: Duration, alive: impl FnMut() -> Result<()>) -> Result<()> {
        let partitions = usize::try_from(self.shared.partitions)?;
        let still = || (0..2 * partitions).filter(|track| !self.shared.tape.since(*track, time));
        let topic = &self.shared.topic;
        let say = |track: usize| match track.checked_sub(partitions) {
            Some(partition) => format!("the group's commits of {topic}-{partition}"),
            None => format!("{topic}-{track}"),
        };
        let done = || still().next().is_none();
        self.wait(limit, alive, done, || still().map(say).collect::<Vec<_>>().join(", "))
    }

    /// Waits until so many more records are acknowledged.
    pub fn acks(&self, more: u64, limit: Duration, alive: impl FnMut() -> Result<()>) -> Result<()> {
        let goal = self.acked() + more;
        self.wait(limit, alive, || self.acked() >= goal, || format!("{more} records"))
    }

    fn wait(
        &self,
        limit: Duration,
        mut alive: impl FnMut() -> Result<()>,
        done: impl Fn() -> bool,
        what: impl Fn() -> String,
    ) -> Result<()> {
        let until = Instant::now() + limit;
        while !done() {
            alive()?;
            let failed = self.shared.failed.lock().join("\n");
            ensure!(failed.is_empty(), "a lane or a member has ended early: {failed}");
            if Instant::now() > until {
                bail!("stuck for {limit:?}: no acknowledgement of {}", what());
            }
            std::thread::sleep(RETRY);
        }
        Ok(())
    }

    /// The topic, as any node describes it.
    pub fn view(&self) -> Result<View> {
        self.shared.view(DRIVER)
    }

    /// Reads a partition of the topic to its end, as the last thing that its history tells.
    pub fn read(&self, partition: i32) -> Result<Vec<Read>> {
        reader::whole(&self.shared, partition)
    }

    /// Takes the history of all clients.
    #[must_use]
    pub fn history(&self) -> History {
        self.shared.record.take()
    }

    /// Partitions of the topic.
    #[must_use]
    pub fn partitions(&self) -> i32 {
        self.shared.partitions
    }

    /// Records that are sent and not acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// Records acknowledged so far.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.shared.acked.load(Ordering::SeqCst)
    }

    /// Acknowledged commits of the group so far.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::SeqCst)
    }

    /// The longest gap between two acknowledgements of a partition that touches the span.
    #[must_use]
    pub fn gap(&self, partition: i32, from: Instant, to: Instant) -> Duration {
        self.shared.tape.gap(usize::try_from(partition).unwrap_or(usize::MAX), from, to)
    }

    /// The longest gap between two acknowledged commits of one partition that touches the span.
    #[must_use]
    pub fn commit_gap(&self, from: Instant, to: Instant) -> Duration {
        let partitions = self.shared.partitions;
        (partitions..2 * partitions).map(|track| self.gap(track, from, to)).max().unwrap_or_default()
    }

    /// Events that no client should meet, and the refusals by code.
    #[must_use]
    pub fn notes(&self) -> (Vec<String>, BTreeMap<i16, u64>) {
        (self.shared.odd.lock().clone(), self.shared.refusals.lock().clone())
    }

    /// Checks the committed offsets of the group once more.
    pub fn group_kept(&self) -> Result<()> {
        promise::kept(&self.shared)
    }

    /// The highest latency but one in a hundred of the batches of these partitions that were acknowledged in the span.
    #[must_use]
    pub fn p99(&self, partitions: &[i32], from: Instant, to: Instant) -> Option<Duration> {
        self.shared.tape.p99(partitions.iter().filter_map(|p| usize::try_from(*p).ok()), from, to)
    }

    /// Lets producers make no new records until they may go on, and waits for those under way.
    pub fn rest(&self, rest: bool) -> Result<()> {
        self.shared.rest.store(rest, Ordering::SeqCst);
        let settled = || !rest || self.in_flight() == 0;
        self.wait(HANG, || Ok(()), settled, || "the records under way".to_owned())
    }

    /// Lets producers make no new records and the group read no more.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Stops the load and brings all batches under way to their end.
    pub fn finish(&mut self) -> Result<Finished> {
        self.stop();
        let (mut lanes, mut failed) = (Vec::new(), Vec::new());
        for lane in std::mem::take(&mut self.lanes) {
            match join(lane) {
                Ok(end) => lanes.push(end),
                Err(error) => failed.push(format!("{error:#}")),
            }
        }
        let members = std::mem::take(&mut self.members).into_iter();
        failed.extend(members.filter_map(|member| join(member).err()).map(|error| format!("{error:#}")));
        ensure!(failed.is_empty(), "clients failed:\n{}", failed.join("\n"));
        let seen = std::mem::take(&mut *self.shared.seen.lock());
        Ok(Finished { script: self.shared.script, lanes, seen })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Its threads speak to nodes that are about to end.
        self.stop();
    }
}

fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread of the load panicked"))?
}
