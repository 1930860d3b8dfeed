//! Faults one after the other on one cluster, each with a load of its own that is read back to its last record.
//!
//! ```text
//!   begin: a topic, a load ── play ── heal ── full ISR on every node ── each partition moves ── load ends ── read, judged
//! ```
//! The n-th play has the seed of the run plus n, so one play can be repeated by itself. A cluster that broke a promise, or
//! that is stuck, is thrown away. A cluster's last act is to read the topics of all its plays once more.

use std::fmt::{Display, Formatter};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::bench::Bench;
use super::events::{Events, What};
use super::fault::Fault;
use super::machine::Machine;
use super::map::View;
use super::options::Options;
use super::round::STUCK;
use super::tally::missing;
use crate::process::load::{Ledger, Rng};
use crate::process::say;
use crate::process::verdict::{Counts, Read, judge};

/// Log lines of one fault that are shown.
const SHOWN: usize = 5;
/// Records that are acknowledged before a fault begins.
const WARM: u64 = 200;

/// Faults to play, for how long, and on which cluster.
pub struct Choice {
    pub faults: Vec<&'static Fault>,
    /// The list is played again, in other orders, until so much time is over; `None`: once.
    pub time: Option<Duration>,
    pub options: Options,
}

/// One play and what was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub id: &'static str,
    pub seed: u64,
    pub words: String,
    /// The longest time between two acknowledgements of one partition, and of the group's commits.
    pub gap: Duration,
    pub gap_commits: Duration,
    /// Terms of the metadata log, and changes of partition leaders.
    pub elections: u64,
    pub moves: i64,
    /// From the heal to the full ISR on every node.
    pub whole: Duration,
    pub acked: u64,
    pub lost: u64,
    pub twice: u64,
    /// The broken promise, or why the play could not go on.
    pub broken: Option<String>,
    /// Requests without an answer and the like, which a client should not meet.
    pub odd: Vec<String>,
    /// Panics and errors in the nodes' logs, which some faults bring.
    pub bad: Vec<String>,
}

impl Display for Seen {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} seed {:>6}  gap {:>6} ms, commits {:>6} ms, {} elections, {:>2} moves, ISR after {:>5} ms, {:>6} acked, lost {}, twice {}  | {}",
            self.id,
            self.seed,
            self.gap.as_millis(),
            self.gap_commits.as_millis(),
            self.elections,
            self.moves,
            self.whole.as_millis(),
            self.acked,
            self.lost,
            self.twice,
            self.words
        )?;
        for (what, lines) in [("clients met", &self.odd), ("logs say", &self.bad)] {
            if !lines.is_empty() {
                write!(f, "\n      {what} ({}): {}", lines.len(), first(lines))?;
            }
        }
        match &self.broken {
            Some(broken) => write!(f, "\n      BROKEN: {broken}"),
            None => Ok(()),
        }
    }
}

fn first(lines: &[String]) -> String {
    lines.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n               ")
}

/// All plays of a run.
#[derive(Default)]
pub struct Outcome {
    pub seen: Vec<Seen>,
    /// Faults that this machine cannot play, and why.
    pub left_out: Vec<(&'static str, String)>,
    pub events: Events,
}

impl Outcome {
    /// Whether every promise was kept in every play, and something was played.
    #[must_use]
    pub fn good(&self) -> bool {
        !self.seen.is_empty()
            && self.seen.iter().all(|seen| seen.broken.is_none() && seen.lost + seen.twice == 0)
    }
}

/// Plays the faults that the machine allows.
pub fn play(choice: &Choice) -> Result<Outcome> {
    let machine = Machine::look();
    let mut outcome = Outcome::default();
    let mut able = Vec::new();
    for fault in &choice.faults {
        match fault.lacks(&machine) {
            None => able.push(*fault),
            Some(why) => {
                say(&format!("{} NOT RUN ({}): {why}", fault.id, fault.words));
                outcome.left_out.push((fault.id, why));
            }
        }
    }
    let begun = Instant::now();
    let mut order = Rng::new(choice.options.seed);
    let mut stage =
        Stage { machine: &machine, options: choice.options.clone(), bench: None, kept: Vec::new() };
    while !able.is_empty() {
        for fault in &able {
            let seed = choice.options.seed + outcome.seen.len() as u64;
            let seen = stage.play(fault, seed, &mut outcome.events);
            say(&seen.to_string());
            outcome.seen.push(seen);
        }
        if choice.time.is_none_or(|time| begun.elapsed() >= time) {
            break;
        }
        for at in (1..able.len()).rev() {
            able.swap(at, order.below(at as u64 + 1) as usize);
        }
    }
    if let Err(error) = stage.end(&mut outcome.events)
        && let Some(last) = outcome.seen.last_mut()
    {
        say(&format!("BROKEN after the last play: {error:#}"));
        last.broken.get_or_insert(format!("{error:#}"));
    }
    Ok(outcome)
}

/// What was read of one topic after its play.
struct Kept {
    topic: String,
    partitions: Vec<Vec<Read>>,
}

/// A cluster that goes from play to play, while it is good.
struct Stage<'a> {
    machine: &'a Machine,
    options: Options,
    bench: Option<Bench<'a>>,
    kept: Vec<Kept>,
}

impl Stage<'_> {
    /// Plays one fault. Whatever goes wrong stands in what is returned.
    fn play(&mut self, fault: &'static Fault, seed: u64, events: &mut Events) -> Seen {
        let mut seen = Seen {
            id: fault.id,
            seed,
            words: fault.words.to_owned(),
            gap: Duration::ZERO,
            gap_commits: Duration::ZERO,
            elections: 0,
            moves: 0,
            whole: Duration::ZERO,
            acked: 0,
            lost: 0,
            twice: 0,
            broken: None,
            odd: Vec::new(),
            bad: Vec::new(),
        };
        let outcome = self.ready(fault, events).and_then(|()| {
            let bench = self.bench.as_mut().context("there is no cluster")?;
            let logged = bench.cluster.bad().len();
            let played = act(bench, fault, &mut seen);
            let others = self.kept.iter().map(|kept| kept.topic.as_str());
            let played = played.and_then(|kept| others_whole(bench, others).map(|()| kept));
            bench.cluster.drain();
            seen.bad = bench.cluster.bad().get(logged..).unwrap_or_default().to_vec();
            if let Some(panic) = seen.bad.iter().find(|line| line.contains("panicked")) {
                // A disk may hold anything, and a node says so in words.
                seen.broken.get_or_insert(format!("a node panicked: {panic}"));
            }
            played.map_err(|error| bench.cluster.story(&error))
        });
        match outcome {
            Ok(kept) => {
                self.kept.push(kept);
                if seen.lost + seen.twice > 0 || seen.broken.is_some() {
                    self.drop_bench(events);
                }
            }
            Err(error) => {
                seen.broken = Some(format!("{error:#}"));
                self.drop_bench(events);
            }
        }
        seen
    }

    /// Has a cluster at hand that is large enough.
    fn ready(&mut self, fault: &Fault, events: &mut Events) -> Result<()> {
        if self.bench.as_ref().is_some_and(|bench| bench.count() < fault.nodes) {
            self.end(events)?;
        }
        if self.bench.is_none() {
            let options = Options { nodes: self.options.nodes.max(fault.nodes), ..self.options.clone() };
            self.bench = Some(Bench::start(self.machine, &options)?);
        }
        Ok(())
    }

    fn drop_bench(&mut self, events: &mut Events) {
        self.kept.clear();
        if let Some(mut bench) = self.bench.take() {
            events.append(std::mem::take(&mut bench.events));
        }
    }

    /// Reads all topics of this cluster once more, and ends it.
    fn end(&mut self, events: &mut Events) -> Result<()> {
        let kept = std::mem::take(&mut self.kept);
        let outcome = self.bench.as_ref().map_or(Ok(()), |bench| reread(bench, &kept));
        self.drop_bench(events);
        outcome
    }
}

fn reread(bench: &Bench<'_>, kept: &[Kept]) -> Result<()> {
    let map = bench.cluster.map();
    for Kept { topic, partitions } in kept {
        for (partition, reads) in partitions.iter().enumerate() {
            let now = map.read(topic, i32::try_from(partition)?)?;
            ensure!(
                now == *reads,
                "{topic}-{partition}: {} records were read after its fault, and {} at the end of the run",
                reads.len(),
                now.len()
            );
        }
    }
    Ok(())
}

/// From the load's begin to the verdict.
fn act(bench: &mut Bench<'_>, fault: &Fault, seen: &mut Seen) -> Result<Kept> {
    let topic = format!("{}-{}", fault.id.to_lowercase(), seen.seed);
    bench.begin(&topic, seen.seed).context("before the fault")?;
    bench.work()?.acks(WARM, STUCK, || Ok(()))?;
    let (view, term) = (bench.roles()?.view, bench.cluster.term());
    let played = (fault.play)(bench);
    let mended = Instant::now();
    bench.healed(None, format!("{}: all is mended", fault.id));
    if let Ok(words) = &played {
        seen.words = format!("{}: {words}", fault.words);
    }
    bench.heal().context("at the heal")?;
    let now = bench.cluster.wait_whole(bench.options.partitions, STUCK).context("after the heal")?;
    seen.whole = mended.elapsed();
    let whole = Instant::now();
    let moves = bench.work()?.moves_on(whole, STUCK, || Ok(()));
    moves.context("after the heal, with the full ISR")?;
    let (begun, end) = (bench.first.unwrap_or(mended), bench.last.unwrap_or_else(Instant::now));
    let work = bench.work()?;
    let gaps = (0..bench.options.partitions).map(|partition| work.gap(partition, begun, end));
    seen.gap = gaps.max().unwrap_or_default();
    seen.gap_commits = work.commit_gap(begun, end);
    seen.elections = bench.cluster.term().saturating_sub(term);
    seen.moves = moves_between(&view, &now);
    played?;
    let kept = verdict(bench, topic, seen);
    bench.events.note(What::Checked, None, format!("{}: lost {}, twice {}", fault.id, seen.lost, seen.twice));
    kept
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

fn moves_between(before: &View, after: &View) -> i64 {
    let epoch =
        |view: &View, partition: &i32| view.places.get(partition).map_or(0, |place| i64::from(place.epoch));
    before.places.keys().map(|partition| epoch(after, partition) - epoch(before, partition)).sum()
}

/// Ends the load, reads everything from the leaders and judges.
fn verdict(bench: &mut Bench<'_>, topic: String, seen: &mut Seen) -> Result<Kept> {
    let mut work = bench.take_work()?;
    let finished = work.finish()?;
    let partitions =
        (0..work.partitions()).map(|partition| work.read(partition)).collect::<Result<Vec<_>>>()?;
    work.group_kept()?;
    (seen.acked, seen.odd) = (work.acked(), work.notes().0);
    let complaints = std::mem::take(&mut bench.complaints);
    (seen.lost, seen.twice) = missing(&finished.lanes, &partitions);
    let ledgers: Vec<Ledger> = finished.lanes.into_iter().map(|lane| lane.ledger).collect();
    let judged: Result<Counts> = judge(finished.script, &ledgers, &partitions, &finished.seen);
    let broken: Vec<String> =
        complaints.into_iter().chain(judged.err().map(|error| format!("{error:#}"))).collect();
    seen.broken = (!broken.is_empty()).then(|| broken.join("\n      "));
    Ok(Kept { topic, partitions })
}

/// Which faults there are, and which of them this machine can play.
#[must_use]
pub fn list(faults: &[&'static Fault]) -> String {
    let machine = Machine::look();
    let mut text = String::new();
    for fault in faults {
        let can = fault.lacks(&machine).map_or("runs here".to_owned(), |why| format!("NOT HERE: {why}"));
        text += &format!(
            "{}  {}\n     expected: nothing lost; {}\n     {can}\n",
            fault.id, fault.words, fault.expected
        );
    }
    text
}
