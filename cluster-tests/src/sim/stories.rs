//! Stories: faults that only together lead anywhere, drawn as one.
//!
//! A random search seldom pauses a leader, then its successor, while one stream of the first stands still. Each story here
//! is a sequence that the rules were written for; chance draws its nodes and its moments. The faults of a story are
//! ordinary ones, so a failing run is shortened one by one all the same.

use crate::sim::faults::{Fault, Planned, Seen, Setting};
use crate::sim::options::{MS, Options, SECOND, Time};
use crate::sim::rng::Rng;

/// Longer than a session: the node is fenced.
const FENCED: (Time, Time) = (3_300 * MS, 5 * SECOND);

/// Draws a story that begins at a moment, and adds its faults.
pub type Tell = fn(&mut Rng, &Options, Time, &mut Vec<Planned>);

/// How long [`stale`] takes at most.
pub const STALE: Time = 14 * SECOND;

/// Three nodes, each another one.
fn three(rng: &mut Rng, options: &Options) -> [usize; 3] {
    let nodes = usize::from(options.nodes);
    let a = rng.below(nodes as u64) as usize;
    let b = (a + 1 + rng.below(nodes as u64 - 1) as usize) % nodes;
    let others: Vec<usize> = (0..nodes).filter(|node| *node != a && *node != b).collect();
    [a, b, others[rng.below(others.len() as u64) as usize]]
}

/// A node hears and does not follow, while something is committed.
pub fn stale(rng: &mut Rng, options: &Options, at: Time, plan: &mut Vec<Planned>) {
    let node = rng.below(u64::from(options.nodes)) as usize;
    let part = rng.below(options.topics.len() as u64) as usize;
    let setting = Setting::MinIsr(rng.within(1, 2) as u8);
    let fault = Fault::CursorStops { node, long: rng.within(11 * SECOND, 14 * SECOND) };
    plan.push(Planned { at, fault });
    plan.push(Planned { at: at + rng.within(100 * MS, SECOND), fault: Fault::Change { part, setting } });
}

/// A leader is replaced and comes back, over one stream that is kept and stands still (R36). It takes [`RETURN`].
pub fn returns(rng: &mut Rng, options: &Options, at: Time, plan: &mut Vec<Planned>) {
    let [a, b, c] = three(rng, options);
    let mut push = |at: Time, fault: Fault| plan.push(Planned { at, fault });
    push(at, Fault::Elect { node: c });
    let variant = rng.below(4);
    if variant == 0 {
        // One follower has its last records, and the follower between has not. The first one's words are late later on.
        push(at + 200 * MS, Fault::Stall { from: a, to: c, long: 5 * SECOND });
        push(at + SECOND, Fault::Cut { a, b: c, long: rng.within(3_300 * MS, 4_500 * MS) });
        let quiet = Fault::Quiet { long: rng.within(8 * SECOND, 11 * SECOND) };
        push(at + rng.within(1_500 * MS, 2 * SECOND), quiet);
        let dies = at + rng.within(6_500 * MS, 8_500 * MS);
        push(dies - SECOND / 2, Fault::Stall { from: b, to: a, long: 9 * SECOND });
        return push(dies, Fault::Kill { node: c, down: rng.within(3 * SECOND, 6 * SECOND), host: false });
    }
    if variant == 1 {
        // Its last records are on their way to one follower, and the leadership between has none.
        push(at + 300 * MS, Fault::Stall { from: a, to: b, long: rng.within(14 * SECOND, 17 * SECOND) });
        push(at + 300 * MS, Fault::Cut { a, b: c, long: rng.within(3_300 * MS, 4_500 * MS) });
        push(at + rng.within(SECOND, 2 * SECOND), Fault::Quiet { long: rng.within(8 * SECOND, 11 * SECOND) });
        let dies = at + rng.within(6 * SECOND, 8 * SECOND);
        return push(dies, Fault::Kill { node: c, down: rng.within(3 * SECOND, 6 * SECOND), host: false });
    }
    // The leader between has records of its own, and is told late that the logs part. The first leader is preferred.
    push(at + 300 * MS, Fault::Cut { a, b: c, long: rng.within(3_300 * MS, 4 * SECOND) });
    let at = at + 6 * SECOND;
    push(at + 300 * MS, Fault::Stall { from: b, to: a, long: 4 * SECOND });
    push(at + 300 * MS, Fault::Stall { from: b, to: c, long: 4 * SECOND });
    push(at + 500 * MS, Fault::Cut { a: b, b: c, long: rng.within(3_300 * MS, 4 * SECOND) });
    push(at + 3_500 * MS, Fault::Stall { from: a, to: b, long: rng.within(12 * SECOND, 16 * SECOND) });
    let second = at + rng.within(5 * SECOND, 6 * SECOND);
    push(second, Fault::Cut { a, b: c, long: rng.within(3_300 * MS, 4_500 * MS) });
    let third = second + rng.within(4_500 * MS, 6 * SECOND);
    push(third, Fault::SlowDisk { node: c, long: 5 * SECOND, each: rng.within(3 * SECOND, 4 * SECOND) });
}

/// How long [`returns`] takes at most.
pub const RETURN: Time = 26 * SECOND;

/// A follower comes back, and the proposals that it joins are late (R40). It is away when one of them is judged, and
/// there again, but behind, when another one comes. It takes [`LATE`].
pub fn late(rng: &mut Rng, options: &Options, at: Time, plan: &mut Vec<Planned>) {
    let nodes = usize::from(options.nodes);
    let node = rng.below(nodes as u64) as usize;
    let mut push = |at: Time, fault: Fault| plan.push(Planned { at, fault });
    push(at, Fault::Elect { node: (node + 1) % nodes });
    push(at + 100 * MS, Fault::Pause { node, long: rng.within(3_300 * MS, 3_800 * MS) });
    push(at + rng.within(3_800 * MS, 4_400 * MS), Fault::AsksLate { long: 12 * SECOND });
    let away = at + rng.within(4_600 * MS, 5_600 * MS);
    for from in (0..nodes).filter(|from| *from != node) {
        push(away, Fault::Stall { from, to: node, long: 15 * SECOND });
    }
    push(away, Fault::Pause { node, long: rng.within(5 * SECOND, 6 * SECOND) });
}

/// How long [`late`] takes at most.
pub const LATE: Time = 21 * SECOND;

/// Draws one story that begins at this time.
pub fn tell(rng: &mut Rng, options: &Options, at: Time, plan: &mut Vec<Planned>) {
    let number = rng.below(6);
    let [a, b, c] = three(rng, options);
    let part = rng.below(options.topics.len() as u64) as usize;
    let mut push = |at: Time, fault: Fault| plan.push(Planned { at, fault });
    match number {
        // Leader A, then C, then A again, while B's stream to A is kept and stands still (R36).
        0 => {
            let away = rng.within(FENCED.0, FENCED.1);
            push(at, Fault::Stall { from: a, to: b, long: rng.within(5 * SECOND, 12 * SECOND) });
            push(at + 100 * MS, Fault::Pause { node: a, long: away });
            let back = at + away + rng.within(500 * MS, 1_500 * MS);
            push(back, Fault::Pause { node: c, long: rng.within(FENCED.0, FENCED.1) });
        }
        // Two leaders die shortly after each other; the first one's last records are on one follower (KIP-279).
        1 => {
            push(at, Fault::Stall { from: a, to: c, long: rng.within(SECOND, 5 * SECOND) });
            let dies = at + rng.within(200 * MS, 1_500 * MS);
            push(dies, Fault::Kill { node: a, down: rng.within(SECOND, 6 * SECOND), host: rng.percent(30) });
            let next = dies + rng.within(20 * MS, 3_500 * MS);
            push(next, Fault::Kill { node: c, down: rng.within(500 * MS, 4 * SECOND), host: false });
        }
        // A follower is away while records are deleted, and its stream is slow when it comes back (R39).
        2 => {
            let away = rng.within(2 * SECOND, 7 * SECOND);
            push(at, Fault::Pause { node: b, long: away });
            push(at + away / 2, Fault::Delete { part, percent: 100 });
            push(at + away * 3 / 4, Fault::Delete { part, percent: 100 });
            push(at + away, Fault::Stall { from: a, to: b, long: rng.within(100 * MS, 3 * SECOND) });
            push(at + away + rng.within(50 * MS, 2 * SECOND), Fault::Reset { a, b, seen: Seen::Peer });
        }
        // A proposal of a leader is late and comes twice, while members come and go (R40).
        3 => {
            push(at, Fault::Repeat { long: rng.within(4 * SECOND, 12 * SECOND) });
            push(at + 200 * MS, Fault::Cut { a, b, long: rng.within(FENCED.0, FENCED.1) });
            push(at + 600 * MS, Fault::AnswersLost { long: rng.within(SECOND, 4 * SECOND) });
            push(
                at + rng.within(SECOND, 6 * SECOND),
                Fault::Pause { node: b, long: rng.within(FENCED.0, FENCED.1) },
            );
        }
        // A leader is cut off from the controller alone, and goes on with its followers.
        4 => {
            let long = rng.within(FENCED.0, 9 * SECOND);
            push(at, Fault::Elect { node: c });
            push(at + 300 * MS, Fault::Cut { a, b: c, long });
            push(at + long / 2, Fault::Reset { a, b, seen: Seen::Dialler });
        }
        // The image of a leader stands still while others are elected, fenced and elected again.
        _ => {
            push(at, Fault::CursorStops { node: a, long: rng.within(2 * SECOND, 9 * SECOND) });
            push(
                at + rng.within(100 * MS, SECOND),
                Fault::Pause { node: b, long: rng.within(FENCED.0, FENCED.1) },
            );
            push(at + rng.within(SECOND, 4 * SECOND), Fault::ActorFails { node: a, part });
        }
    }
}
