//! Harm as it is drawn: single faults of disks, and stories of several that belong together.
//!
//! Their chance is a stream of its own, so that a seed without such harm keeps its meaning. A story names what it was
//! written for; its faults are ordinary ones, so a failing run is shortened one by one.

use crate::sim::faults::{Fault, Lost, Planned, Setting, SyncFault};
use crate::sim::options::{MS, Options, SECOND, Time};
use crate::sim::rng::Rng;
use crate::sim::step::STEPS;

/// The harm that these options allow.
pub fn harm(options: &Options, from: Time, until: Time, plan: &mut Vec<Planned>) {
    let mut rng = Rng::new(options.seed, 6);
    let rng = &mut rng;
    if !options.harms() {
        return;
    }
    for _ in 0..rng.within(1, 4) {
        let at = rng.within(from, until);
        let fault = draw(rng, options);
        plan.extend(fault.map(|fault| Planned { at, fault }));
    }
    for _ in 0..rng.within(1, 3) {
        let at = rng.within(from, until);
        tell(rng, options, at, plan);
    }
}

fn draw(rng: &mut Rng, options: &Options) -> Option<Fault> {
    let node = rng.below(u64::from(options.nodes)) as usize;
    let part = rng.below(options.topics.len() as u64) as usize;
    let down = rng.skewed(200 * MS, 6 * SECOND);
    let power = (options.power_cuts && rng.percent(50)).then(|| rng.below(101));
    let fault = match rng.below(9) {
        0 if options.stops => Fault::Stop { node, down },
        1 if options.stops => {
            let step = STEPS[rng.below(STEPS.len() as u64) as usize];
            Fault::StartCrash { node, step, power, down }
        }
        2 if options.wipes => Fault::Lose { node, what: Lost::Directory, down },
        3 if options.wipes => Fault::Lose { node, what: Lost::Shard, down },
        4 if options.old_copies => Fault::Copy { node },
        5 if options.old_copies => Fault::PutBack { node, down },
        6 if options.sync_fails => {
            let how = SyncFault { recorded: rng.percent(60), ends: rng.percent(50), keep: rng.below(101) };
            Fault::SyncFails { node, how }
        }
        7 if options.rot => Fault::Rot { node, part },
        8 if options.stops || options.wipes => Fault::Orphan { node },
        _ => return None,
    };
    Some(fault)
}

fn tell(rng: &mut Rng, options: &Options, at: Time, plan: &mut Vec<Planned>) {
    let nodes = usize::from(options.nodes);
    let a = rng.below(nodes as u64) as usize;
    let (b, c) = ((a + 1) % nodes, (a + 2) % nodes);
    let part = rng.below(options.topics.len() as u64) as usize;
    let story = rng.below(7);
    let down = rng.within(300 * MS, 3 * SECOND);
    let mut push = |at: Time, fault: Fault| plan.push(Planned { at, fault });
    match story {
        // The last replica standing: the ISR shrinks to one node, and that one loses its page cache (F21).
        0 if options.power_cuts_os => {
            push(at, Fault::Pause { node: b, long: rng.within(3_300 * MS, 6 * SECOND) });
            push(
                at + rng.within(0, SECOND),
                Fault::Pause { node: c, long: rng.within(3_300 * MS, 6 * SECOND) },
            );
            let cut = at + rng.within(4 * SECOND, 6 * SECOND);
            push(cut, Fault::PowerCut { node: a, down, keep: 0 });
        }
        // A voter forgets, while another one lacks what it held (M14).
        1 if options.wipes => {
            push(at, Fault::Elect { node: a });
            push(at + 100 * MS, Fault::Cut { a, b, long: 7 * SECOND });
            push(at + SECOND, Fault::Change { part, setting: Setting::MinIsr(rng.within(1, 3) as u8) });
            push(at + 2 * SECOND, Fault::Lose { node: c, what: Lost::Directory, down: SECOND });
            push(at + 2_800 * MS, Fault::Kill { node: a, down: 8 * SECOND, host: false });
        }
        // A copy that is made within a life comes back at a later death of that life.
        2 if options.old_copies => {
            push(at, Fault::Copy { node: a });
            push(at + rng.within(2 * SECOND, 8 * SECOND), Fault::PutBack { node: a, down });
        }
        // A copy that is made while a node is down comes back after its next life.
        3 if options.old_copies => {
            push(at, Fault::Kill { node: a, down, host: false });
            push(at + 100 * MS, Fault::Copy { node: a });
            push(at + rng.within(5 * SECOND, 10 * SECOND), Fault::PutBack { node: a, down });
        }
        // A clean end is not the end: the power goes later (M17).
        4 if options.stops => {
            push(at, Fault::Stop { node: a, down });
            let later = at + rng.within(8 * SECOND, 12 * SECOND);
            if options.power_cuts {
                push(later, Fault::PowerCut { node: a, down, keep: 0 });
            }
        }
        // A start that came to its registration, and not to its broker epoch.
        5 if options.stops => {
            let power = options.power_cuts.then_some(0);
            let step = STEPS[rng.within(3, 5) as usize];
            push(at, Fault::StartCrash { node: a, step, power, down });
        }
        // Rot is found in a follower that has just come back.
        6 if options.rot => {
            push(at, Fault::Pause { node: a, long: rng.within(3_300 * MS, 5 * SECOND) });
            push(at + rng.within(4 * SECOND, 6 * SECOND), Fault::Rot { node: a, part });
        }
        _ => {}
    }
}
