//! A run: from its options to its end, one event after the other.
//!
//! ```text
//!   form the cluster ─> safety: faults and load ─> heal ─> liveness: no load, until all agree or time is up
//! ```
//!
//! In the first phase only the invariants count. In the second nothing happens any more but what the machines do by
//! themselves, and everything has to come to rest: the high watermark at the end of every log, full in-sync sets, every
//! request answered.

use std::panic::{AssertUnwindSafe, catch_unwind};

use callboard_core::mutant::{Mutant, plant};

use crate::sim::event::{AtNode, Event, kind};
use crate::sim::faults::{NodeIx, Planned};
use crate::sim::options::{MS, Options, SECOND};
use crate::sim::oracle::{Strictness, Violation};
use crate::sim::plan::plan;
use crate::sim::world::{Figures, World};

/// How long the machines have, after the heal, to come to rest.
const PEACE: u64 = 60 * SECOND;
/// Events of a run at most: more are a storm.
const STEPS_MAX: u64 = 60_000;

/// A seed with its options, its plan of faults and a planted bug.
#[derive(Clone, Debug)]
pub struct Case {
    pub options: Options,
    pub plan: Vec<Planned>,
    pub mutant: Option<Mutant>,
    pub strictness: Strictness,
    /// Whether each event is printed to stderr.
    pub trace: bool,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub violation: Option<Violation>,
    pub hash: u64,
    pub figures: Figures,
}

impl Case {
    /// The run of a seed, with all checks.
    #[must_use]
    pub fn of(seed: u64) -> Case {
        let options = Options::of(seed);
        let plan = plan(&options);
        Case { options, plan, mutant: None, strictness: Strictness::All, trace: false }
    }

    /// The run of a seed with a planted bug, which has to be caught by what a client can see, or by I1–I3.
    #[must_use]
    pub fn planted(seed: u64, mutant: Mutant) -> Case {
        Case { mutant: Some(mutant), strictness: Strictness::Visible, ..Case::of(seed) }
    }

    /// Runs it. A panic of a machine is a violation like any other.
    #[must_use]
    pub fn run(&self) -> Outcome {
        plant(self.mutant);
        let mut world = World::new(&self.options, &self.plan, self.strictness, self.trace);
        let ended = catch_unwind(AssertUnwindSafe(|| world.run()));
        plant(None);
        if let Err(panic) = ended {
            let what = panic.downcast_ref::<String>().cloned();
            let what = what.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let at = world.now;
            let violation = Violation { rule: "panic", what: what.unwrap_or_default(), at };
            world.violation.get_or_insert(violation);
        }
        Outcome { violation: world.violation, hash: world.hash, figures: world.figures }
    }
}

impl World {
    fn run(&mut self) {
        self.begin();
        while let Some((at, event)) = self.queue.pop() {
            self.now = at;
            self.figures.steps += 1;
            self.note(at ^ kind(&event) << 32);
            if self.trace {
                eprintln!("{:>10.4}  {event:?}", at as f64 / SECOND as f64);
            }
            self.happen(event);
            if self.violation.is_some() || self.done {
                break;
            }
            if self.figures.steps > STEPS_MAX {
                self.broken("storm", || format!("{STEPS_MAX} events and no end"));
                break;
            }
        }
    }

    fn begin(&mut self) {
        for number in 0..self.plan.len() {
            let at = self.plan[number].at;
            self.queue.push(at, Event::Fault(number));
        }
        self.queue.push(self.options.safety, Event::Heal);
        for node in 0..self.nodes.len() {
            let wait = self.rng.skewed(0, 200 * MS);
            self.after(wait, Event::Restart(node));
        }
        self.campaign = true;
        self.after(250 * MS, Event::Campaign);
        self.after(SECOND, Event::CreateTopics);
        self.begin_load();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::At(node, life, at) => self.happen_at(node, life, at),
            Event::Fault(number) => self.fault(number),
            Event::Restart(node) => self.restart(node),
            Event::Deliver(conn, side) => self.deliver(conn, side),
            Event::Linked(conn) => self.linked(conn),
            Event::Idle(conn, side) => self.idle(conn, side),
            Event::CloseSeen(conn, side) => self.close_seen(conn, side),
            Event::Propose(node, life, leadership, id, records) => {
                self.propose(node, life, leadership, id, records)
            }
            Event::Commit => self.commit_next(),
            Event::Campaign => self.run_campaign(),
            Event::Produce(producer) => self.produce(producer),
            Event::Resend(producer, part, sequence) => self.send(producer, part, sequence),
            Event::Answered(number, said) => self.answered(number, &said),
            Event::GiveUp(number) => self.give_up(number),
            Event::Consume => self.consume(),
            Event::Admin(ask) => self.admin(*ask),
            Event::CreateTopics => self.create_topics(),
            Event::Stale { node, began, committed } => self.stale(node, began, committed),
            Event::Heal => self.heal(),
            Event::LookForPeace => self.look_for_peace(),
        }
    }

    fn happen_at(&mut self, node: NodeIx, life: u64, at: AtNode) {
        let here = &self.nodes[node];
        if here.life != life || here.process.is_none() {
            return;
        }
        if here.paused > self.now {
            let until = here.paused;
            return self.queue.push(until, Event::At(node, life, at));
        }
        match at {
            AtNode::Tick(who) => self.tick(node, who),
            AtNode::Wrote => self.wrote(node),
            AtNode::Synced => self.synced(node),
            AtNode::BackgroundSync => self.background_sync(node),
            AtNode::Notice(notice) => self.notice(node, notice),
            AtNode::Rebuilt(part, number) => self.rebuilt(node, part, number),
            AtNode::Settle => self.settle(node),
            AtNode::Dial(to) => self.dial(node, to),
            AtNode::FlushAcks(to) => self.flush_acks(node, to),
            AtNode::FeedTurn(conn) => self.feed_turn(node, conn),
            AtNode::SlowRead(conn, part) => self.slow_read(node, conn, part),
            AtNode::Heartbeat => self.heartbeat(node),
            AtNode::Apply => self.apply(node),
            AtNode::ApplyAgain => {
                if let Some(process) = self.process(node) {
                    process.applying = false;
                }
                self.apply(node);
            }
            AtNode::LeadsTooEarly(leadership) => self.leads_too_early(node, leadership),
            AtNode::Proposed(id, result) => self.proposed(node, id, result),
            AtNode::Control(control) => self.control(node, *control),
            AtNode::AskTimedOut(number) => self.ask_timed_out(node, number),
            AtNode::Register => self.register(node),
            AtNode::Stop => self.stop(node),
            AtNode::Request(number) => self.request(node, number),
        }
    }

    fn look_for_peace(&mut self) {
        self.operate();
        match self.unrest() {
            None => {
                self.check_rest();
                self.done = true;
            }
            Some(why) if self.now > self.options.safety + PEACE => {
                self.broken("settles", || format!("{} s after the heal: {why}", PEACE / SECOND));
                self.done = true;
            }
            Some(_) => self.after(500 * MS, Event::LookForPeace),
        }
    }
}
