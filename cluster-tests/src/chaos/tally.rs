//! Losses and duplicates by round. A record belongs to the round in which it was acknowledged.
//!
//! The judge says whether promises were kept; this count says to which kill one should look. A loss may stem from the kill
//! of its round or from the one before it.

use std::collections::HashMap;

use bytes::Buf;

use super::report::Round;
use super::shared::LaneEnd;
use crate::process::load::Fate;
use crate::process::verdict::Read;

/// Acknowledged records that were not found, and records that were found more than once.
pub(super) fn missing(lanes: &[LaneEnd], partitions: &[Vec<Read>]) -> (u64, u64) {
    let found = found(partitions);
    let (mut lost, mut twice) = (0, 0);
    for lane in lanes {
        for n in 0..lane.ledger.sent.len() as u64 {
            match found.get(&(lane.ledger.producer, n)) {
                None if acked(lane, n) => lost += 1,
                Some(2..) => twice += 1,
                _ => {}
            }
        }
    }
    (lost, twice)
}

/// How often each record of each producer stands in the partitions.
fn found(partitions: &[Vec<Read>]) -> HashMap<(u32, u64), u64> {
    let mut found: HashMap<(u32, u64), u64> = HashMap::new();
    for read in partitions.iter().flatten().filter(|read| read.value.len() >= 12) {
        let mut value = read.value.clone();
        *found.entry((value.get_u32(), value.get_u64())).or_default() += 1;
    }
    found
}

/// Fills in what each round lost and had twice.
pub(super) fn tally(rounds: &mut [Round], lanes: &[LaneEnd], partitions: &[Vec<Read>]) {
    let found = found(partitions);
    for lane in lanes {
        for (first, count, time) in &lane.times {
            let round = rounds.partition_point(|round| round.killed <= *time);
            let Some(round) = round.checked_sub(1).and_then(|at| rounds.get_mut(at)) else { continue };
            for n in *first..first + count {
                match found.get(&(lane.ledger.producer, n)) {
                    None if acked(lane, n) => round.lost += 1,
                    Some(2..) => round.duplicated += 1,
                    _ => {}
                }
            }
        }
    }
}

fn acked(lane: &LaneEnd, n: u64) -> bool {
    let sent = usize::try_from(n).ok().and_then(|n| lane.ledger.sent.get(n));
    sent.is_some_and(|sent| sent.fate != Fate::Unknown)
}
