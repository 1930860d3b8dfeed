//! The machine of one coordinator: when it serves, what it appends, when its log is written anew.
//!
//! Each of these is decided in a file of its own; here they meet, because one input may concern all of them. A committed
//! batch makes room for the next one and may make the log long enough for a rewrite. A refused one may end the tenure.
//!
//! ```text
//!   Marked, Advanced, Loaded, NotLed, Close ──> epoch.rs      Store, Appended, Tick ──> gather.rs
//!   Appended, Rewritten, Trimmed ──> rewrite.rs
//! ```
//!
//! When the lead is lost, everything that waits is told so, and the next coordinator loads the log. The machine does not
//! know what an entity is, nor where the log lies.

use super::epoch::{State, Term, lost};
use super::gather::Gathering;
use super::messages::{CoordinatorConfig, Effect, Input};
use super::rewrite::Rewriting;
use crate::Reject;
use crate::ids::{Offset, Ticket};
use crate::machine::{Effects, Machine};
use crate::time::{Millis, Now};

/// The coordinator of one partition, in one tenure.
#[derive(Debug)]
pub struct CoordinatorMachine {
    term: Term,
    gathering: Gathering,
    rewriting: Rewriting,
}

impl CoordinatorMachine {
    /// A coordinator whose log is not loaded yet.
    #[must_use]
    pub fn new(config: CoordinatorConfig) -> CoordinatorMachine {
        CoordinatorMachine {
            term: Term::new(),
            gathering: Gathering::new(config),
            rewriting: Rewriting::new(config),
        }
    }

    /// How far it is in its tenure.
    #[must_use]
    pub fn state(&self) -> State {
        self.term.state()
    }

    fn store(&mut self, now: Now, ticket: Ticket, sizes: Vec<usize>, out: &mut Effects<Effect>) {
        if self.term.state() == State::Ended {
            return out.push(Effect::Stored(ticket, Err(Reject::NotLeader)));
        }
        self.gathering.store(now, ticket, sizes, out);
    }

    fn appended(
        &mut self,
        batch: u64,
        bytes: u64,
        result: &Result<Offset, Reject>,
        out: &mut Effects<Effect>,
    ) {
        if !self.gathering.appended(batch, result.as_ref().err(), out) {
            return;
        }
        match result {
            Ok(base) => self.rewriting.appended(batch, bytes, *base),
            Err(refused) if lost(refused) => self.end(out),
            Err(_) => {}
        }
    }

    fn end(&mut self, out: &mut Effects<Effect>) {
        if self.term.end() {
            self.rewriting.end();
            self.gathering.refuse_waiting(&Reject::NotLeader, out);
            out.push(Effect::Retire);
        }
    }

    /// Not while the node ends: entities that are gone already would be missing in what is written.
    fn rewrite(&mut self, out: &mut Effects<Effect>) {
        if self.term.state() == State::Serving && self.rewriting.begin(self.gathering.next_batch()) {
            out.push(Effect::Rewrite);
        }
    }
}

impl Machine for CoordinatorMachine {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Now, input: Input, out: &mut Effects<Effect>) {
        match input {
            Input::Marked { end, high_watermark } => {
                out.extend(self.term.marked(end, high_watermark).map(Effect::Read));
            }
            Input::Advanced(high_watermark) => {
                out.extend(self.term.advanced(high_watermark).map(Effect::Read));
            }
            Input::Loaded { bytes, live } => {
                if self.term.loaded() {
                    self.rewriting.loaded(bytes, live);
                    out.push(Effect::Serve);
                    self.rewrite(out);
                }
            }
            Input::NotLed => {
                // No request was taken yet, so nobody is told.
                self.term.end();
            }
            Input::Store(ticket, sizes) => self.store(now, ticket, sizes, out),
            Input::Appended { batch, bytes, result } => {
                self.appended(batch, bytes, &result, out);
                self.gathering.flush(now, out);
                self.rewrite(out);
            }
            Input::Rewritten(all) => out.extend(self.rewriting.rewritten(all).map(Effect::Trim)),
            Input::Trimmed(done) => self.rewriting.trimmed(done),
            Input::Close => {
                if self.term.close() {
                    out.push(Effect::Close);
                }
            }
            Input::Tick => self.gathering.flush(now, out),
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        self.gathering.deadline()
    }

    fn check(&self) {
        self.gathering.check();
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather::PART_BYTES_MAX;
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
    fn an_entity_is_told_why_its_records_were_refused_and_only_a_lost_partition_retires() {
        let large = Reject::TooLarge { size: 2, max: 1 };
        let stopped = Reject::Storage("its shard has stopped".into());
        let full = (Reject::DiskFull, false);
        let refusals = [
            (large, false),
            (Reject::TimedOut, false),
            (Reject::CutOff, false),
            (Reject::TopicDeleted, false),
            full,
        ];
        for (refused, retires) in refusals.into_iter().chain([(stopped, true), (Reject::NotLeader, true)]) {
            let mut bench = Bench::new();
            bench.step(Input::Store(Ticket(1), vec![10]));
            let out = bench.step(Input::Appended { batch: 0, bytes: 0, result: Err(refused.clone()) });
            assert_eq!(out[0], Effect::Stored(Ticket(1), Err(refused.clone())));
            assert_eq!(out.contains(&Effect::Retire), retires, "{refused}");
        }
    }

    #[test]
    fn a_rewrite_trims_to_its_own_first_batch_and_only_if_every_entity_wrote() {
        let mut bench = Bench::new();
        let out = bench.step(Input::Loaded { bytes: 900, live: 100 });
        assert_eq!(out, [Effect::Serve]);
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
        bench.step(Input::Store(Ticket(4), vec![10]));
        assert!(!bench.ok(3, 800).contains(&Effect::Rewrite), "120 are live: 920 are short");
        bench.step(Input::Store(Ticket(5), vec![10]));
        assert!(bench.ok(4, 100).contains(&Effect::Rewrite), "1020 are not");
        assert_eq!(bench.step(Input::Rewritten(false)), [], "a failed rewrite trims nothing");
        bench.step(Input::Store(Ticket(6), vec![10]));
        assert!(!bench.ok(5, 10).contains(&Effect::Rewrite), "and is not repeated at once");
    }

    #[test]
    fn a_long_log_is_written_anew_as_soon_as_it_is_loaded() {
        let mut bench = Bench::new();
        assert_eq!(bench.step(Input::Marked { end: 7, high_watermark: 3 }), []);
        assert_eq!(bench.step(Input::Advanced(8)), [Effect::Read(7)]);
        let out = bench.step(Input::Loaded { bytes: 2_000, live: 100 });
        assert_eq!(out, [Effect::Serve, Effect::Rewrite]);
        assert_eq!(bench.step(Input::Loaded { bytes: 2_000, live: 100 }), [], "once");
    }

    #[test]
    fn a_node_that_ends_takes_no_request_but_stores_what_comes() {
        let mut bench = Bench::new();
        bench.step(Input::Loaded { bytes: 0, live: 0 });
        assert_eq!(bench.step(Input::Close), [Effect::Close]);
        assert_eq!(bench.step(Input::Close), []);
        assert_eq!(bench.0.state(), State::Draining);
        assert_eq!(bench.step(Input::Store(Ticket(1), vec![10])), [Effect::Append(0, vec![one(1)])]);
        // A rewrite now would ask entities of which some are gone, and trim what those had stored.
        assert_eq!(bench.ok(0, 2_000), [Effect::Stored(Ticket(1), Ok(()))]);
    }

    #[test]
    fn a_log_that_is_not_led_is_not_served() {
        let mut bench = Bench::new();
        assert_eq!(bench.step(Input::Marked { end: 0, high_watermark: 0 }), [Effect::Read(0)]);
        assert_eq!(bench.step(Input::NotLed), []);
        assert_eq!(bench.step(Input::Loaded { bytes: 0, live: 0 }), []);
        assert_eq!(bench.0.state(), State::Ended);
    }
}
