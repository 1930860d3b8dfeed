//! The rules that hold for the applied entries.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, ensure};

use super::load::Book;
use crate::machine::State;

/// All nodes applied the same entries at the same indexes.
pub fn nodes_agree(dumps: &[State]) -> anyhow::Result<()> {
    for (n, dump) in dumps.iter().enumerate() {
        ensure!(dump == &dumps[0], "node {} differs from node 1", n + 1);
    }
    Ok(())
}

/// The findings of the check.
pub struct Orders {
    pub entries: usize,
    pub acknowledged: usize,
    /// Of unknown fate, and found.
    pub unknown_found: usize,
}

/// Every acknowledged number that this node must have is at the index it was acknowledged at, none is
/// there twice, terms rise with indexes, and one that was sent after another's answer is behind it.
pub fn acknowledged(state: &State, book: &Book) -> anyhow::Result<Orders> {
    let applied = state.applied.map_or(0, |id| id.index);
    ensure!(state.entries.is_sorted_by(|a, b| a.0 < b.0), "indexes fall");
    let at: HashMap<u64, u64> = state.entries.iter().map(|(index, seq)| (*seq, *index)).collect();
    ensure!(at.len() == state.entries.len(), "a number was applied twice");
    ensure!(at.keys().all(|seq| *seq < book.sent()), "a number that was never sent");
    let pages = book.pages();
    let mut acks: Vec<_> = pages.acks.iter().filter(|ack| ack.index <= applied).collect();
    for ack in &acks {
        let index = at.get(&ack.seq).with_context(|| format!("lost: {ack:?}"))?;
        ensure!(*index == ack.index, "moved to {index}: {ack:?}");
    }
    let acknowledged = acks.len();
    acks.sort_by_key(|ack| ack.index);
    ensure!(acks.is_sorted_by_key(|ack| ack.term), "terms fall as indexes rise");
    acks.sort_by_key(|ack| ack.acked);
    let answered = acks.clone();
    acks.sort_by_key(|ack| ack.sent);
    let (mut before, mut highest) = (answered.iter().peekable(), 0);
    for ack in acks {
        while let Some(earlier) = before.next_if(|earlier| earlier.acked < ack.sent) {
            highest = highest.max(earlier.index);
        }
        ensure!(ack.index > highest, "reordered: {ack:?} behind index {highest}");
    }
    let unknown: HashSet<u64> = pages.unknown.iter().copied().collect();
    let unknown_found = unknown.iter().filter(|seq| at.contains_key(seq)).count();
    Ok(Orders { entries: state.entries.len(), acknowledged, unknown_found })
}
