//! Figures of liveness: values that were acknowledged and not polled yet, and by how much polls were behind.
//!
//! ```text
//!   unseen   acknowledged values minus polled ones, over time; the final read does not count
//!   lag      a poll that began at 4 has read up to offset 0; offset 1 was there since 3: it is behind by 1 at least
//! ```
//! The lag is a lower bound. It takes the position of the poll itself, so it needs no memory of earlier polls.

use super::index::{Fast, Index};
use super::op::{Kind, Op, Outcome, Part, Time, UNTOLD};
use super::verdict::{Anomaly, Verdict};

/// Limits of the figures; `None` only measures.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long the last stable offset may stand below the end: longer than a transaction lasts.
    pub stuck: Time,
    pub unseen: Option<u64>,
    pub lag: Option<Time>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { stuck: 120_000_000, unseen: None, lag: None }
    }
}

pub(super) fn check(index: &Index<'_>, limits: &Limits, verdict: &mut Verdict) {
    count(index, verdict);
    unseen(index, limits, verdict);
    lag(index, limits, verdict);
}

fn count(index: &Index<'_>, verdict: &mut Verdict) {
    let mut processes: Fast<u32, ()> = Fast::default();
    let figures = &mut verdict.figures;
    figures.ops = index.history.ops.len() as u64;
    for (_, op) in index.ops() {
        processes.insert(op.process, ());
        match op.kind {
            Kind::Poll { part, records, .. } => {
                figures.polls += 1;
                figures.polled += u64::from(records.count);
                if index.is_final(op, part) {
                    figures.finally += u64::from(records.count);
                }
            }
            Kind::Rebalance { .. } => figures.rebalances += 1,
            _ => {}
        }
    }
    figures.processes = processes.len() as u64;
}

fn unseen(index: &Index<'_>, limits: &Limits, verdict: &mut Verdict) {
    // When each value was first polled, by the place of its send.
    let mut polled: Vec<Time> = vec![Time::MAX; index.history.ops.len()];
    for (_, op) in index.ops() {
        let Kind::Poll { part, records, .. } = op.kind else { continue };
        if index.is_final(op, part) {
            continue;
        }
        for writer in records.of(&index.wrote) {
            if let Some(slot) = polled.get_mut(*writer as usize) {
                *slot = (*slot).min(op.end);
            }
        }
    }
    let mut changes: Vec<(Time, i64)> = Vec::new();
    for (at, op) in index.ops() {
        if matches!(op.kind, Kind::Send { .. }) && index.fate(op) == Outcome::Ok {
            let seen = polled.get(at as usize).copied().unwrap_or(Time::MAX);
            // A value that was polled before its answer came was never unseen.
            if seen > op.end {
                changes.push((op.end, 1));
                changes.push((seen, -1));
            }
        }
    }
    changes.sort_unstable();
    let (mut now, mut most) = (0_i64, 0_i64);
    for (_, change) in changes.iter().filter(|(time, _)| *time != Time::MAX) {
        now += change;
        most = most.max(now);
    }
    verdict.figures.unseen_most = most.unsigned_abs();
    verdict.figures.unseen_last = now.max(0).unsigned_abs();
    if let Some(limit) = limits.unseen.filter(|limit| most.unsigned_abs() > *limit) {
        verdict
            .add(Anomaly::Unseen, None, &[], || format!("{most} values at one time; the limit is {limit}"));
    }
}

fn lag(index: &Index<'_>, limits: &Limits, verdict: &mut Verdict) {
    let mut there: Vec<Vec<(i64, Time)>> = vec![Vec::new(); index.logs.len()];
    for (_, op) in index.ops().filter(|(_, op)| op.outcome == Outcome::Ok) {
        let (part, offset) = match op.kind {
            Kind::Send { part, offset, .. } if index.fate(op) == Outcome::Ok => (part, offset),
            Kind::Poll { part, records, .. } => {
                (part, records.of(&index.history.records).last().map_or(UNTOLD, |record| record.0))
            }
            _ => continue,
        };
        if let Some(list) = there.get_mut(part.0 as usize).filter(|_| offset != UNTOLD) {
            list.push((offset, op.end));
        }
    }
    for list in &mut there {
        list.sort_unstable();
        // An offset is there as soon as any higher one is.
        let mut earliest = Time::MAX;
        for (_, time) in list.iter_mut().rev() {
            earliest = earliest.min(*time);
            *time = earliest;
        }
    }
    for (at, op) in index.ops().filter(|(_, op)| op.outcome == Outcome::Ok) {
        let Kind::Poll { part, from, records, .. } = op.kind else { continue };
        if index.is_final(op, part) {
            continue;
        }
        let next = records.of(&index.history.records).last().map_or(from, |record| record.0 + 1);
        let Some(behind) = behind(&there, part, next, op) else { continue };
        if behind > verdict.figures.lag {
            (verdict.figures.lag, verdict.figures.lag_at) = (behind, op.begin);
            verdict.figures.lag_op = at;
        }
        if let Some(limit) = limits.lag.filter(|limit| behind > *limit) {
            verdict.add(Anomaly::RealtimeLag, part, &[at], || {
                format!("{} ms behind; the limit is {} ms", behind / 1_000, limit / 1_000)
            });
        }
    }
}

/// By how much a poll was behind that knows nothing from this offset on.
fn behind(there: &[Vec<(i64, Time)>], part: Part, next: i64, op: &Op) -> Option<Time> {
    let list = there.get(part.0 as usize)?;
    let (_, since) = list.get(list.partition_point(|(offset, _)| *offset < next))?;
    op.begin.checked_sub(*since)
}
