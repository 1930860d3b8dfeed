//! Rules of Callboard's own about what clients were told: ends of logs, leaders, the cluster, places of groups.
//!
//! ```text
//!   end of a partition       never below what this consumer was told or has read; the final end never below anybody's
//!   watermark of a poll      may be behind after an election; counted
//!   last stable offset       below the end for longer than a transaction lasts, or in the final read: stuck
//!   start of the log         a poll that begins later returns nothing below it
//!   leader of an epoch       one
//!   cluster id               one
//!   place of a group         a register: a read returns a commit that nothing has overwritten before the read began
//! ```
//! Order between processes is real time: one operation is before another only if it ends before the other begins.

use std::collections::BTreeMap;

use super::index::{Fast, Index};
use super::op::{Kind, Op, Outcome, Part, Time, UNTOLD, Word};
use super::verdict::{Anomaly, Verdict};

pub(super) fn check(index: &Index<'_>, stuck: Time, verdict: &mut Verdict) {
    ends(index, verdict);
    stable(index, stuck, verdict);
    starts(index, verdict);
    names(index, verdict);
    groups(index, verdict);
}

fn ends(index: &Index<'_>, verdict: &mut Verdict) {
    // By process and partition: the largest end that was told or read, and where.
    let mut known: Fast<(u32, u32), (i64, u32)> = Fast::default();
    let mut told = |op: &Op, part: Part, at: u32, end: i64, anomaly: Anomaly, verdict: &mut Verdict| {
        let before = known.entry((op.process, part.0)).or_insert((UNTOLD, at));
        if end != UNTOLD && end < before.0 {
            verdict.add(anomaly, part, &[before.1, at], || {
                format!("the end is {end}, and it was {} before", before.0)
            });
        }
        if end > before.0 {
            *before = (end, at);
        }
    };
    for (at, op) in index.ops().filter(|(_, op)| op.outcome == Outcome::Ok) {
        match op.kind {
            Kind::End { part, offset } => told(op, part, at, offset, Anomaly::EndRegress, verdict),
            Kind::Poll { part, records, ends, .. } => {
                let high = index.history.ends_of(ends).high;
                told(op, part, at, high, Anomaly::WatermarkBehind, verdict);
                if let Some((last, _)) = records.of(&index.history.records).last() {
                    told(op, part, at, (last + 1).max(high), Anomaly::WatermarkBehind, verdict);
                }
            }
            _ => {}
        }
    }
    for (whole, op) in index.ops() {
        let Kind::Whole { part, end, .. } = op.kind else { continue };
        let others = known.iter().filter(|((_, known), _)| *known == part.0);
        let most = others.map(|(_, known)| *known).max();
        if let Some((before, at)) = most.filter(|(before, _)| end < *before) {
            verdict.add(Anomaly::EndRegress, part, &[at, whole], || {
                format!("the final end is {end}, and a consumer was told {before} before")
            });
        }
    }
}

fn stable(index: &Index<'_>, stuck: Time, verdict: &mut Verdict) {
    // By process and partition: the stable offset that stands below the end, since when, and whether that was told.
    let mut held: Fast<(u32, u32), (i64, u32, Time, bool)> = Fast::default();
    let mut last: BTreeMap<u32, (i64, i64, u32)> = BTreeMap::new();
    for (at, op) in index.ops().filter(|(_, op)| op.outcome == Outcome::Ok) {
        let Kind::Poll { part, ends, .. } = op.kind else { continue };
        let ends = index.history.ends_of(ends);
        if ends.stable == UNTOLD || ends.high == UNTOLD {
            continue;
        }
        if index.is_final(op, part) {
            last.insert(part.0, (ends.stable, ends.high, at));
        }
        let key = (op.process, part.0);
        match held.get_mut(&key).filter(|held| held.0 == ends.stable && ends.stable < ends.high) {
            Some((offset, first, since, told)) if !*told && op.begin.saturating_sub(*since) > stuck => {
                *told = true;
                let seconds = (op.begin - *since) / 1_000_000;
                verdict.add(Anomaly::StuckStable, part, &[*first, at], || {
                    format!("it stands at {offset} for {seconds} s while the end is {}", ends.high)
                });
            }
            Some(_) => {}
            None => drop(held.insert(key, (ends.stable, at, op.end, false))),
        }
    }
    for (part, (stable, high, at)) in last.into_iter().filter(|(_, (stable, high, _))| stable < high) {
        verdict.add(Anomaly::StuckStable, Part(part), &[at], || {
            format!("it stands at {stable} in the final read, while the end is {high}")
        });
    }
}

fn starts(index: &Index<'_>, verdict: &mut Verdict) {
    // By partition: end of the operation that told a start, this start, the operation.
    let mut told: Fast<u32, Vec<(Time, i64, u32)>> = Fast::default();
    for (at, op) in index.ops().filter(|(_, op)| op.outcome == Outcome::Ok) {
        let (part, start) = match op.kind {
            Kind::Poll { part, ends, .. } => (part, index.history.ends_of(ends).start),
            Kind::Trim { part, to } => (part, to),
            _ => continue,
        };
        if start > 0 {
            told.entry(part.0).or_default().push((op.end, start, at));
        }
    }
    for list in told.values_mut() {
        list.sort_unstable();
        let mut most = (0, 0);
        for (_, start, at) in list.iter_mut() {
            most = most.max((*start, *at));
            (*start, *at) = most;
        }
    }
    for (at, op) in index.ops() {
        let Kind::Poll { part, records, .. } = op.kind else { continue };
        let Some((first, _)) = records.of(&index.history.records).first() else { continue };
        let Some(list) = told.get(&part.0) else { continue };
        let before = list.partition_point(|(end, _, _)| *end < op.begin);
        let known = before.checked_sub(1).and_then(|at| list.get(at));
        if let Some((_, start, by)) = known.filter(|(_, start, _)| first < start) {
            verdict.add(Anomaly::BelowStart, part, &[*by, at], || {
                format!("a poll returned offset {first}, and the log began at {start} before")
            });
        }
    }
}

fn names(index: &Index<'_>, verdict: &mut Verdict) {
    let mut leaders: BTreeMap<(Part, i32), (i32, u32)> = BTreeMap::new();
    let mut cluster: Option<(Word, u32)> = None;
    for (at, op) in index.ops() {
        match op.kind {
            Kind::Leader { part, epoch, leader } if leader >= 0 => {
                let (known, first) = *leaders.entry((part, epoch)).or_insert((leader, at));
                if known != leader {
                    verdict.add(Anomaly::TwoLeaders, part, &[first, at], || {
                        format!("nodes {known} and {leader} lead in epoch {epoch}")
                    });
                }
            }
            Kind::Cluster { id } => {
                let (own, first) = *cluster.get_or_insert((id, at));
                if own != id {
                    let text = |word| index.history.word_text(word);
                    verdict.add(Anomaly::ForeignCluster, None, &[first, at], || {
                        format!("a node told cluster {}, others {}", text(id), text(own))
                    });
                }
            }
            _ => {}
        }
    }
}

/// Commits and reads of one group's place in one partition.
#[derive(Default)]
struct Register {
    /// Offset, begin, end; a commit of unknown outcome has no end.
    commits: Vec<(i64, Time, Time)>,
    /// End, begin, offset, operation of everything that shows what the place was.
    shown: Vec<(Time, Time, i64, u32)>,
    reads: Vec<(i64, u32)>,
}

fn groups(index: &Index<'_>, verdict: &mut Verdict) {
    let mut registers: BTreeMap<(Word, Part), Register> = BTreeMap::new();
    for (at, op) in index.ops() {
        match (op.kind, op.outcome) {
            (Kind::Commit { group, part, offset }, outcome) if outcome != Outcome::Fail => {
                let register = registers.entry((group, part)).or_default();
                let known = outcome == Outcome::Ok;
                register.commits.push((offset, op.begin, if known { op.end } else { Time::MAX }));
                if known {
                    register.shown.push((op.end, op.begin, offset, at));
                    verdict.figures.commits_ok += 1;
                }
            }
            (Kind::Committed { group, part, offset }, Outcome::Ok) => {
                let register = registers.entry((group, part)).or_default();
                register.shown.push((op.end, op.begin, offset, at));
                register.reads.push((offset, at));
            }
            _ => {}
        }
    }
    for ((group, part), register) in registers {
        let name = index.history.word_text(group);
        register.check(index, part, name, verdict);
    }
}

impl Register {
    fn check(mut self, index: &Index<'_>, part: Part, group: &str, verdict: &mut Verdict) {
        self.commits.sort_unstable();
        self.shown.sort_unstable();
        let newest = self.newest();
        for (offset, at) in &self.reads {
            let Some(op) = index.op(*at) else { continue };
            let own = self.commits.partition_point(|commit| commit.0 < *offset);
            let own = self.commits.get(own..).unwrap_or_default().iter().take_while(|c| c.0 == *offset);
            let asked = own.filter(|commit| commit.1 <= op.end).map(|commit| commit.2).max();
            // Before all commits the group has no place.
            let asked = if *offset < 0 { Some(0) } else { asked };
            let Some(until) = asked else {
                verdict.add(Anomaly::GroupOffsetRegress, part, &[*at], || {
                    format!("group {group} is at {offset}, which no member has committed")
                });
                continue;
            };
            let ended = self.shown.partition_point(|shown| shown.0 < op.begin);
            let over = ended.checked_sub(1).and_then(|at| newest.get(at)).into_iter().flatten().flatten();
            let over = over.filter(|(begin, other, _)| other != offset && *begin > until);
            if let Some((_, other, by)) = over.max() {
                verdict.add(Anomaly::GroupOffsetRegress, part, &[*by, *at], || {
                    format!("group {group} is at {offset}, and it was at {other} before")
                });
            }
        }
    }

    /// For each place in `shown`: the two latest begins with different offsets up to there.
    fn newest(&self) -> Vec<[Option<(Time, i64, u32)>; 2]> {
        let mut best: [Option<(Time, i64, u32)>; 2] = [None, None];
        let mut all = Vec::with_capacity(self.shown.len());
        for (_, begin, offset, at) in &self.shown {
            let now = (*begin, *offset, *at);
            match best {
                [Some(first), _] if first.1 == *offset => best[0] = Some(first.max(now)),
                [Some(first), _] if now > first => best = [Some(now), Some(first)],
                [Some(_), Some(second)] if second.1 == *offset || now > second => {
                    best[1] = Some(second.max(now));
                }
                [Some(_), None] => best[1] = Some(now),
                [Some(_), Some(_)] => {}
                [None, _] => best[0] = Some(now),
            }
            all.push(best);
        }
        all
    }
}
