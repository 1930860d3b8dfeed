//! The coordinator of one `__consumer_offsets` partition: what it gathers into one batch, and when it compacts.
//!
//! ```text
//!   Store ─> gathered: at once if nothing is in flight, else 5 ms, 64 KiB, or the batch before is done ─> Append
//!   Appended ─> Stored, to each group                      > 64 MiB and > 4 × live ─> Rewrite ─> Rewritten ─> Trim
//! ```
//!
//! Until compaction exists, the partition is kept short by writing all live state again and moving the log start to
//! where that began. It is sound because a group writes what it wrote *last*, committed or not, behind whatever it wrote
//! before: a replay from there folds to the same state. A rewrite of which anything failed moves nothing.
//!
//! A leader that is gone retires its coordinator: everything waiting is told so, and the next one replays the log.

use crate::Reject;
use crate::ids::{Offset, Ticket};
use crate::machine::{Effects, Machine};
use crate::time::{Millis, Now};
use std::collections::{BTreeMap, VecDeque};

/// Bounds and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoordinatorConfig {
    /// Records wait for company this long at most, while a batch is in flight.
    pub gather_ms: u64,
    /// And up to so many bytes.
    pub gather_bytes: usize,
    /// A rewrite begins above so many bytes of the partition…
    pub rewrite_bytes: u64,
    /// …and above so many times what was live at the last one.
    pub rewrite_factor: u64,
}

impl Default for CoordinatorConfig {
    fn default() -> CoordinatorConfig {
        CoordinatorConfig {
            gather_ms: 5,
            gather_bytes: 64 * 1024,
            rewrite_bytes: 64 * 1024 * 1024,
            rewrite_factor: 4,
        }
    }
}

/// Bytes that one part of a store takes at most, so that a batch stays below `max.message.bytes`.
pub const PART_BYTES_MAX: usize = 256 * 1024;

/// What a coordinator is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The log was replayed: it has so many bytes, and so many of them are live.
    Loaded {
        /// Bytes between log start and high watermark.
        bytes: u64,
        /// Bytes of the newest record of each key.
        live: u64,
    },
    /// A group has records to store, in parts of these sizes; they are kept under the ticket.
    Store(Ticket, Vec<usize>),
    /// A batch of this size was appended, at this offset, or was not.
    Appended {
        /// Which.
        batch: u64,
        /// Its bytes.
        bytes: u64,
        /// Its first offset.
        result: Result<Offset, Reject>,
    },
    /// Every group has written its live state again, or one could not.
    Rewritten(bool),
    /// The log start has moved, or could not.
    Trimmed(bool),
    /// A deadline may have passed.
    Tick,
}

/// What a coordinator wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Append these parts (ticket, number of the part) as one batch.
    Append(u64, Vec<(Ticket, usize)>),
    /// Tell the group that its store is committed, or why the partition's leader refused it.
    Stored(Ticket, Result<(), Reject>),
    /// Ask every group to write its live state again.
    Rewrite,
    /// Move the log start here.
    Trim(Offset),
    /// This node does not lead the partition any more.
    Retire,
}

/// Whether a refusal says that this node does not lead the partition any more, or cannot store for it. A full disk does
/// not: it takes records again by itself.
fn lost(refused: &Reject) -> bool {
    matches!(refused, Reject::NotLeader | Reject::Unavailable | Reject::Storage(_))
}

/// A store on its way.
#[derive(Debug)]
struct Storing {
    parts_left: usize,
    result: Result<(), Reject>,
}

/// A rewrite under way.
#[derive(Debug)]
struct Rewriting {
    /// The first batch that may hold a part of it.
    from_batch: u64,
    /// Where that batch came to stand.
    from_offset: Option<Offset>,
    /// Bytes appended since.
    bytes: u64,
    /// Whether every group has written.
    done: bool,
}

/// The coordinator of one partition.
#[derive(Debug)]
pub struct CoordinatorMachine {
    config: CoordinatorConfig,
    retired: bool,
    storing: BTreeMap<Ticket, Storing>,
    waiting: VecDeque<(Ticket, usize, usize)>,
    waiting_bytes: usize,
    /// The oldest waiting part goes then at the latest.
    flush_at: Option<Millis>,
    in_flight: BTreeMap<u64, Vec<(Ticket, usize)>>,
    next_batch: u64,
    bytes: u64,
    live: u64,
    rewriting: Option<Rewriting>,
}

impl CoordinatorMachine {
    /// A coordinator whose log is not replayed yet.
    #[must_use]
    pub fn new(config: CoordinatorConfig) -> CoordinatorMachine {
        CoordinatorMachine {
            config,
            retired: false,
            storing: BTreeMap::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            flush_at: None,
            in_flight: BTreeMap::new(),
            next_batch: 0,
            bytes: 0,
            live: 0,
            rewriting: None,
        }
    }

    fn store(&mut self, now: Now, ticket: Ticket, sizes: Vec<usize>, out: &mut Effects<Effect>) {
        if self.retired {
            return out.push(Effect::Stored(ticket, Err(Reject::NotLeader)));
        }
        if sizes.is_empty() {
            return out.push(Effect::Stored(ticket, Ok(())));
        }
        self.storing.insert(ticket, Storing { parts_left: sizes.len(), result: Ok(()) });
        for (part, size) in sizes.into_iter().enumerate() {
            self.waiting.push_back((ticket, part, size));
            self.waiting_bytes += size;
        }
        self.flush_at.get_or_insert(now.mono.plus(self.config.gather_ms));
        self.flush(now, out);
    }

    /// Appends what waits, as far as it may go.
    fn flush(&mut self, now: Now, out: &mut Effects<Effect>) {
        loop {
            let due = self.in_flight.is_empty()
                || self.waiting_bytes >= self.config.gather_bytes
                || self.flush_at.is_some_and(|at| now.mono >= at);
            if self.waiting.is_empty() || !due {
                return;
            }
            let (mut parts, mut bytes) = (Vec::new(), 0);
            while let Some((ticket, part, size)) = self.waiting.front().copied() {
                // One that is large goes alone: a batch stays below what a partition takes.
                if !parts.is_empty() && bytes + size > PART_BYTES_MAX {
                    break;
                }
                self.waiting.pop_front();
                bytes += size;
                parts.push((ticket, part));
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

    fn appended(
        &mut self,
        batch: u64,
        bytes: u64,
        result: &Result<Offset, Reject>,
        out: &mut Effects<Effect>,
    ) {
        let Some(parts) = self.in_flight.remove(&batch) else { return };
        match (result, &mut self.rewriting) {
            (Ok(base), Some(rewriting)) if batch >= rewriting.from_batch => {
                rewriting.from_offset.get_or_insert(*base);
                rewriting.bytes += bytes;
            }
            (Ok(_), _) => self.bytes += bytes,
            (Err(_), _) => {}
        }
        for (ticket, _) in parts {
            self.part_done(ticket, result.as_ref().err(), out);
        }
        if result.as_ref().is_err_and(lost) {
            self.retire(out);
        }
    }

    /// Of a store in parts the first refusal counts.
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

    /// What is in flight is answered when its answer comes; what waits is not sent any more.
    fn retire(&mut self, out: &mut Effects<Effect>) {
        if self.retired {
            return;
        }
        self.retired = true;
        self.rewriting = None;
        self.flush_at = None;
        self.waiting_bytes = 0;
        for (ticket, _, _) in std::mem::take(&mut self.waiting) {
            self.part_done(ticket, Some(&Reject::NotLeader), out);
        }
        out.push(Effect::Retire);
    }

    fn compact(&mut self, out: &mut Effects<Effect>) {
        let due = self.bytes > self.config.rewrite_bytes
            && self.bytes > self.live.saturating_mul(self.config.rewrite_factor);
        if !due || self.retired || self.rewriting.is_some() {
            return;
        }
        self.rewriting =
            Some(Rewriting { from_batch: self.next_batch, from_offset: None, bytes: 0, done: false });
        out.push(Effect::Rewrite);
    }

    fn rewritten(&mut self, all: bool, out: &mut Effects<Effect>) {
        let Some(rewriting) = &mut self.rewriting else { return };
        match rewriting.from_offset {
            Some(offset) if all => {
                rewriting.done = true;
                self.live = rewriting.bytes;
                out.push(Effect::Trim(offset));
            }
            // Nothing is live, and nothing was written: there is no offset to trim to that is known to be right.
            _ => self.give_up(),
        }
    }

    /// The old log stays; the next rewrite waits until it is twice as long.
    fn give_up(&mut self) {
        if let Some(rewriting) = self.rewriting.take() {
            self.bytes += rewriting.bytes;
            self.live = self.live.max(self.bytes / self.config.rewrite_factor.max(1) * 2);
        }
    }

    fn trimmed(&mut self, done: bool) {
        match &self.rewriting {
            Some(rewriting) if done && rewriting.done => {
                self.bytes = rewriting.bytes;
                self.rewriting = None;
            }
            _ => self.give_up(),
        }
    }
}

impl Machine for CoordinatorMachine {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Now, input: Input, out: &mut Effects<Effect>) {
        match input {
            Input::Loaded { bytes, live } => {
                (self.bytes, self.live) = (bytes, live);
                self.compact(out);
            }
            Input::Store(ticket, sizes) => self.store(now, ticket, sizes, out),
            Input::Appended { batch, bytes, result } => {
                self.appended(batch, bytes, &result, out);
                self.flush(now, out);
                self.compact(out);
            }
            Input::Rewritten(all) => self.rewritten(all, out),
            Input::Trimmed(done) => self.trimmed(done),
            Input::Tick => self.flush(now, out),
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        self.flush_at
    }

    fn check(&self) {
        assert_eq!(self.waiting_bytes, self.waiting.iter().map(|w| w.2).sum::<usize>());
        assert_eq!(self.flush_at.is_some(), !self.waiting.is_empty(), "what waits has a deadline");
        let on_the_way = self.waiting.len() + self.in_flight.values().map(Vec::len).sum::<usize>();
        let left: usize = self.storing.values().map(|s| s.parts_left).sum();
        assert_eq!(on_the_way, left, "each part of each store waits or is in flight");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench(CoordinatorMachine, u64);

    impl Bench {
        fn new() -> Bench {
            let config = CoordinatorConfig { rewrite_bytes: 1_000, ..CoordinatorConfig::default() };
            Bench(CoordinatorMachine::new(config), 0)
        }

        fn step(&mut self, input: Input) -> Vec<Effect> {
            let mut out = Vec::new();
            self.0.step(Now { mono: Millis(self.1), ..Now::default() }, input, &mut out);
            self.0.check();
            out
        }

        fn ok(&mut self, batch: u64, bytes: u64) -> Vec<Effect> {
            self.step(Input::Appended { batch, bytes, result: Ok(batch as i64 * 10) })
        }
    }

    fn one(n: u64) -> (Ticket, usize) {
        (Ticket(n), 0)
    }

    #[test]
    fn the_first_goes_at_once_and_the_others_gather_behind_it() {
        let mut bench = Bench::new();
        assert_eq!(bench.step(Input::Store(Ticket(1), vec![10])), [Effect::Append(0, vec![one(1)])]);
        assert_eq!(bench.step(Input::Store(Ticket(2), vec![10])), []);
        assert_eq!(bench.step(Input::Store(Ticket(3), vec![10])), []);
        let out = bench.ok(0, 80);
        assert_eq!(out, [Effect::Stored(Ticket(1), Ok(())), Effect::Append(1, vec![one(2), one(3)])]);
    }

    #[test]
    fn five_milliseconds_or_64_kib_are_enough_to_go() {
        let mut bench = Bench::new();
        bench.step(Input::Store(Ticket(1), vec![10]));
        bench.step(Input::Store(Ticket(2), vec![10]));
        assert_eq!(bench.0.next_deadline(), Some(Millis(5)));
        bench.1 = 5;
        assert_eq!(bench.step(Input::Tick), [Effect::Append(1, vec![one(2)])]);
        let out = bench.step(Input::Store(Ticket(3), vec![64 * 1024]));
        assert_eq!(out, [Effect::Append(2, vec![one(3)])]);
    }

    #[test]
    fn a_large_store_goes_in_parts_and_is_stored_when_all_are() {
        let mut bench = Bench::new();
        let out = bench.step(Input::Store(Ticket(1), vec![PART_BYTES_MAX, PART_BYTES_MAX]));
        assert_eq!(out, [Effect::Append(0, vec![one(1)]), Effect::Append(1, vec![(Ticket(1), 1)])]);
        assert_eq!(bench.ok(0, 1), []);
        let failed = Input::Appended { batch: 1, bytes: 1, result: Err(Reject::TimedOut) };
        assert_eq!(bench.step(failed), [Effect::Stored(Ticket(1), Err(Reject::TimedOut))]);
    }

    #[test]
    fn a_leader_that_is_gone_ends_everything() {
        let mut bench = Bench::new();
        bench.step(Input::Store(Ticket(1), vec![10]));
        bench.step(Input::Store(Ticket(2), vec![10]));
        let failed = Input::Appended { batch: 0, bytes: 0, result: Err(Reject::Unavailable) };
        let of = |ticket, why| Effect::Stored(Ticket(ticket), Err(why));
        let told = [of(1, Reject::Unavailable), of(2, Reject::NotLeader), Effect::Retire];
        assert_eq!(bench.step(failed), told);
        assert_eq!(bench.step(Input::Store(Ticket(3), vec![1])), [of(3, Reject::NotLeader)]);
    }

    #[test]
    fn a_group_is_told_why_its_records_were_refused_and_only_a_lost_partition_retires() {
        let large = Reject::TooLarge { size: 2, max: 1 };
        let stopped = Reject::Storage("its shard has stopped".into());
        let full = (Reject::DiskFull, false);
        let refusals = [(large, false), (Reject::TimedOut, false), (Reject::TopicDeleted, false), full];
        for (refused, retires) in refusals.into_iter().chain([(stopped, true), (Reject::NotLeader, true)]) {
            let mut bench = Bench::new();
            bench.step(Input::Store(Ticket(1), vec![10]));
            let out = bench.step(Input::Appended { batch: 0, bytes: 0, result: Err(refused.clone()) });
            assert_eq!(out[0], Effect::Stored(Ticket(1), Err(refused.clone())));
            assert_eq!(out.contains(&Effect::Retire), retires, "{refused}");
        }
    }

    #[test]
    fn a_rewrite_trims_to_its_own_first_batch_and_only_if_every_group_wrote() {
        let mut bench = Bench::new();
        bench.step(Input::Loaded { bytes: 900, live: 100 });
        bench.step(Input::Store(Ticket(1), vec![10]));
        bench.step(Input::Store(Ticket(2), vec![10]));
        // Batch 1 is in flight when the rewrite begins: it lies before it.
        let out = bench.ok(0, 200);
        assert_eq!(
            out,
            [Effect::Stored(Ticket(1), Ok(())), Effect::Append(1, vec![one(2)]), Effect::Rewrite]
        );
        bench.step(Input::Store(Ticket(3), vec![10]));
        assert!(!bench.ok(1, 50).contains(&Effect::Rewrite), "one at a time");
        bench.ok(2, 120);
        assert_eq!(bench.step(Input::Rewritten(true)), [Effect::Trim(20)]);
        bench.step(Input::Trimmed(true));
        assert_eq!((bench.0.bytes, bench.0.live), (120, 120));

        bench.step(Input::Loaded { bytes: 2_000, live: 100 });
        assert_eq!(bench.step(Input::Rewritten(false)), [], "a failed rewrite trims nothing");
        bench.step(Input::Store(Ticket(4), vec![10]));
        assert!(!bench.ok(3, 10).contains(&Effect::Rewrite), "and is not repeated at once");
    }
}
