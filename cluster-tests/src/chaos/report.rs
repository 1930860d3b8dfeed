//! The report of a run: a line for each kill, the election's line of a surviving node, and a summary by kind.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Write as _};
use std::time::{Duration, Instant};

use crate::history::Verdict;
use crate::process::verdict::Counts;

/// The node that a round kills.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// The leader of most partitions that is not the controller's node.
    Leader,
    /// The node that leads the metadata log.
    Controller,
    /// A node that is neither.
    Follower,
}

impl Kind {
    /// All kinds, in the order in which a run goes through them.
    pub const ALL: [Kind; 3] = [Kind::Leader, Kind::Controller, Kind::Follower];
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Kind::Leader => "leader",
            Kind::Controller => "controller",
            Kind::Follower => "follower",
        })
    }
}

/// One kill and what followed from it.
#[derive(Clone, Debug)]
pub struct Round {
    pub kind: Kind,
    pub node: i32,
    /// Whether it was the controller's node.
    pub controller: bool,
    /// Partitions that it led.
    pub led: Vec<i32>,
    /// Records sent and not acknowledged at the kill.
    pub in_flight: u64,
    /// Records acknowledged between the kill and the node's word that it serves again.
    pub outage: u64,
    /// Records acknowledged in the whole round.
    pub acked: u64,
    /// Records acknowledged in this round that were not found at the end.
    pub lost: u64,
    /// Records acknowledged in this round that were found more than once.
    pub duplicated: u64,
    /// `None` if it led no partition.
    pub gap_led: Option<Duration>,
    pub gap_all: Duration,
    pub gap_commits: Duration,
    pub down: Duration,
    /// From the start to the word that it serves.
    pub ready: Duration,
    /// From the start to the full ISR on every node.
    pub whole: Duration,
    pub election: Option<String>,
    pub vote: Option<String>,
    pub killed: Instant,
}

impl Round {
    /// Whether enough was going on for the round to say something.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.in_flight + self.outage >= 100
    }

    /// Numbers of the round as one line of the table.
    #[must_use]
    pub fn line(&self) -> String {
        let led = self.led.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let roles = match (self.controller, led.is_empty()) {
            (true, true) => "controller".to_owned(),
            (true, false) => format!("controller, leads {led}"),
            (false, true) => "leads none".to_owned(),
            (false, false) => format!("leads {led}"),
        };
        let led = self.gap_led.map_or("-".to_owned(), |gap| gap.as_millis().to_string());
        format!(
            "{:<10} {:>4}  {roles:<26} {:>9} {:>7} {:>7} {:>5} {:>5} {led:>8} {:>8} {:>8} {:>6} {:>6} {:>6}",
            self.kind,
            self.node,
            self.in_flight,
            self.outage,
            self.acked,
            self.lost,
            self.duplicated,
            self.gap_all.as_millis(),
            self.gap_commits.as_millis(),
            self.down.as_millis(),
            self.ready.as_millis(),
            self.whole.as_millis()
        )
    }

    /// The column heads above [`Round::line`].
    #[must_use]
    pub fn head() -> String {
        format!(
            "{:<10} {:>4}  {:<26} {:>9} {:>7} {:>7} {:>5} {:>5} {:>8} {:>8} {:>8} {:>6} {:>6} {:>6}",
            "kill",
            "node",
            "roles",
            "in flight",
            "outage",
            "acked",
            "lost",
            "twice",
            "gap led",
            "gap any",
            "gap grp",
            "down",
            "ready",
            "isr"
        )
    }
}

/// The outcome of a run.
#[derive(Debug)]
pub struct Report {
    pub seed: u64,
    pub rounds: Vec<Round>,
    /// Rounds with too few records, which were repeated.
    pub empty: u32,
    pub formed: Duration,
    /// From the first start to the first acknowledgement of each partition.
    pub first: Duration,
    pub lasted: Duration,
    pub commits: u64,
    pub counts: Counts,
    /// The checker's verdict on the history of all clients.
    pub checked: Verdict,
    /// Broken promises, as the judge says them; none in a good run.
    pub broken: Option<String>,
    /// Hung requests, which a client should not meet.
    pub odd: Vec<String>,
    /// Panics and errors in the nodes' logs.
    pub bad: Vec<String>,
    pub refusals: BTreeMap<i16, u64>,
    pub resent: u64,
}

impl Report {
    /// Whether all promises were kept.
    #[must_use]
    pub fn good(&self) -> bool {
        self.broken.is_none()
            && self.checked.good()
            && self.rounds.iter().all(|round| round.lost + round.duplicated == 0)
    }
}

impl Report {
    /// The verdict and the main figures as sentences.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        let verdict = match (&self.broken, self.checked.good()) {
            (None, true) => "0 acknowledged records lost, 0 duplicated, 0 reordered, 0 anomalies.".to_owned(),
            (Some(broken), _) => format!("PROMISES BROKEN: {broken}"),
            (None, false) => format!("ANOMALIES FOUND: {}.", self.checked.names()),
        };
        let n = &self.checked.figures;
        let figures = format!(
            "{} kills in {} s; {} records acknowledged, {} polls by {} clients, {} commits of the group; at most {} records \
             acknowledged and not yet polled.",
            self.rounds.len(),
            self.lasted.as_secs(),
            self.counts.acked,
            n.polls,
            n.processes,
            self.commits,
            n.unseen_most
        );
        vec![verdict, figures]
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "  # {}", Round::head())?;
        for (n, round) in self.rounds.iter().enumerate() {
            writeln!(f, "{:>3} {}", n + 1, round.line())?;
            for said in [&round.vote, &round.election].into_iter().flatten() {
                writeln!(f, "      {said}")?;
            }
        }
        writeln!(
            f,
            "(times in ms; gap: between two acknowledgements of one partition, of those that the node led, of any"
        )?;
        writeln!(f, " one, of the group's commits; ready and isr: from the restart)")?;
        f.write_str(&gaps(&self.rounds))?;
        let rate = self.counts.acked.checked_div(self.lasted.as_secs()).unwrap_or_default();
        writeln!(
            f,
            "{} kills in {} s, {} rounds repeated; formed in {} ms, all partitions acknowledged after {} ms",
            self.rounds.len(),
            self.lasted.as_secs(),
            self.empty,
            self.formed.as_millis(),
            self.first.as_millis()
        )?;
        writeln!(
            f,
            "{} records acknowledged ({rate}/s), {} read, {} commits; {} batches sent again, refusals by code {:?}",
            self.counts.acked, self.counts.read, self.commits, self.resent, self.refusals
        )?;
        for (what, lines) in [("clients met", &self.odd), ("logs say", &self.bad)] {
            if !lines.is_empty() {
                writeln!(f, "{what} ({}):\n  {}", lines.len(), lines.join("\n  "))?;
            }
        }
        write!(f, "{}", self.checked)?;
        match &self.broken {
            None if !self.checked.good() => writeln!(f, "seed {}: ANOMALIES FOUND", self.seed),
            None => {
                writeln!(f, "seed {}: 0 lost, 0 duplicated, 0 reordered, offsets without a gap", self.seed)
            }
            Some(broken) => writeln!(f, "seed {}: PROMISES BROKEN\n{broken}", self.seed),
        }
    }
}

/// Percentiles of the gaps by kind.
fn gaps(rounds: &[Round]) -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        let of = |gap: fn(&Round) -> Option<Duration>| {
            let mut all: Vec<u128> =
                rounds.iter().filter(|r| r.kind == kind).filter_map(gap).map(|gap| gap.as_millis()).collect();
            all.sort_unstable();
            let at = |percent: usize| all.get((all.len() * percent).div_ceil(100).max(1) - 1).copied();
            match (at(50), at(99), at(100)) {
                (Some(p50), Some(p99), Some(max)) => format!("p50 {p50} p99 {p99} max {max}"),
                _ => "none".to_owned(),
            }
        };
        let count = rounds.iter().filter(|round| round.kind == kind).count();
        let _ = writeln!(
            text,
            "{kind:<10} {count:>3} kills: gap of led partitions {}; of any {}; of commits {}",
            of(|round| round.gap_led),
            of(|round| Some(round.gap_all)),
            of(|round| Some(round.gap_commits))
        );
    }
    text
}
