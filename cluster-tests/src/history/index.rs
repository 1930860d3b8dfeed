//! Tables over a history: who sent a value, what became of each send, and the log that all observations together show.
//!
//! ```text
//!   sends ──> writer of each value ──┐
//!   polls ──> values that were read ─┼─> fate of each send: there, not there, unknown
//!                                    └─> log of each partition: offset, value, who saw it
//! ```
//! A send of a transaction has the fate of its transaction. A transaction without a known outcome counts as committed as
//! soon as a reader of committed records saw one of its values. The log names offsets only where a poll or a send that is
//! there told them. Entries of aborted transactions are *hidden*, so nobody is blamed for skipping them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::op::{History, Kind, Op, Outcome, Part, UNTOLD};
use super::verdict::{Anomaly, Verdict};

/// A hasher for keys that are numbers already; values of a history are no input from outside.
#[derive(Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

pub(super) type Fast<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// The place of a send that does not exist, because the value was never sent.
pub(super) const NONE: u32 = u32::MAX;

/// One transaction: a process and its number.
pub(super) type Txn = (u32, u32);

/// Bits of what became known about a value.
pub(super) mod seen {
    /// Some poll returned it.
    pub const ANY: u8 = 1;
    /// A poll of committed records returned it.
    pub const COMMITTED: u8 = 2;
    /// The final read returned it.
    pub const FINAL: u8 = 4;
}

/// One value at one offset, as one operation told it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Told {
    pub offset: i64,
    pub value: u64,
    /// Sends come before polls, so that a poll can be compared with what was there.
    pub polled: bool,
    /// Whether the final read told it.
    pub last: bool,
    pub op: u32,
}

/// What all operations together tell about one partition.
#[derive(Default)]
pub(super) struct Log {
    /// In the order of offsets; one entry for each offset, value and way of telling.
    pub told: Vec<Told>,
    /// Offsets that every reader of committed records must meet, in order.
    pub visible: Vec<i64>,
    /// The first offset of each value, in the order of values.
    pub places: Vec<(u64, i64)>,
    /// The operation that read it whole, and the start that it found.
    pub whole: Option<(u32, i64)>,
    /// The largest offset below which records were to be deleted.
    pub trimmed: i64,
    /// By offset from `base` on: the value that a poll told first, and whether the final read told it too.
    first: Vec<Option<(u64, bool)>>,
    base: Option<i64>,
}

/// A hole in the offsets beyond which everything is kept and sorted.
const HOLE: usize = 4_096;

impl Log {
    /// Whether no poll has told this yet. Most records are read by several consumers, and one of them speaks for all.
    fn is_new(&mut self, told: &Told) -> bool {
        let base = *self.base.get_or_insert(told.offset);
        let Some(at) = told.offset.checked_sub(base).and_then(|at| usize::try_from(at).ok()) else {
            return true;
        };
        if at > 2 * self.first.len() + HOLE {
            return true;
        }
        if self.first.len() <= at {
            self.first.resize(at + 1, None);
        }
        match &mut self.first[at] {
            Some((value, last)) if *value == told.value && (*last || !told.last) => false,
            Some((value, last)) if *value == told.value => {
                *last = true;
                true
            }
            Some(_) => true,
            slot => {
                *slot = Some((told.value, told.last));
                true
            }
        }
    }

    /// The place of an offset among the visible ones.
    pub fn rank(&self, offset: i64) -> Option<usize> {
        self.visible.binary_search(&offset).ok()
    }

    /// The first offset of a value.
    pub fn place(&self, value: u64) -> Option<i64> {
        let at = self.places.partition_point(|(known, _)| *known < value);
        self.places.get(at).filter(|(known, _)| *known == value).map(|(_, offset)| *offset)
    }
}

/// All tables of one history.
pub(super) struct Index<'a> {
    pub history: &'a History,
    /// The send of each value.
    pub writers: Fast<u64, u32>,
    /// Outcomes of transactions; `Info` while nothing else is known.
    pub txns: Fast<Txn, Outcome>,
    /// The send of each record that a poll returned, by the record's place; [`NONE`] if there is none.
    pub wrote: Vec<u32>,
    /// What became known of the value of the send at this place.
    pub seen: Vec<u8>,
    pub logs: Vec<Log>,
    /// Process and partition of final reads.
    pub finals: Fast<(u32, u32), u32>,
}

impl<'a> Index<'a> {
    /// Makes all tables, and adds what no table can hold to the verdict.
    pub fn new(history: &'a History, verdict: &mut Verdict) -> Index<'a> {
        let mut index = Index {
            history,
            writers: Fast::default(),
            txns: Fast::default(),
            wrote: vec![NONE; history.records.len()],
            seen: vec![0; history.ops.len()],
            logs: history.parts().iter().map(|_| Log::default()).collect(),
            finals: Fast::default(),
        };
        index.writes(verdict);
        index.polls(verdict);
        index.proven();
        index.sends();
        index.logs();
        index
    }

    fn writes(&mut self, verdict: &mut Verdict) {
        self.writers.reserve(self.history.ops.len());
        for (at, op) in self.ops() {
            if op.txn != 0 {
                self.txns.entry((op.process, op.txn)).or_insert(Outcome::Info);
            }
            match op.kind {
                Kind::Send { part, value, .. } => {
                    if let Some(first) = self.writers.insert(value, at) {
                        verdict.add(Anomaly::BadHistory, part, &[first, at], || {
                            format!("value {value} is sent twice; a history needs values of their own")
                        });
                    }
                }
                Kind::EndTxn { commit } if op.txn != 0 => {
                    let outcome = match (commit, op.outcome) {
                        (true, outcome) => outcome,
                        (false, Outcome::Ok) => Outcome::Fail,
                        (false, _) => Outcome::Info,
                    };
                    self.txns.insert((op.process, op.txn), outcome);
                }
                Kind::Trim { part, to } if op.outcome != Outcome::Fail => {
                    if let Some(log) = self.logs.get_mut(part.0 as usize) {
                        log.trimmed = log.trimmed.max(to);
                    }
                }
                Kind::Whole { part, start, .. } if op.outcome == Outcome::Ok => {
                    self.finals.insert((op.process, part.0), at);
                    if let Some(log) = self.logs.get_mut(part.0 as usize) {
                        log.whole = Some((at, start));
                    }
                }
                _ => {}
            }
        }
    }

    /// The operations with their places.
    pub fn ops(&self) -> impl Iterator<Item = (u32, &'a Op)> + use<'a> {
        self.history.ops.iter().enumerate().map(|(at, op)| (at as u32, op))
    }

    /// The operation at a place.
    pub fn op(&self, at: u32) -> Option<&'a Op> {
        self.history.ops.get(at as usize)
    }

    /// Whether the poll at this place is part of a final read.
    pub fn is_final(&self, op: &Op, part: Part) -> bool {
        self.finals.contains_key(&(op.process, part.0))
    }

    /// What is known of the effect of the send at this place.
    pub fn fate(&self, send: &Op) -> Outcome {
        if send.txn == 0 || send.outcome == Outcome::Fail {
            return send.outcome;
        }
        match self.txns.get(&(send.process, send.txn)) {
            Some(Outcome::Ok) => send.outcome,
            Some(outcome) => *outcome,
            None => Outcome::Info,
        }
    }

    fn polls(&mut self, verdict: &mut Verdict) {
        for (at, op) in self.ops() {
            let Kind::Poll { part, committed, records, .. } = op.kind else { continue };
            let last = self.is_final(op, part);
            for (n, (offset, value)) in records.of(&self.history.records).iter().copied().enumerate() {
                let told = Told { offset, value, polled: true, last, op: at };
                if let Some(log) = self.logs.get_mut(part.0 as usize)
                    && log.is_new(&told)
                {
                    log.told.push(told);
                }
                let writer = self.writers.get(&value).copied();
                if let Some(slot) = self.wrote.get_mut(records.first + n) {
                    *slot = writer.unwrap_or(NONE);
                }
                self.read(op, committed, part, (told, writer), verdict);
            }
        }
    }

    /// Notes that a poll returned a value, and holds the value against its send.
    fn read(
        &mut self,
        op: &Op,
        committed: bool,
        part: Part,
        (told, writer): (Told, Option<u32>),
        verdict: &mut Verdict,
    ) {
        let Told { offset, value, last, op: at, .. } = told;
        let Some(writer) = writer else {
            verdict
                .add(Anomaly::NeverSent, part, &[at], || format!("value {value} at {offset} was never sent"));
            return;
        };
        if let Some(bits) = self.seen.get_mut(writer as usize) {
            *bits |= seen::ANY;
            *bits |= if committed { seen::COMMITTED } else { 0 };
            *bits |= if last { seen::FINAL } else { 0 };
        }
        let Some(send) = self.op(writer) else { return };
        if let Some(sent_to) = send.kind.part().filter(|sent_to| *sent_to != part) {
            let to = self.history.part_name(sent_to);
            verdict.add(Anomaly::NeverSent, part, &[writer, at], || {
                format!("value {value} at {offset} was sent to {to}")
            });
        }
        if op.txn != 0 && (op.process, op.txn) == (send.process, send.txn) {
            verdict.add(Anomaly::PrecommittedRead, part, &[writer, at], || {
                format!("value {value} at {offset} was read by its own transaction")
            });
        }
        let visible = send.txn == 0 || send.outcome == Outcome::Fail || committed;
        if visible && self.fate(send) == Outcome::Fail {
            verdict.add(Anomaly::G1a, part, &[writer, at], || {
                format!("value {value} at {offset} was read, and its send failed or was aborted")
            });
        }
    }

    /// A transaction of unknown outcome is committed if a reader of committed records saw a part of it.
    fn proven(&mut self) {
        for (at, op) in self.ops() {
            let read = self.seen.get(at as usize).is_some_and(|bits| bits & seen::COMMITTED != 0);
            if op.txn != 0
                && read
                && matches!(op.kind, Kind::Send { .. })
                && let Some(outcome) = self.txns.get_mut(&(op.process, op.txn))
                && *outcome == Outcome::Info
            {
                *outcome = Outcome::Ok;
            }
        }
    }

    fn sends(&mut self) {
        for (at, op) in self.ops() {
            let Kind::Send { part, value, offset } = op.kind else { continue };
            if offset != UNTOLD
                && self.fate(op) == Outcome::Ok
                && let Some(log) = self.logs.get_mut(part.0 as usize)
            {
                log.told.push(Told { offset, value, polled: false, last: false, op: at });
            }
        }
    }

    fn logs(&mut self) {
        let mut logs = std::mem::take(&mut self.logs);
        for log in &mut logs {
            log.first = Vec::new();
            log.told.sort_unstable();
            // One poll and one final read speak for all that saw the same.
            log.told.dedup_by_key(|told| (told.offset, told.value, told.polled, told.last));
            let mut places: Vec<(u64, i64)> = log.told.iter().map(|told| (told.value, told.offset)).collect();
            places.sort_unstable();
            places.dedup_by_key(|place| place.0);
            log.places = places;
            let shown = log.told.iter().filter(|told| self.shown(told));
            log.visible = shown.map(|told| told.offset).collect();
            log.visible.dedup();
        }
        self.logs = logs;
    }

    /// Whether every reader of committed records must meet this entry.
    pub fn shown(&self, told: &Told) -> bool {
        let Some(writer) = self.writers.get(&told.value) else { return true };
        let Some(send) = self.op(*writer) else { return true };
        let bits = self.seen.get(*writer as usize).copied().unwrap_or_default();
        self.fate(send) == Outcome::Ok || send.txn == 0 || bits & seen::COMMITTED != 0
    }

    /// The log of a partition.
    pub fn log(&self, part: Part) -> Option<&Log> {
        self.logs.get(part.0 as usize)
    }
}
