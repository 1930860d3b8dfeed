//! What is gathered into one batch, and how it is cut into parts.
//!
//! A batch costs a sync, so the stores of many entities share one. The first goes at once; while it is in flight others
//! gather behind it. A store larger than a batch may be is cut into parts beforehand, and is stored when all of them are.
//!
//! ```text
//!   Store ──> waiting parts ──> nothing in flight | gather_ms | gather_bytes ──> Append ──> Appended ──> Stored, each
//! ```
//!
//! The records themselves stay with the shell: here are only tickets, numbers of parts and sizes.

use super::messages::{CoordinatorConfig, Effect};
use crate::ids::Ticket;
use crate::records::NewRecord;
use crate::time::{Millis, Now};
use crate::{Effects, Reject};
use std::collections::{BTreeMap, VecDeque};

/// Bytes that one part of a store takes at most, so that a batch stays below `max.message.bytes`.
pub const PART_BYTES_MAX: usize = 256 * 1024;
/// Bytes that a record adds to a batch beside its key and value, at most.
const RECORD_OVERHEAD: usize = 40;

/// A record as the log has it: its key, and its value unless it is a tombstone.
pub type KeyValue = (Vec<u8>, Option<Vec<u8>>);

/// Cuts the records of one store into parts that a batch can hold. Returns the parts and the bytes of each.
#[must_use]
pub fn parts_of(
    records: impl IntoIterator<Item = KeyValue>,
    timestamp: i64,
) -> (Vec<Vec<NewRecord>>, Vec<usize>) {
    let (mut parts, mut sizes): (Vec<Vec<NewRecord>>, Vec<usize>) = (Vec::new(), Vec::new());
    for (key, value) in records {
        let size = key.len() + value.as_ref().map_or(0, Vec::len) + RECORD_OVERHEAD;
        let record = NewRecord { timestamp, key: Some(key), value, headers: Vec::new() };
        match (parts.last_mut(), sizes.last_mut()) {
            (Some(part), Some(bytes)) if *bytes + size <= PART_BYTES_MAX => {
                part.push(record);
                *bytes += size;
            }
            _ => {
                parts.push(vec![record]);
                sizes.push(size);
            }
        }
    }
    (parts, sizes)
}

/// A store on its way.
#[derive(Debug)]
struct Storing {
    parts_left: usize,
    result: Result<(), Reject>,
}

/// A part that waits for its batch.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    ticket: Ticket,
    part: usize,
    bytes: usize,
}

/// Stores on their way into the log.
#[derive(Debug)]
pub(super) struct Gathering {
    config: CoordinatorConfig,
    storing: BTreeMap<Ticket, Storing>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// The oldest waiting part goes then at the latest.
    flush_at: Option<Millis>,
    in_flight: BTreeMap<u64, Vec<(Ticket, usize)>>,
    next_batch: u64,
}

impl Gathering {
    /// Nothing is on its way.
    pub fn new(config: CoordinatorConfig) -> Gathering {
        Gathering {
            config,
            storing: BTreeMap::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            flush_at: None,
            in_flight: BTreeMap::new(),
            next_batch: 0,
        }
    }

    /// The number of the batch that goes next.
    pub fn next_batch(&self) -> u64 {
        self.next_batch
    }

    /// When the oldest waiting part has to go.
    pub fn deadline(&self) -> Option<Millis> {
        self.flush_at
    }

    /// Takes the parts of one store.
    pub fn store(&mut self, now: Now, ticket: Ticket, sizes: Vec<usize>, out: &mut Effects<Effect>) {
        if sizes.is_empty() {
            return out.push(Effect::Stored(ticket, Ok(())));
        }
        self.storing.insert(ticket, Storing { parts_left: sizes.len(), result: Ok(()) });
        for (part, bytes) in sizes.into_iter().enumerate() {
            self.waiting.push_back(Waiting { ticket, part, bytes });
            self.waiting_bytes += bytes;
        }
        self.flush_at.get_or_insert(now.mono.plus(self.config.gather_ms));
        self.flush(now, out);
    }

    /// Appends waiting parts for as long as a batch is due.
    pub fn flush(&mut self, now: Now, out: &mut Effects<Effect>) {
        loop {
            let due = self.in_flight.is_empty()
                || self.waiting_bytes >= self.config.gather_bytes
                || self.flush_at.is_some_and(|at| now.mono >= at);
            if self.waiting.is_empty() || !due {
                return;
            }
            let (mut parts, mut bytes) = (Vec::new(), 0);
            while let Some(next) = self.waiting.front().copied() {
                // A large part goes alone: a batch stays below what a partition takes.
                if !parts.is_empty() && bytes + next.bytes > PART_BYTES_MAX {
                    break;
                }
                self.waiting.pop_front();
                bytes += next.bytes;
                parts.push((next.ticket, next.part));
            }
            self.waiting_bytes -= bytes;
            if self.waiting.is_empty() {
                self.flush_at = None;
            }
            self.in_flight.insert(self.next_batch, parts.clone());
            out.push(Effect::Append(self.next_batch, parts));
            self.next_batch += 1;
        }
    }

    /// A batch is committed, or was refused. False if it was not in flight.
    pub fn appended(&mut self, batch: u64, refused: Option<&Reject>, out: &mut Effects<Effect>) -> bool {
        let Some(parts) = self.in_flight.remove(&batch) else { return false };
        for (ticket, _) in parts {
            self.part_done(ticket, refused, out);
        }
        true
    }

    /// Sends nothing any more of what waits. A batch in flight is told when its answer comes.
    pub fn refuse_waiting(&mut self, refused: &Reject, out: &mut Effects<Effect>) {
        self.flush_at = None;
        self.waiting_bytes = 0;
        for waiting in std::mem::take(&mut self.waiting) {
            self.part_done(waiting.ticket, Some(refused), out);
        }
    }

    /// One part of a store is done. The first refusal is the one that counts.
    fn part_done(&mut self, ticket: Ticket, refused: Option<&Reject>, out: &mut Effects<Effect>) {
        let Some(storing) = self.storing.get_mut(&ticket) else { return };
        storing.parts_left -= 1;
        if let (Ok(()), Some(refused)) = (&storing.result, refused) {
            storing.result = Err(refused.clone());
        }
        if storing.parts_left == 0
            && let Some(Storing { result, .. }) = self.storing.remove(&ticket)
        {
            out.push(Effect::Stored(ticket, result));
        }
    }

    /// Panics if the counts contradict what waits and what is in flight.
    pub fn check(&self) {
        assert_eq!(self.waiting_bytes, self.waiting.iter().map(|w| w.bytes).sum::<usize>());
        assert_eq!(self.flush_at.is_some(), !self.waiting.is_empty(), "what waits has a deadline");
        let on_the_way = self.waiting.len() + self.in_flight.values().map(Vec::len).sum::<usize>();
        let left: usize = self.storing.values().map(|s| s.parts_left).sum();
        assert_eq!(on_the_way, left, "each part of each store waits or is in flight");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{BatchBuilder, head};

    #[test]
    fn a_store_is_cut_into_parts_that_a_batch_can_hold() {
        let record = |n: i32| ([&[b't'; 220][..], &n.to_be_bytes()].concat(), None);
        let (parts, sizes) = parts_of((0..5_000).map(record), 1);
        assert!(parts.len() > 1 && sizes.iter().all(|size| *size <= PART_BYTES_MAX));
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 5_000);
        let mut builder = BatchBuilder::new(0);
        for record in &parts[0] {
            builder = builder.record(record.clone());
        }
        let batch = builder.build().unwrap();
        assert!(batch.len() <= sizes[0] + 61 && head(&batch).is_ok());
    }

    #[test]
    fn a_record_larger_than_a_part_is_a_part_by_itself() {
        let (small, large) = ((vec![1], None), (vec![2], Some(vec![0; PART_BYTES_MAX])));
        let (parts, sizes) = parts_of([small.clone(), large, small.clone(), small], 1);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 2]);
        assert_eq!(sizes, [41, PART_BYTES_MAX + 41, 82]);
    }
}
