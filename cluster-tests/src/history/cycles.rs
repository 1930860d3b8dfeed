//! Cycles among transactions: G0 of writes alone, G1c of what one read from another.
//!
//! ```text
//!   ww   T1 sent the value just before T2's in a log        wr   T2 polled a value that T1 sent
//!   G0   ww only: allowed, writes of Kafka's transactions interleave
//!   G1c  wr only: never, because a reader of committed records sees a transaction that has ended
//!   both: allowed, because writes are not isolated
//! ```
//! A node is a unit: a transaction, or an operation outside one. Units outside transactions take part, because a path may
//! run through them; without a transaction there is no cycle. Strongly connected sets are found by Tarjan's walk without
//! recursion.

use super::index::{Fast, Index, Told, Txn};
use super::op::{Kind, Op, Outcome};
use super::verdict::{Anomaly, Verdict};

/// A node that the walk has not met.
const NEW: u32 = u32::MAX;

/// Units and the steps between them.
#[derive(Default)]
struct Graph {
    ids: Fast<Txn, u32>,
    /// The first operation of each unit.
    first: Vec<u32>,
    ww: Vec<(u32, u32)>,
    wr: Vec<(u32, u32)>,
}

impl Graph {
    fn node(&mut self, op: &Op, at: u32) -> u32 {
        let unit = if op.txn == 0 { (u32::MAX, at) } else { (op.process, op.txn) };
        let next = self.first.len() as u32;
        let id = *self.ids.entry(unit).or_insert(next);
        if id == next {
            self.first.push(at);
        }
        id
    }
}

pub(super) fn check(index: &Index<'_>, verdict: &mut Verdict) {
    verdict.figures.transactions = index.txns.len() as u64;
    if index.txns.is_empty() {
        return;
    }
    let graph = graph(index);
    let nodes = graph.first.len();
    let mut tell = |anomaly: Anomaly, cycle: &[u32]| {
        let ops: Vec<u32> =
            cycle.iter().filter_map(|node| graph.first.get(*node as usize).copied()).collect();
        verdict.add(anomaly, None, &ops, || format!("a cycle of {} transactions", ops.len()));
    };
    let only_writes = knots(nodes, &graph.ww);
    only_writes.iter().for_each(|cycle| tell(Anomaly::G0, cycle));
    let only_reads = knots(nodes, &graph.wr);
    only_reads.iter().for_each(|cycle| tell(Anomaly::G1c, cycle));
    let all = knots(nodes, &[&graph.ww[..], &graph.wr[..]].concat());
    // A set that steps of one kind tie together is told above.
    let new = all.iter().filter(|cycle| !only_writes.contains(cycle) && !only_reads.contains(cycle));
    new.for_each(|cycle| tell(Anomaly::G1cWithWrites, cycle));
}

fn graph(index: &Index<'_>) -> Graph {
    let mut graph = Graph::default();
    for log in &index.logs {
        let mut before: Option<(u32, u32)> = None;
        // A duplicate stands at its first offset only.
        let first = |told: &&Told| index.shown(told) && log.place(told.value) == Some(told.offset);
        for told in log.told.iter().filter(first) {
            let Some(writer) = index.writers.get(&told.value).copied() else { continue };
            let Some(send) = index.op(writer) else { continue };
            if before.is_some_and(|(_, last)| last == writer) {
                continue;
            }
            let node = graph.node(send, writer);
            if let Some((last, _)) = before.filter(|(last, _)| *last != node) {
                graph.ww.push((last, node));
            }
            before = Some((node, writer));
        }
    }
    for (at, op) in index.ops() {
        let Kind::Poll { records, .. } = op.kind else { continue };
        if op.outcome != Outcome::Ok || op.txn == 0 {
            // A poll outside transactions sends nothing, so no cycle leaves it.
            continue;
        }
        let reader = graph.node(op, at);
        for writer in records.of(&index.wrote).iter().copied() {
            let Some(send) = index.op(writer) else { continue };
            let node = graph.node(send, writer);
            if node != reader {
                graph.wr.push((node, reader));
            }
        }
    }
    graph
}

/// Strongly connected sets of more than one node, each in ascending order.
fn knots(nodes: usize, edges: &[(u32, u32)]) -> Vec<Vec<u32>> {
    let mut edges = edges.to_vec();
    edges.sort_unstable();
    edges.dedup();
    let from = |node: u32| edges.partition_point(|edge| edge.0 < node);
    let (mut number, mut low) = (vec![NEW; nodes], vec![0; nodes]);
    let (mut on, mut stack, mut found, mut next) = (vec![false; nodes], Vec::new(), Vec::new(), 0);
    for root in 0..nodes as u32 {
        if number[root as usize] != NEW {
            continue;
        }
        let mut walk = vec![(root, from(root))];
        while let Some((node, edge)) = walk.last_mut() {
            let at = *node as usize;
            if number[at] == NEW {
                (number[at], low[at], on[at]) = (next, next, true);
                next += 1;
                stack.push(at as u32);
            }
            match edges.get(*edge).filter(|edge| edge.0 == at as u32) {
                Some((_, to)) => {
                    *edge += 1;
                    let to = *to;
                    if number[to as usize] == NEW {
                        walk.push((to, from(to)));
                    } else if on[to as usize] {
                        low[at] = low[at].min(number[to as usize]);
                    }
                }
                None => {
                    walk.pop();
                    if let Some((parent, _)) = walk.last() {
                        low[*parent as usize] = low[*parent as usize].min(low[at]);
                    }
                    if low[at] == number[at] {
                        found.extend(knot(at as u32, &mut stack, &mut on));
                    }
                }
            }
        }
    }
    found
}

/// Takes one set off the stack; `None` if it is a single node.
fn knot(root: u32, stack: &mut Vec<u32>, on: &mut [bool]) -> Option<Vec<u32>> {
    let mut set = Vec::new();
    while let Some(node) = stack.pop() {
        on[node as usize] = false;
        set.push(node);
        if node == root {
            break;
        }
    }
    set.sort_unstable();
    (set.len() > 1).then_some(set)
}

#[cfg(test)]
mod tests {
    use super::knots;

    #[test]
    fn sets_are_found_whatever_hangs_on_them() {
        let edges = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 3), (5, 0), (6, 6)];
        let mut found = knots(7, &edges);
        found.sort();
        assert_eq!(found, [vec![0, 1, 2], vec![3, 4]]);
        assert!(knots(4, &[(0, 1), (1, 2), (0, 2), (2, 3)]).is_empty());
    }

    #[test]
    fn a_long_path_needs_no_deep_stack() {
        let mut edges: Vec<(u32, u32)> = (0..200_000).map(|n| (n, n + 1)).collect();
        assert!(knots(200_001, &edges).is_empty());
        edges.push((200_000, 0));
        assert_eq!(knots(200_001, &edges).len(), 1);
    }
}
