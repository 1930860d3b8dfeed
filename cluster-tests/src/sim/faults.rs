//! The faults of a run, drawn before it begins: a list of moments and misfortunes.
//!
//! Each fault is one event of the run, with its own end. So a failing run can be shortened by leaving faults out, and
//! what is left is the story to read. Faults only take away what the rules allow to be taken: a kill keeps what was
//! written, a power cut what was synced, a stream stays in order.

use std::fmt;

use crate::sim::options::{MS, Options, SECOND, Time};
use crate::sim::rng::Rng;

/// A node, counted from 0.
pub type NodeIx = usize;
/// A partition of the run, counted from 0.
pub type PartIx = usize;

/// The ends of a connection that hear of its reset at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Both,
    Dialler,
    Peer,
}

/// How the metadata log ends proposals while a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Committed, and the proposer hears nothing for long.
    Late,
    /// Told Unknown, and committed all the same.
    UnknownCommitted,
    /// Told Unknown, and never committed.
    UnknownLost,
    /// Told NotLeader, and never taken.
    NotLeader,
}

/// A setting that is changed while load runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    MinIsr(u8),
    Os(bool),
}

/// One misfortune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process ends. With `host`, its peers see it only by silence.
    Kill { node: NodeIx, down: Time, host: bool },
    /// The power of a node is cut; of what was written and not synced, this many percent survive.
    PowerCut { node: NodeIx, down: Time, keep: u64 },
    PowerCutAll { down: Time, keep: u64 },
    /// The process stands still; what comes for it waits.
    Pause { node: NodeIx, long: Time },
    /// Nothing moves between two nodes.
    Cut { a: NodeIx, b: NodeIx, long: Time },
    /// Nothing moves in one direction.
    OneWay { from: NodeIx, to: NodeIx, long: Time },
    /// Data streams between two nodes stand still in one direction, while everything else flows.
    Stall { from: NodeIx, to: NodeIx, long: Time },
    /// All data connections between two nodes end, and what is in flight is lost.
    Reset { a: NodeIx, b: NodeIx, seen: Seen },
    /// The disk takes this long for each write and sync.
    SlowDisk { node: NodeIx, long: Time, each: Time },
    /// The image stands still, while heartbeats flow.
    CursorStops { node: NodeIx, long: Time },
    /// Another node leads the metadata log.
    Elect { node: NodeIx },
    /// Proposals end otherwise than they should.
    Fates { fate: Fate, long: Time },
    /// Questions to the controller come twice, and late.
    Repeat { long: Time },
    /// Answers of the controller are lost.
    AnswersLost { long: Time },
    /// The actor of a replica fails and is rebuilt.
    ActorFails { node: NodeIx, part: PartIx },
    /// A wall clock steps by these milliseconds.
    WallSteps { node: NodeIx, by: i64 },
    /// Time passes in which nothing happens anywhere, as if all machines had been suspended.
    Skip { long: Time },
    /// An administrator changes a topic.
    Change { part: PartIx, setting: Setting },
    /// DeleteRecords up to this percentage of the log.
    Delete { part: PartIx, percent: u64 },
}

/// A fault and its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub at: Time,
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} s  {:?}", self.at as f64 / SECOND as f64, self.fault)
    }
}

/// The faults of these options, in order of time.
#[must_use]
pub fn plan(options: &Options) -> Vec<Planned> {
    let mut rng = Rng::new(options.seed, 2);
    let mut plan = Vec::new();
    // The first seconds form the cluster, so faults there are rare and not absent.
    let early = rng.percent(10);
    let from = if early { SECOND / 2 } else { 3 * SECOND };
    let until = options.safety.max(from + SECOND);
    while (plan.len() as u64) < options.faults {
        let at = rng.within(from, until);
        plan.push(Planned { at, fault: draw(&mut rng, options) });
        // Misfortunes come in bursts: half of the time another one follows closely.
        if rng.percent(50) {
            let at = at + rng.skewed(0, 4 * SECOND);
            plan.push(Planned { at, fault: draw(&mut rng, options) });
        }
    }
    if options.settings {
        for _ in 0..rng.within(1, 4) {
            let at = rng.within(from, until);
            plan.push(Planned { at, fault: change(&mut rng, options) });
        }
    }
    if options.delete_records {
        for _ in 0..rng.within(1, 5) {
            let part = rng.below(options.topics.len() as u64) as usize;
            let fault = Fault::Delete { part, percent: rng.within(1, 100) };
            plan.push(Planned { at: rng.within(from, until), fault });
        }
    }
    if options.expire {
        // Once to the next look for idle producers, twice with a clock that is slow.
        for _ in 0..2 {
            let at = rng.within(from, until);
            plan.push(Planned { at, fault: Fault::Skip { long: rng.within(500, 700) * SECOND } });
        }
        let node = rng.below(u64::from(options.nodes)) as usize;
        let by = rng.within(3_600_000, 86_400_000) as i64;
        plan.push(Planned { at: rng.within(from, until), fault: Fault::WallSteps { node, by } });
    }
    plan.sort_by_key(|planned| planned.at);
    plan
}

fn draw(rng: &mut Rng, options: &Options) -> Fault {
    let nodes = u64::from(options.nodes);
    let node = rng.below(nodes) as usize;
    let other = (node + 1 + rng.below(nodes - 1) as usize) % nodes as usize;
    let long = [rng.skewed(20 * MS, 3 * SECOND), rng.within(3 * SECOND, 7 * SECOND), rng.skewed(SECOND, 12 * SECOND)]
        [rng.weighted(&[4, 3, 2])];
    match rng.weighted(&options.weights) {
        0 => ended(rng, options, node, long),
        1 => Fault::Pause { node, long },
        2 => {
            let seen = [Seen::Both, Seen::Dialler, Seen::Peer][rng.below(3) as usize];
            Fault::Reset { a: node, b: other, seen }
        }
        3 => match rng.below(3) {
            0 => Fault::Cut { a: node, b: other, long },
            1 => Fault::OneWay { from: node, to: other, long },
            _ => Fault::Stall { from: node, to: other, long },
        },
        4 => metadata(rng, node, long),
        5 => Fault::Elect { node },
        6 => Fault::ActorFails { node, part: rng.below(options.topics.len() as u64) as usize },
        _ if rng.percent(50) => Fault::SlowDisk { node, long, each: rng.skewed(20 * MS, 2 * SECOND) },
        _ => Fault::WallSteps { node, by: rng.below(172_800_001) as i64 - 86_400_000 },
    }
}

/// A process that ends, in one of the ways that the options allow.
fn ended(rng: &mut Rng, options: &Options, node: NodeIx, long: Time) -> Fault {
    let down = rng.skewed(50 * MS, 6 * SECOND).max(long / 2);
    let keep = [0, 100, rng.below(101)][rng.below(3) as usize];
    match rng.below(6) {
        0 | 1 if options.power_cuts => Fault::PowerCut { node, down, keep },
        2 if options.power_cuts => Fault::PowerCutAll { down, keep },
        _ => Fault::Kill { node, down, host: rng.percent(20) },
    }
}

fn metadata(rng: &mut Rng, node: NodeIx, long: Time) -> Fault {
    match rng.below(6) {
        0 | 1 => Fault::CursorStops { node, long },
        2 => Fault::Repeat { long },
        3 => Fault::AnswersLost { long },
        _ => {
            let fates = [Fate::Late, Fate::UnknownCommitted, Fate::UnknownLost, Fate::NotLeader];
            Fault::Fates { fate: fates[rng.below(4) as usize], long }
        }
    }
}

fn change(rng: &mut Rng, options: &Options) -> Fault {
    let part = rng.below(options.topics.len() as u64) as usize;
    let setting = if options.durability_changes() && rng.percent(50) {
        Setting::Os(rng.percent(50))
    } else {
        Setting::MinIsr(rng.within(1, 3) as u8)
    };
    Fault::Change { part, setting }
}
