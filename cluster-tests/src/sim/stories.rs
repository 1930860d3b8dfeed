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

/// Draws one story that begins at this time.
pub fn tell(rng: &mut Rng, options: &Options, at: Time, plan: &mut Vec<Planned>) {
    let nodes = usize::from(options.nodes);
    let a = rng.below(nodes as u64) as usize;
    let b = (a + 1 + rng.below(nodes as u64 - 1) as usize) % nodes;
    let others: Vec<usize> = (0..nodes).filter(|node| *node != a && *node != b).collect();
    let c = others[rng.below(others.len() as u64) as usize];
    let part = rng.below(options.topics.len() as u64) as usize;
    let mut push = |at: Time, fault: Fault| plan.push(Planned { at, fault });
    match rng.below(7) {
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
        // A node hears and does not follow, and nothing else is wrong (R45).
        5 => {
            push(at, Fault::CursorStops { node: a, long: rng.within(9 * SECOND, 12 * SECOND) });
            let setting = Setting::MinIsr(rng.within(1, 2) as u8);
            push(at + rng.within(100 * MS, SECOND), Fault::Change { part, setting });
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
