//! A whole run: start, load, kills of each kind in turn, end, verdict.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::cluster::Cluster;
use super::keep::{self, Outcome, Places};
use super::options::Options;
use super::report::{Kind, Report, Round};
use super::round::fire;
use super::tally::tally;
use super::work::Work;
use crate::history::{History, Limits, check};
use crate::process::load::{Ledger, Rng};
use crate::process::say;
use crate::process::verdict::{Counts, judge};

/// Runs as the options say. A broken promise stands in the report; an error is a run that could not go on.
pub fn run(options: &Options) -> Result<Report> {
    let begun = Instant::now();
    let mut cluster = Cluster::start(options)?;
    say(&format!(
        "seed {}: {} nodes formed in {} ms",
        options.seed,
        options.nodes,
        cluster.formed.as_millis()
    ));
    let mut work = Work::start(cluster.map(), options).map_err(|error| cluster.story(&error))?;
    let first = begun.elapsed();
    say(&format!("each partition acknowledged after {} ms\n    {}", first.as_millis(), Round::head()));
    let places = keep::places(&options.topic, &work.view()?);
    let fired = rounds(&mut cluster, &work, options);
    if let Err(error) = &fired {
        work.stop();
        cluster.drain();
        let history = work.history();
        let findings = check(&history, &Limits::default()).lines;
        let summary = vec![format!("The run could not go on: {error:#}")];
        let told = (false, summary, findings);
        if let Err(error) = keep(options, &cluster, &history, &places, told) {
            say(&format!("{error:#}"));
        }
    }
    let (rounds, empty) = fired.map_err(|error| {
        let (odd, refusals) = work.notes();
        let notes = format!("clients met {odd:?}, refusals {refusals:?}");
        cluster.story(&error.context(notes).context(format!("seed {}", options.seed)))
    })?;
    let lasted = begun.elapsed();
    let (report, history) = judged(&mut cluster, &mut work, rounds).map_err(|error| cluster.story(&error))?;
    let report = Report { seed: options.seed, empty, first, lasted, ..report };
    let (good, summary, findings) = (report.good(), report.summary(), report.checked.lines.clone());
    keep(options, &cluster, &history, &places, (good, summary, findings))?;
    Ok(report)
}

/// Writes the files that the options name; the last argument is the verdict, the summary and the checker's findings.
fn keep(
    options: &Options,
    cluster: &Cluster,
    history: &History,
    places: &Places,
    (good, summary, findings): (bool, Vec<String>, Vec<String>),
) -> Result<()> {
    if let Some(path) = &options.history {
        keep::history(path, history)?;
    }
    let Some(path) = &options.timeline else { return Ok(()) };
    let Options { nodes, partitions, kills, seed, .. } = options;
    let title =
        format!("Callboard under fire: {nodes} nodes, {partitions} partitions, {kills} kills, seed {seed}");
    keep::timeline(path, cluster, history, places, Outcome { title, good, summary, findings })
}

fn rounds(cluster: &mut Cluster, work: &Work, options: &Options) -> Result<(Vec<Round>, u32)> {
    let mut rng = Rng::new(options.seed);
    let (mut rounds, mut empty): (Vec<Round>, u32) = (Vec::new(), 0);
    let mut waiting: Vec<Kind> =
        Kind::ALL.into_iter().cycle().take(usize::try_from(options.kills)?).collect();
    while !waiting.is_empty() {
        let mut fired = None;
        // A kind that has no victim now comes after another one.
        for (at, kind) in waiting.iter().enumerate() {
            if let Some(round) = fire(cluster, work, *kind, options, &mut rng)
                .with_context(|| format!("kill {} of the run", rounds.len() + 1))?
            {
                fired = Some((at, round));
                break;
            }
        }
        let Some((at, round)) = fired else { bail!("no node fits {waiting:?}") };
        say(&format!("{:>3} {}", rounds.len() + 1, round.line()));
        if round.counts() {
            waiting.remove(at);
            rounds.push(round);
        } else {
            empty += 1;
            if empty > 3 * options.kills.max(3) {
                bail!("{empty} rounds with fewer than 100 records: the load does not run");
            }
        }
    }
    Ok((rounds, empty))
}

/// Ends the load, reads every partition from its leader and judges.
pub fn finish(cluster: &mut Cluster, work: &mut Work, rounds: Vec<Round>) -> Result<Report> {
    Ok(judged(cluster, work, rounds)?.0)
}

fn judged(cluster: &mut Cluster, work: &mut Work, mut rounds: Vec<Round>) -> Result<(Report, History)> {
    let commits = work.commits();
    let finished = work.finish()?;
    let partitions =
        (0..work.partitions()).map(|partition| work.read(partition)).collect::<Result<Vec<_>>>()?;
    work.group_kept()?;
    tally(&mut rounds, &finished.lanes, &partitions);
    let ledgers: Vec<Ledger> = finished.lanes.into_iter().map(|lane| lane.ledger).collect();
    let (counts, broken) = match judge(finished.script, &ledgers, &partitions, &finished.seen) {
        Ok(counts) => (counts, None),
        Err(error) => (Counts::default(), Some(format!("{error:#}"))),
    };
    let history = work.history();
    let checked = check(&history, &Limits::default());
    let (odd, refusals) = work.notes();
    cluster.drain();
    let report = Report {
        seed: finished.script.seed,
        rounds,
        empty: 0,
        formed: cluster.formed,
        first: Duration::ZERO,
        lasted: Duration::ZERO,
        commits,
        counts,
        checked,
        broken,
        odd,
        bad: cluster.bad().to_vec(),
        refusals,
        resent: ledgers.iter().map(|ledger| ledger.resent).sum(),
    };
    Ok((report, history))
}
