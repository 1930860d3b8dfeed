//! A cluster that goes from play to play while it is good.
//!
//! A cluster that broke a promise, or is stuck, is thrown away; so is one on which a play panicked. One that has seen many
//! plays, or has another size than the next one needs, ends in peace: its last act is to read the topics of all its plays
//! once more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};

use super::act::{Kept, act, told};
use super::bench::Bench;
use super::fault::Fault;
use super::keep::Places;
use super::machine::Machine;
use super::options::Options;
use super::round::STUCK;
use super::seen::Seen;
use crate::process::say;

/// Each play adds a topic, and each start recovers all of them.
const PLAYS: usize = 12;

/// The cluster, if one runs, and what its plays left.
pub(super) struct Stage<'a> {
    machine: &'a Machine,
    options: Options,
    bench: Option<Bench<'a>>,
    plays: usize,
    kept: Vec<Kept>,
}

impl<'a> Stage<'a> {
    pub fn new(machine: &'a Machine, options: &Options) -> Stage<'a> {
        Stage { machine, options: options.clone(), bench: None, plays: 0, kept: Vec::new() }
    }

    /// Plays one fault, and draws its page at this path. Whatever goes wrong stands in what is returned.
    pub fn play(&mut self, fault: &'static Fault, seed: u64, page: Option<&Path>) -> Seen {
        let words = fault.words.to_owned();
        let mut seen = Seen { id: fault.id, seed, words, ..Seen::default() };
        let outcome = self.ready(fault).and_then(|()| {
            let bench = self.bench.as_mut().context("there is no cluster")?;
            let logged = bench.cluster.bad().len();
            let mut places = Places::new();
            // A play that panics must not end the run, and its cluster is not used again.
            let played = catch_unwind(AssertUnwindSafe(|| act(bench, fault, &mut seen, &mut places)));
            let played =
                played.unwrap_or_else(|panic| Err(anyhow!("the play panicked: {}", words_of(&*panic))));
            let others = self.kept.iter().map(|kept| kept.topic.as_str());
            let played = played.and_then(|kept| others_whole(bench, others).map(|()| kept));
            bench.cluster.drain();
            seen.bad = bench.cluster.bad().get(logged..).unwrap_or_default().to_vec();
            if let Some(panic) = seen.bad.iter().find(|line| line.contains("panicked")) {
                // A disk may hold anything, and a node says so in words.
                seen.broken.get_or_insert(format!("a node panicked: {panic}"));
            }
            let played = played.map_err(|error| bench.cluster.story(&error));
            if let Err(error) = &played {
                seen.broken = Some(format!("{error:#}"));
            }
            if let Err(error) = told(bench, &mut seen, played.is_ok(), &places, page) {
                say(&format!("{}: no page: {error:#}", fault.id));
            }
            Ok(played.ok().flatten())
        });
        match outcome {
            Ok(kept) => self.kept.extend(kept),
            Err(error) => seen.broken = Some(format!("{error:#}")),
        }
        self.plays += 1;
        if !seen.good() {
            self.drop_bench();
        }
        seen
    }

    /// Has a cluster at hand that has the size of the fault.
    fn ready(&mut self, fault: &Fault) -> Result<()> {
        let nodes = self.options.nodes.max(fault.nodes);
        let unfit = |bench: &Bench<'_>| bench.spent || bench.count() != nodes;
        if self.plays >= PLAYS || self.bench.as_ref().is_some_and(unfit) {
            self.end()?;
        }
        if self.bench.is_none() {
            let options = Options { nodes, ..self.options.clone() };
            self.bench = Some(Bench::start(self.machine, &options)?);
        }
        Ok(())
    }

    fn drop_bench(&mut self) {
        self.kept.clear();
        self.plays = 0;
        self.bench = None;
    }

    /// Reads all topics of this cluster once more, and ends it.
    pub fn end(&mut self) -> Result<()> {
        let kept = std::mem::take(&mut self.kept);
        let outcome = self.bench.as_ref().map_or(Ok(()), |bench| reread(bench, &kept));
        self.drop_bench();
        outcome.context("at the end of a cluster")
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}

fn reread(bench: &Bench<'_>, kept: &[Kept]) -> Result<()> {
    let map = bench.cluster.map();
    for Kept { topic, partitions } in kept {
        for (partition, reads) in partitions.iter().enumerate() {
            let now = map.read(topic, i32::try_from(partition)?)?;
            ensure!(
                now == *reads,
                "{topic}-{partition}: {} records were read after its fault, and {} at the end of its cluster",
                reads.len(),
                now.len()
            );
        }
    }
    Ok(())
}

/// Waits for the full ISR of the topics of earlier plays: rot and power cuts reach them, too.
fn others_whole<'a>(bench: &mut Bench<'_>, topics: impl Iterator<Item = &'a str>) -> Result<()> {
    for topic in topics {
        bench.cluster.topic = topic.to_owned();
        let whole = bench.cluster.wait_whole(bench.options.partitions, STUCK);
        whole.with_context(|| format!("after the heal, for {topic} of an earlier play"))?;
    }
    Ok(())
}
