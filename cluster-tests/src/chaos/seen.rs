//! The findings of each play, and a table of all: one line of figures a play, one line a fault.
//!
//! Gaps and latencies are figures and no verdict: a machine that does other work shows others.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Write as _};
use std::time::Duration;

/// Log lines of one fault that are shown.
const SHOWN: usize = 5;

/// One play and what was seen.
#[derive(Clone, Default, Debug)]
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
    /// The checker's findings on the history of all clients.
    pub findings: Vec<String>,
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
}

impl Seen {
    /// Whether every promise was kept.
    #[must_use]
    pub fn good(&self) -> bool {
        self.broken.is_none() && self.lost + self.twice == 0
    }

    /// The figures, without a loss of words.
    #[must_use]
    pub fn figures(&self) -> String {
        format!(
            "Longest gap {} ms, of commits {} ms; {} elections of a controller, {} changes of partition leaders; full ISR {} ms after the \
             heal; {} records acknowledged, {} lost, {} twice.",
            self.gap.as_millis(),
            self.gap_commits.as_millis(),
            self.elections,
            self.moves,
            self.whole.as_millis(),
            self.acked,
            self.lost,
            self.twice
        )
    }
}

impl Outcome {
    /// Whether every promise was kept in every play, and something was played.
    #[must_use]
    pub fn good(&self) -> bool {
        !self.seen.is_empty() && self.seen.iter().all(Seen::good)
    }
}

impl Outcome {
    /// One line for each fault, with the seeds of the plays that broke a promise.
    #[must_use]
    pub fn table(&self) -> String {
        let mut by_id: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
        self.seen.iter().for_each(|seen| by_id.entry(seen.id).or_default().push(seen));
        let mut text =
            "fault  plays  failed  gap p50  gap max (ms)  elections    acked  lost  twice\n".to_owned();
        for (id, plays) in by_id {
            let mut gaps: Vec<u128> = plays.iter().map(|seen| seen.gap.as_millis()).collect();
            gaps.sort_unstable();
            let sum = |count: fn(&Seen) -> u64| plays.iter().map(|seen| count(seen)).sum::<u64>();
            let bad: Vec<String> =
                plays.iter().filter(|seen| !seen.good()).map(|seen| seen.seed.to_string()).collect();
            let _ = write!(
                text,
                "{id:<5} {:>6} {:>7} {:>8} {:>13} {:>10} {:>8} {:>5} {:>6}",
                plays.len(),
                bad.len(),
                gaps.get(gaps.len() / 2).copied().unwrap_or_default(),
                gaps.last().copied().unwrap_or_default(),
                sum(|seen| seen.elections),
                sum(|seen| seen.acked),
                sum(|seen| seen.lost),
                sum(|seen| seen.twice)
            );
            text += &if bad.is_empty() {
                "\n".to_owned()
            } else {
                format!("  failed with seed {}\n", bad.join(", "))
            };
        }
        text
    }
}
