//! A small good history, with a place for something bad before its end.
//!
//! ```text
//!   offset   0    1    2    3    4    5 6    7
//!   a        101  102  103  104  301  - 303  -     303 is aborted, 5 and 7 are control records
//!   b        201  202  203  302  -
//! ```
//! Process 11 reads both partitions by assignment, 12 is a member of group g, 99 reads everything in the end. The logs are
//! those of the service; what is planted may change them, or tell something else.

use super::super::op::{Ends, History, Kind, Op, Outcome, Part, Time, UNTOLD};
use super::super::{Anomaly, Limits, Verdict, check};

pub const A: usize = 0;
pub const B: usize = 1;

pub struct Tale {
    pub history: History,
    /// Visible records of each partition.
    pub logs: [Vec<(i64, u64)>; 2],
    pub ends: [i64; 2],
    pub starts: [i64; 2],
    pub now: Time,
    /// Whether the end is read.
    pub whole: bool,
    /// How far the last stable offset is behind in the final read.
    pub behind: i64,
}

impl Tale {
    pub fn part(which: usize) -> Part {
        Part(which as u32)
    }

    pub fn op(&mut self, process: u32, txn: u32, outcome: Outcome, kind: Kind) -> u32 {
        let begin = self.now;
        self.now += 20;
        self.history.push(Op { process, txn, begin, end: begin + 10, outcome, kind })
    }

    /// A send that is answered with this offset; the log does not get it.
    pub fn told(&mut self, process: u32, txn: u32, which: usize, value: u64, offset: i64) -> u32 {
        self.op(process, txn, Outcome::Ok, Kind::Send { part: Tale::part(which), value, offset })
    }

    /// The log gets a value at its end.
    pub fn append(&mut self, which: usize, value: u64) -> i64 {
        let offset = self.ends[which];
        self.logs[which].push((offset, value));
        self.ends[which] += 1;
        offset
    }

    /// A send as it should be.
    pub fn send(&mut self, process: u32, txn: u32, which: usize, value: u64) -> u32 {
        let offset = self.append(which, value);
        self.told(process, txn, which, value, offset)
    }

    pub fn sent(&mut self, process: u32, which: usize, value: u64, outcome: Outcome) -> u32 {
        self.op(process, 0, outcome, Kind::Send { part: Tale::part(which), value, offset: UNTOLD })
    }

    /// A poll that returns these records.
    pub fn poll(&mut self, process: u32, txn: u32, which: usize, records: &[(i64, u64)]) -> u32 {
        let end = self.ends[which];
        self.poll_with(process, txn, which, records, Ends { start: 0, stable: end, high: end })
    }

    pub fn poll_with(
        &mut self,
        process: u32,
        txn: u32,
        which: usize,
        records: &[(i64, u64)],
        ends: Ends,
    ) -> u32 {
        let from = records.first().map_or(0, |record| record.0);
        let kind = self.history.poll(Tale::part(which), true, from, records, ends);
        self.op(process, txn, Outcome::Ok, kind)
    }

    pub fn end_txn(
        &mut self,
        process: u32,
        txn: u32,
        commit: bool,
        outcome: Outcome,
        parts: &[usize],
    ) -> u32 {
        parts.iter().for_each(|which| self.ends[*which] += 1);
        self.op(process, txn, outcome, Kind::EndTxn { commit })
    }

    pub fn assign(&mut self, process: u32, which: &[usize]) -> u32 {
        let parts: Vec<Part> = which.iter().map(|which| Tale::part(*which)).collect();
        let parts = self.history.list(&parts);
        self.op(process, 0, Outcome::Ok, Kind::Assign { parts })
    }

    pub fn rebalance(&mut self, process: u32, which: &[usize]) -> u32 {
        let parts: Vec<Part> = which.iter().map(|which| Tale::part(*which)).collect();
        let parts = self.history.list(&parts);
        self.op(process, 0, Outcome::Ok, Kind::Rebalance { parts })
    }

    pub fn commit(&mut self, offset: i64, outcome: Outcome) -> u32 {
        let group = self.history.word("g");
        self.op(12, 0, outcome, Kind::Commit { group, part: Tale::part(A), offset })
    }

    pub fn committed(&mut self, offset: i64) -> u32 {
        let group = self.history.word("g");
        self.op(12, 0, Outcome::Ok, Kind::Committed { group, part: Tale::part(A), offset })
    }

    pub fn end(&mut self, process: u32, which: usize, offset: i64) -> u32 {
        self.op(process, 0, Outcome::Ok, Kind::End { part: Tale::part(which), offset })
    }

    fn begin() -> Tale {
        let mut history = History::default();
        history.wall_ms = 1_790_000_000_000;
        history.part("t", 0);
        history.part("t", 1);
        history.processes.insert(11, "a reader".into());
        let (logs, ends, starts) = Default::default();
        let mut tale = Tale { history, logs, ends, starts, now: 100, whole: true, behind: 0 };
        let cluster = tale.history.word("ours");
        tale.op(11, 0, Outcome::Ok, Kind::Cluster { id: cluster });
        tale.op(11, 0, Outcome::Ok, Kind::Leader { part: Tale::part(A), epoch: 0, leader: 1 });
        tale.op(12, 0, Outcome::Ok, Kind::Leader { part: Tale::part(A), epoch: 0, leader: 1 });
        for value in 101..=104 {
            tale.send(1, 0, A, value);
        }
        for value in 201..=203 {
            tale.send(2, 0, B, value);
        }
        tale.assign(11, &[A, B]);
        tale.poll(11, 0, A, &[(0, 101), (1, 102)]);
        tale.poll(11, 0, A, &[(2, 103), (3, 104)]);
        tale.poll(11, 0, B, &[(0, 201), (1, 202), (2, 203)]);
        let group = tale.history.word("g");
        tale.op(12, 0, Outcome::Ok, Kind::Subscribe { group });
        tale.rebalance(12, &[A]);
        tale.committed(-1);
        tale.poll(12, 0, A, &[(0, 101), (1, 102), (2, 103), (3, 104)]);
        tale.commit(4, Outcome::Ok);
        tale.send(3, 1, A, 301);
        tale.send(3, 1, B, 302);
        tale.end_txn(3, 1, true, Outcome::Ok, &[A, B]);
        let hidden = tale.ends[A];
        tale.ends[A] += 1;
        tale.told(3, 2, A, 303, hidden);
        tale.end_txn(3, 2, false, Outcome::Ok, &[A]);
        tale.poll(11, 0, A, &[(4, 301)]);
        tale.end(11, A, 8);
        tale
    }

    fn finish(&mut self) {
        self.assign(99, &[A, B]);
        for which in [A, B] {
            let (records, end, start) = (self.logs[which].clone(), self.ends[which], self.starts[which]);
            let records: Vec<_> = records.into_iter().filter(|record| record.0 >= start).collect();
            if !self.whole {
                continue;
            }
            let ends = Ends { start, stable: end - self.behind, high: end };
            self.poll_with(99, 0, which, &records, ends);
            self.op(99, 0, Outcome::Ok, Kind::Whole { part: Tale::part(which), start, end });
        }
    }
}

/// The history with something planted before its final read; what `plant` returns goes along.
pub fn tell<T>(plant: impl FnOnce(&mut Tale) -> T) -> (Tale, T) {
    let mut tale = Tale::begin();
    let planted = plant(&mut tale);
    tale.finish();
    (tale, planted)
}

/// Tells and judges; the anomalies found must be these, and one finding of the first must name these operations.
#[track_caller]
pub fn finds(expected: &[Anomaly], plant: impl FnOnce(&mut Tale) -> Vec<u32>) -> Verdict {
    let (tale, ops) = tell(plant);
    let verdict = check(&tale.history, &Limits::default());
    let found: Vec<Anomaly> = verdict.counts.keys().copied().collect();
    let mut sorted = expected.to_vec();
    sorted.sort();
    assert_eq!(found, sorted, "{verdict}");
    if let Some(first) = expected.first() {
        let named = |op: &u32| verdict.findings.iter().any(|f| f.anomaly == *first && f.ops.contains(op));
        assert!(ops.iter().all(named), "{ops:?} are not named: {verdict}\n{:?}", verdict.findings);
        let good = expected.iter().all(|anomaly| anomaly.allowed());
        assert_eq!(verdict.good(), good);
        assert!(verdict.lines.iter().any(|line| line.starts_with(first.name())), "{:?}", verdict.lines);
    }
    verdict
}
