//! A history of a million operations, of twenty producers and eight readers: it passes, and one record that is lost in it
//! is found. No time is asserted; the test prints it.

use std::time::Instant;

use super::super::op::{Ends, History, Kind, Op, Outcome, Part};
use super::super::{Anomaly, Limits, check};

const PARTS: u32 = 16;
const PRODUCERS: u32 = 20;
const READERS: u32 = 8;
/// Sends; polls come on top.
const SENDS: u64 = 840_000;
/// Sends to one partition between two polls of one reader.
const BATCH: usize = 40;

fn long() -> History {
    let mut history = History::default();
    let parts: Vec<Part> = (0..PARTS).map(|n| history.part("t", n as i32)).collect();
    let mut logs: Vec<Vec<(i64, u64)>> = vec![Vec::new(); PARTS as usize];
    let op =
        |process, time, kind| Op { process, txn: 0, begin: time, end: time + 30, outcome: Outcome::Ok, kind };
    for value in 0..SENDS {
        let process = (value % u64::from(PRODUCERS)) as u32;
        let at = ((value * 7 + value / 13) % u64::from(PARTS)) as usize;
        let offset = logs[at].len() as i64;
        logs[at].push((offset, value));
        history.push(op(process, value * 10, Kind::Send { part: parts[at], value, offset }));
        if logs[at].len().is_multiple_of(BATCH) {
            let from = logs[at].len() - BATCH;
            let high = logs[at].len() as i64;
            for reader in 0..READERS {
                let ends = Ends { start: 0, stable: high, high };
                let kind = history.poll(parts[at], false, from as i64, &logs[at][from..], ends);
                history.push(op(100 + reader, value * 10 + 40, kind));
            }
        }
    }
    let end = SENDS * 10 + 1_000;
    for (part, log) in parts.iter().zip(&logs) {
        let high = log.len() as i64;
        let kind = history.poll(*part, false, 0, log, Ends { start: 0, stable: high, high });
        history.push(op(999, end, kind));
        history.push(op(999, end, Kind::Whole { part: *part, start: 0, end: high }));
    }
    history
}

#[test]
fn a_million_operations_are_judged() {
    let mut history = long();
    assert!(history.ops.len() > 1_000_000, "{}", history.ops.len());
    let begun = Instant::now();
    let verdict = check(&history, &Limits::default());
    let took = begun.elapsed();
    crate::process::say(&format!(
        "{} operations with {} records judged in {} ms",
        history.ops.len(),
        history.records.len(),
        took.as_millis()
    ));
    assert!(verdict.good(), "{verdict}");
    // The last record of the last partition is gone.
    history.records.pop();
    if let Some(Kind::Poll { records, .. }) = history
        .ops
        .iter_mut()
        .rev()
        .find_map(|op| matches!(op.kind, Kind::Poll { .. }).then_some(&mut op.kind))
    {
        records.count -= 1;
    }
    let verdict = check(&history, &Limits::default());
    assert_eq!(verdict.count(Anomaly::LostWrite), 1, "{verdict}");
}
