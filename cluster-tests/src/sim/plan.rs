//! The faults of a run, drawn before it begins: a list of moments and misfortunes.
//!
//! Misfortunes come in bursts, and sometimes as a whole story (`stories.rs`). Settings that change and DeleteRecords are in
//! the list too, so that a failing run can be shortened by them.

use crate::sim::faults::{Fate, Fault, NodeIx, Planned, Seen, Setting};
use crate::sim::options::{MS, Only, Options, SECOND, Time};
use crate::sim::rng::Rng;
use crate::sim::stories;
use crate::sim::tales;

/// The faults of these options, in order of time.
#[must_use]
pub fn plan(options: &Options) -> Vec<Planned> {
    let mut rng = Rng::new(options.seed, 2);
    let mut plan = Vec::new();
    if let Some(only) = options.only {
        let (from, long, tell): (_, _, stories::Tell) = match only {
            Only::Stale => (5 * SECOND, stories::STALE, stories::stale),
            Only::Returns => (3 * SECOND, stories::RETURN, stories::returns),
            Only::Late => (3 * SECOND, stories::LATE, stories::late),
        };
        let at = rng.within(from, options.safety - long);
        tell(&mut rng, options, at, &mut plan);
        plan.sort_by_key(|planned| planned.at);
        return plan;
    }
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
    for _ in 0..options.stories {
        let at = rng.within(from, until);
        stories::tell(&mut rng, options, at, &mut plan);
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
        for at in [rng.within(from, until), options.safety - MS] {
            plan.push(Planned { at, fault: Fault::Skip { long: rng.within(500, 700) * SECOND } });
        }
        let node = rng.below(u64::from(options.nodes)) as usize;
        let by = rng.within(3_600_000, 86_400_000) as i64;
        plan.push(Planned { at: rng.within(from, until), fault: Fault::WallSteps { node, by } });
    }
    tales::harm(options, from, until, &mut plan);
    plan.sort_by_key(|planned| planned.at);
    plan
}

fn draw(rng: &mut Rng, options: &Options) -> Fault {
    let nodes = u64::from(options.nodes);
    let node = rng.below(nodes) as usize;
    let other = (node + 1 + rng.below(nodes - 1) as usize) % nodes as usize;
    let long = [
        rng.skewed(20 * MS, 3 * SECOND),
        rng.within(3 * SECOND, 7 * SECOND),
        rng.skewed(SECOND, 12 * SECOND),
    ][rng.weighted(&[4, 3, 2])];
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
            let fates = [
                Fate::Late,
                Fate::UnknownCommitted,
                Fate::UnknownLost,
                Fate::NotLeader,
                Fate::Refused,
                Fate::UnknownSkipped,
            ];
            Fault::Fates { fate: fates[rng.below(6) as usize], long }
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
