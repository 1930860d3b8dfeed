//! Rules about the logs: every acknowledged value is there in the end, once, and nothing that was seen changes.
//!
//! - *lost-write* is stronger than Jepsen's rule: each acknowledged value must be in the final read, however high it lies.
//! - *inconsistent-offsets*: all sends and polls agree on the value of an offset.
//! - *duplicate*: a value has one offset.
//! - *truncation*: an offset that a poll returned keeps its record to the end.
//!
//! Values below an offset up to which a client deleted records are excused. These rules need no order of operations.

use super::index::{Index, Log, Told, seen};
use super::op::{Kind, Op, Outcome, Part, UNTOLD};
use super::verdict::{Anomaly, Verdict};

pub(super) fn check(index: &Index<'_>, verdict: &mut Verdict) {
    fates(index, verdict);
    for (at, log) in index.logs.iter().enumerate() {
        let part = Part(at as u32);
        for group in log.told.chunk_by(|a, b| a.offset == b.offset) {
            one_offset(index, part, log, group, verdict);
        }
        duplicates(part, log, verdict);
    }
}

fn fates(index: &Index<'_>, verdict: &mut Verdict) {
    let mut unread: Vec<Option<(u32, u64)>> = vec![None; index.logs.len()];
    for (at, op) in index.ops() {
        let Kind::Send { part, value, offset } = op.kind else { continue };
        let Some(log) = index.log(part) else { continue };
        let found = index.seen.get(at as usize).is_some_and(|bits| bits & seen::FINAL != 0);
        let fate = index.fate(op);
        match fate {
            Outcome::Ok => verdict.figures.sent_ok += 1,
            Outcome::Fail => verdict.figures.sent_fail += 1,
            Outcome::Info => {
                verdict.figures.sent_info += 1;
                verdict.figures.info_there += u64::from(found);
            }
        }
        if fate != Outcome::Ok || found {
            continue;
        }
        match log.whole {
            None => {
                if let Some(slot) = unread.get_mut(part.0 as usize) {
                    slot.get_or_insert((at, 0)).1 += 1;
                }
            }
            Some((whole, _)) if !excused(log, offset) => lost(verdict, part, (at, op), value, whole),
            Some(_) => {}
        }
    }
    for (part, first) in unread.iter().enumerate() {
        if let Some((at, count)) = first {
            verdict.add(Anomaly::NotRead, Part(part as u32), &[*at], || {
                format!("{count} values were acknowledged, and no final read tells whether they are there")
            });
        }
    }
}

fn lost(verdict: &mut Verdict, part: Part, (at, op): (u32, &Op), value: u64, whole: u32) {
    let Kind::Send { offset, .. } = op.kind else { return };
    let place = if offset == UNTOLD { String::new() } else { format!(" at {offset}") };
    verdict.add(Anomaly::LostWrite, part, &[at, whole], || {
        format!("value {value} was acknowledged{place} and is not in the final read")
    });
}

/// Whether records up to this offset may have been deleted on request.
fn excused(log: &Log, offset: i64) -> bool {
    log.trimmed > 0 && offset < log.trimmed
}

fn one_offset(index: &Index<'_>, part: Part, log: &Log, group: &[Told], verdict: &mut Verdict) {
    let Some(first) = group.first() else { return };
    let offset = first.offset;
    if let Some(other) = group.iter().find(|told| told.value != first.value) {
        verdict.add(Anomaly::InconsistentOffsets, part, &[first.op, other.op], || {
            format!("offset {offset} has the values {} and {}", first.value, other.value)
        });
    }
    let polled = || group.iter().filter(|told| told.polled && index.shown(told));
    let Some(saw) = polled().min_by_key(|told| index.op(told.op).map(|op| op.begin)) else { return };
    let changed = polled().find(|told| told.value != saw.value);
    let kept = group.iter().any(|told| told.last);
    if let Some(other) = changed {
        verdict.add(Anomaly::Truncation, part, &[saw.op, other.op], || {
            format!("a poll saw value {} at {offset}, a later one saw {}", saw.value, other.value)
        });
    } else if let Some((whole, _)) = log.whole.filter(|_| !kept && !excused(log, offset)) {
        verdict.add(Anomaly::Truncation, part, &[saw.op, whole], || {
            format!("a poll saw value {} at {offset}, and the final read has nothing there", saw.value)
        });
    }
}

fn duplicates(part: Part, log: &Log, verdict: &mut Verdict) {
    let mut all: Vec<(u64, i64, u32)> = log.told.iter().map(|t| (t.value, t.offset, t.op)).collect();
    all.sort_unstable();
    all.dedup_by_key(|told| (told.0, told.1));
    for group in all.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1) {
        let ops: Vec<u32> = group.iter().map(|told| told.2).collect();
        verdict.add(Anomaly::Duplicate, part, &ops, || {
            let offsets: Vec<String> = group.iter().map(|told| told.1.to_string()).collect();
            format!("value {} stands at the offsets {}", group[0].0, offsets.join(", "))
        });
    }
}
