//! Rules about one process's order: its polls go on where the last one ended, its sends stand in the log as it sent them.
//!
//! ```text
//!   log           10 11 12 13 14 15
//!   poll, poll    [10 11] [12 13]       good: the next visible offset
//!                 [10 11]    [13 14]    poll-skip
//!                 [10 11] [11 12]       nonmonotonic-poll
//! ```
//! A *unit* is a transaction or an operation outside one. Inside a unit the same rules have names that begin with `int-`.
//! Offsets that no reader may see (control records, aborted values) leave no hole, because ranks among visible offsets are
//! compared. A rebalance of a subscribed process lifts the rule between polls: what follows is counted and allowed. A seek
//! lifts it for its partition.

use super::index::{Fast, Index, Txn};
use super::op::{Kind, Op, Outcome, Part, UNTOLD};
use super::verdict::{Anomaly, Verdict};

/// Where the last poll of a process in a partition ended.
#[derive(Clone, Copy)]
struct Read {
    rank: usize,
    offset: i64,
    op: u32,
    txn: Txn,
    /// A rebalance came behind it.
    rebalanced: bool,
}

/// The last send of a process to a partition.
#[derive(Clone, Copy)]
struct Sent {
    rank: usize,
    offset: i64,
    op: u32,
    txn: Txn,
}

#[derive(Default)]
struct Places {
    reads: Fast<(u32, u32), Read>,
    sends: Fast<(u32, u32), Sent>,
}

pub(super) fn check(index: &Index<'_>, verdict: &mut Verdict) {
    let mut places = Places::default();
    for (at, op) in index.ops() {
        match op.kind {
            Kind::Poll { .. } if op.outcome == Outcome::Ok => poll(index, &mut places, at, op, verdict),
            Kind::Send { .. } if index.fate(op) != Outcome::Fail => {
                send(index, &mut places, at, op, verdict);
            }
            Kind::Assign { parts } if op.outcome == Outcome::Ok => {
                let kept: Vec<u32> = parts.of(&index.history.lists).iter().map(|part| part.0).collect();
                places.reads.retain(|(process, part), _| *process != op.process || kept.contains(part));
            }
            Kind::Subscribe { .. } | Kind::Rebalance { .. } => {
                let own = places.reads.iter_mut().filter(|((process, _), _)| *process == op.process);
                own.for_each(|(_, read)| read.rebalanced = true);
            }
            Kind::Seek { part, .. } => {
                places.reads.remove(&(op.process, part.0));
            }
            _ => {}
        }
    }
}

fn unit(op: &Op, at: u32) -> Txn {
    // Operations outside transactions are units of their own.
    if op.txn == 0 { (u32::MAX, at) } else { (op.process, op.txn) }
}

fn poll(index: &Index<'_>, places: &mut Places, at: u32, op: &Op, verdict: &mut Verdict) {
    let Kind::Poll { part, records, .. } = op.kind else { return };
    let Some(log) = index.log(part) else { return };
    let key = (op.process, part.0);
    let mut last = places.reads.get(&key).copied();
    for (offset, _) in records.of(&index.history.records).iter().copied() {
        // A hidden record was read uncommitted; it has no rank to compare.
        let next = last.map_or(0, |last| last.rank + 1);
        let rank = if log.visible.get(next) == Some(&offset) { Some(next) } else { log.rank(offset) };
        let Some(rank) = rank else { continue };
        let now = Read { rank, offset, op: at, txn: unit(op, at), rebalanced: false };
        if let Some(before) = last {
            step(part, &before, &now, verdict);
        }
        last = Some(now);
    }
    if let Some(last) = last {
        places.reads.insert(key, last);
    }
}

fn step(part: Part, before: &Read, now: &Read, verdict: &mut Verdict) {
    let inside = before.txn == now.txn;
    let (skip, back) = match (before.rebalanced, inside) {
        (true, _) => (Anomaly::RebalanceSkip, Anomaly::RebalanceRewind),
        (false, true) => (Anomaly::IntPollSkip, Anomaly::IntNonmonotonicPoll),
        (false, false) => (Anomaly::PollSkip, Anomaly::NonmonotonicPoll),
    };
    let ops = if before.op == now.op { vec![now.op] } else { vec![before.op, now.op] };
    let (was, is) = (before.offset, now.offset);
    if now.rank > before.rank + 1 {
        let skipped = now.rank - before.rank - 1;
        verdict.add(skip, part, &ops, || format!("offset {is} behind {was}: {skipped} records left out"));
    } else if now.rank <= before.rank {
        verdict.add(back, part, &ops, || format!("offset {is} behind {was}"));
    }
}

fn send(index: &Index<'_>, places: &mut Places, at: u32, op: &Op, verdict: &mut Verdict) {
    let Kind::Send { part, value, offset } = op.kind else { return };
    let Some(log) = index.log(part) else { return };
    let told = if offset == UNTOLD { log.place(value) } else { Some(offset) };
    let Some(offset) = told else { return };
    let Some(rank) = log.rank(offset) else { return };
    let now = Sent { rank, offset, op: at, txn: unit(op, at) };
    let Some(before) = places.sends.insert((op.process, part.0), now) else { return };
    let (inside, ops) = (before.txn == now.txn, [before.op, at]);
    if now.rank <= before.rank {
        let anomaly = if inside { Anomaly::IntNonmonotonicSend } else { Anomaly::NonmonotonicSend };
        verdict.add(anomaly, part, &ops, || {
            format!("the later value stands at {}, the earlier at {}", now.offset, before.offset)
        });
    } else if inside && now.rank > before.rank + 1 {
        verdict.add(Anomaly::IntSendSkip, part, &ops, || {
            format!(
                "{} records of others between {} and {}",
                now.rank - before.rank - 1,
                before.offset,
                now.offset
            )
        });
    }
}
