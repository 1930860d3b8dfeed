//! One play from its load's begin to its verdict, and the page about it.
//!
//! ```text
//!   begin: a topic, a load ── play ── heal ── full ISR on every node ── each partition moves ── load ends ── read, judged
//! ```
//! The page is drawn after that, whatever happened, from the history of the clients and the logs of the nodes.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::bench::Bench;
use super::fault::{Fault, Promise};
use super::keep::{self, Outcome, Places};
use super::map::View;
use super::round::STUCK;
use super::seen::Seen;
use super::tally::missing;
use crate::history::{Limits, check};
use crate::process::load::Ledger;
use crate::process::verdict::{Counts, Read, judge};

/// Records that are acknowledged before a fault begins.
const WARM: u64 = 200;

/// The records that one topic held after its play.
pub(super) struct Kept {
    pub topic: String,
    pub partitions: Vec<Vec<Read>>,
}

/// Plays a fault; `None` if nothing of it is left to be read again.
pub(super) fn act(
    bench: &mut Bench<'_>,
    fault: &Fault,
    seen: &mut Seen,
    places: &mut Places,
) -> Result<Option<Kept>> {
    let topic = format!("{}-{}", fault.id.to_lowercase(), seen.seed);
    let durability = (fault.promise == Promise::Os).then_some("os");
    bench.begin(fault.id, &topic, durability, seen.seed).context("before the fault")?;
    bench.work()?.acks(WARM, STUCK, || Ok(()))?;
    let (view, term) = (bench.roles()?.view, bench.cluster.term());
    *places = keep::places(&topic, &view);
    let played = (fault.play)(bench);
    let mended = Instant::now();
    bench.mended();
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
    let kept = verdict(bench, topic, seen)?;
    if fault.promise == Promise::Os {
        // A later power cut of all nodes may cost its records.
        bench.cluster.map().delete(&kept.topic)?;
        return Ok(None);
    }
    Ok(Some(kept))
}

fn moves_between(before: &View, after: &View) -> i64 {
    let epoch =
        |view: &View, partition: &i32| view.places.get(partition).map_or(0, |place| i64::from(place.epoch));
    before.places.keys().map(|partition| epoch(after, partition) - epoch(before, partition)).sum()
}

/// Ends the load, reads everything from the leaders and judges.
fn verdict(bench: &mut Bench<'_>, topic: String, seen: &mut Seen) -> Result<Kept> {
    let complaints = std::mem::take(&mut bench.complaints);
    let work = bench.work_mut()?;
    let finished = work.finish()?;
    let partitions =
        (0..work.partitions()).map(|partition| work.read(partition)).collect::<Result<Vec<_>>>()?;
    work.group_kept()?;
    (seen.acked, seen.odd) = (work.acked(), work.notes().0);
    (seen.lost, seen.twice) = missing(&finished.lanes, &partitions);
    let ledgers: Vec<Ledger> = finished.lanes.into_iter().map(|lane| lane.ledger).collect();
    let judged: Result<Counts> = judge(finished.script, &ledgers, &partitions, &finished.seen);
    let broken: Vec<String> =
        complaints.into_iter().chain(judged.err().map(|error| format!("{error:#}"))).collect();
    seen.broken = (!broken.is_empty()).then(|| broken.join("\n      "));
    Ok(Kept { topic, partitions })
}

/// Lets the checker judge the history of a play that came to its end, and draws the page of any play.
pub(super) fn told(
    bench: &mut Bench<'_>,
    seen: &mut Seen,
    finished: bool,
    places: &Places,
    path: Option<&Path>,
) -> Result<()> {
    let history = bench.work()?.history();
    let checked = check(&history, &Limits::default());
    seen.findings.clone_from(&checked.lines);
    // A play that could not go on has read nothing to its end.
    if !checked.good() && finished {
        let found = format!("the checker found {}", checked.names());
        seen.broken =
            Some(seen.broken.take().map_or(found.clone(), |broken| format!("{broken}\n      {found}")));
    }
    let Some(path) = path else { return Ok(()) };
    let first = seen.broken.as_ref().map_or("Every promise was kept.".to_owned(), |broken| {
        format!("BROKEN: {}", broken.lines().next().unwrap_or_default())
    });
    let outcome = Outcome {
        title: format!("Callboard, {} with seed {}", seen.id, seen.seed),
        good: seen.good(),
        summary: vec![first, seen.words.clone(), seen.figures()],
        findings: seen.findings.clone(),
    };
    bench.cluster.drain();
    keep::timeline(path, &bench.cluster, &history, places, outcome)
}
