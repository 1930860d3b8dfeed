//! What a check found: anomalies by name, with the operations that show each, and figures.
//!
//! Names are those of `jepsen.tests.kafka` where it has one. A few are counted and allowed, because Kafka's model allows
//! them. The first findings of each name are kept with words; all are counted. This file decides nothing else.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};

use super::op::{History, Part, Time};

/// Findings of one name that are kept with words.
const KEPT: usize = 8;

/// The kinds of anomalies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Anomaly {
    /// An acknowledged value is not in the final read.
    LostWrite,
    /// One offset has two values.
    InconsistentOffsets,
    /// One value stands at two offsets.
    Duplicate,
    /// A read value that no process has sent to this partition.
    NeverSent,
    /// A read value whose send failed or whose transaction was aborted.
    G1a,
    /// A transaction read its own value.
    PrecommittedRead,
    /// Of two polls of one process the second began at or before the last record of the first.
    NonmonotonicPoll,
    /// Of two polls of one process the second began behind records that the first had not reached.
    PollSkip,
    /// The same two across a rebalance of a subscribed process.
    RebalanceRewind,
    RebalanceSkip,
    /// The same two inside one poll or one transaction.
    IntNonmonotonicPoll,
    IntPollSkip,
    /// Two sends of one process stand in the log in the other order.
    NonmonotonicSend,
    /// The same inside one transaction.
    IntNonmonotonicSend,
    /// Others' records stand between two sends of one transaction.
    IntSendSkip,
    /// A cycle of transactions of which each wrote before the next one.
    G0,
    /// A cycle of transactions of which each read what the one before wrote.
    G1c,
    /// A cycle of both kinds of steps.
    G1cWithWrites,
    /// A record that a consumer had seen is gone or another one.
    Truncation,
    /// The end of a partition went back for a consumer.
    EndRegress,
    /// The high watermark of polls went back for a consumer while a new leader catches up.
    WatermarkBehind,
    TwoLeaders,
    ForeignCluster,
    /// A group's place is one that was overwritten before, or that no member asked for.
    GroupOffsetRegress,
    StuckStable,
    /// Records below the start of the log were returned.
    BelowStart,
    /// The final read of a partition is missing, so nothing can be said about losses.
    NotRead,
    /// A value was sent twice, so the history cannot be judged.
    BadHistory,
    /// More values than the limit were acknowledged and never polled.
    Unseen,
    /// A poll was further behind than the limit.
    RealtimeLag,
}

impl Anomaly {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Anomaly::LostWrite => "lost-write",
            Anomaly::InconsistentOffsets => "inconsistent-offsets",
            Anomaly::Duplicate => "duplicate",
            Anomaly::NeverSent => "never-sent",
            Anomaly::G1a => "g1a",
            Anomaly::PrecommittedRead => "precommitted-read",
            Anomaly::NonmonotonicPoll => "nonmonotonic-poll",
            Anomaly::PollSkip => "poll-skip",
            Anomaly::RebalanceRewind => "nonmonotonic-poll across a rebalance",
            Anomaly::RebalanceSkip => "poll-skip across a rebalance",
            Anomaly::IntNonmonotonicPoll => "int-nonmonotonic-poll",
            Anomaly::IntPollSkip => "int-poll-skip",
            Anomaly::NonmonotonicSend => "nonmonotonic-send",
            Anomaly::IntNonmonotonicSend => "int-nonmonotonic-send",
            Anomaly::IntSendSkip => "int-send-skip",
            Anomaly::G0 => "G0",
            Anomaly::G1c => "G1c",
            Anomaly::G1cWithWrites => "G1c with ww edges",
            Anomaly::Truncation => "truncation below the high watermark",
            Anomaly::EndRegress => "end offset went back",
            Anomaly::WatermarkBehind => "high watermark of a new leader behind",
            Anomaly::TwoLeaders => "two leaders in one epoch",
            Anomaly::ForeignCluster => "foreign cluster id",
            Anomaly::GroupOffsetRegress => "group-offset regress",
            Anomaly::StuckStable => "stuck last stable offset",
            Anomaly::BelowStart => "offsets below the log start",
            Anomaly::NotRead => "not read to the end",
            Anomaly::BadHistory => "value sent twice",
            Anomaly::Unseen => "unseen",
            Anomaly::RealtimeLag => "realtime-lag",
        }
    }

    /// Whether Kafka's model allows it, so that it is counted only.
    ///
    /// A new leader's watermark may be behind (R4, R32): it tells no end meanwhile, and a fetch beyond it waits.
    #[must_use]
    pub fn allowed(self) -> bool {
        matches!(
            self,
            Anomaly::RebalanceRewind
                | Anomaly::RebalanceSkip
                | Anomaly::IntSendSkip
                | Anomaly::G0
                | Anomaly::G1cWithWrites
                | Anomaly::WatermarkBehind
        )
    }
}

/// One anomaly and the operations that show it.
#[derive(Clone, Debug)]
pub struct Finding {
    pub anomaly: Anomaly,
    pub part: Option<Part>,
    /// Places in the history.
    pub ops: Vec<u32>,
    pub words: String,
}

/// Counts and measures of a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    pub ops: u64,
    pub processes: u64,
    pub sent_ok: u64,
    pub sent_fail: u64,
    pub sent_info: u64,
    /// Values without a known outcome that the final read found.
    pub info_there: u64,
    pub polls: u64,
    /// Records that all polls returned together.
    pub polled: u64,
    /// Records of the final read.
    pub finally: u64,
    pub commits_ok: u64,
    pub transactions: u64,
    pub rebalances: u64,
    /// The most values at one time that were acknowledged and not polled yet, outside the final read.
    pub unseen_most: u64,
    /// Such values at the end.
    pub unseen_last: u64,
    /// The longest time by which a poll was behind, when it began, and its operation.
    pub lag: Time,
    pub lag_at: Time,
    pub lag_op: u32,
}

/// The outcome of a check.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub counts: BTreeMap<Anomaly, u64>,
    pub findings: Vec<Finding>,
    pub figures: Figures,
    /// Findings in words, with their operations.
    pub lines: Vec<String>,
}

impl Verdict {
    /// Adds a finding; the words are made only while few of its name are kept.
    pub(super) fn add(
        &mut self,
        anomaly: Anomaly,
        part: impl Into<Option<Part>>,
        ops: &[u32],
        words: impl FnOnce() -> String,
    ) {
        let count = self.counts.entry(anomaly).or_default();
        *count += 1;
        if *count <= KEPT as u64 {
            self.findings.push(Finding { anomaly, part: part.into(), ops: ops.to_vec(), words: words() });
        }
    }

    /// Writes the findings as lines that need no history any more.
    pub(super) fn tell(&mut self, history: &History) {
        self.findings.sort_by_key(|finding| finding.anomaly);
        for finding in &self.findings {
            let part = finding.part.map(|part| format!(" {}", history.part_name(part))).unwrap_or_default();
            let allowed = if finding.anomaly.allowed() { " (allowed)" } else { "" };
            self.lines.push(format!("{}{allowed}{part}: {}", finding.anomaly.name(), finding.words));
            self.lines.extend(finding.ops.iter().map(|op| format!("    {}", history.say(*op))));
        }
    }

    /// How often an anomaly was found.
    #[must_use]
    pub fn count(&self, anomaly: Anomaly) -> u64 {
        self.counts.get(&anomaly).copied().unwrap_or_default()
    }

    /// Counts and names of what is not allowed.
    #[must_use]
    pub fn names(&self) -> String {
        let bad = self.counts.iter().filter(|(anomaly, _)| !anomaly.allowed());
        bad.map(|(anomaly, count)| format!("{count} x {}", anomaly.name())).collect::<Vec<_>>().join(", ")
    }

    /// Whether nothing was found that is not allowed.
    #[must_use]
    pub fn good(&self) -> bool {
        self.counts.keys().all(|anomaly| anomaly.allowed())
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let n = &self.figures;
        writeln!(
            f,
            "history: {} operations of {} processes; sends: {} ok, {} fail, {} info ({} of these there); \
             {} polls with {} records, {} in the final read; {} commits, {} rebalances, {} transactions",
            n.ops,
            n.processes,
            n.sent_ok,
            n.sent_fail,
            n.sent_info,
            n.info_there,
            n.polls,
            n.polled,
            n.finally,
            n.commits_ok,
            n.rebalances,
            n.transactions
        )?;
        writeln!(
            f,
            "unseen: {} values at most, {} at the end; worst realtime lag: {} ms, of the poll that began at {:.3} s",
            n.unseen_most,
            n.unseen_last,
            n.lag / 1_000,
            n.lag_at as f64 / 1e6
        )?;
        for (anomaly, count) in self.counts.iter().filter(|(anomaly, _)| anomaly.allowed()) {
            writeln!(f, "allowed: {count} x {}", anomaly.name())?;
        }
        for (anomaly, count) in self.counts.iter().filter(|(anomaly, _)| !anomaly.allowed()) {
            writeln!(f, "ANOMALY: {count} x {}", anomaly.name())?;
        }
        if !self.good() {
            self.lines.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        let verdict = if self.good() { "0 lost, 0 anomalies" } else { "ANOMALIES FOUND" };
        writeln!(f, "checker: {verdict}")
    }
}
