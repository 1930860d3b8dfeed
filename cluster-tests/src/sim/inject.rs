//! Faults, as they happen, and the end of all of them.
//!
//! A fault changes the world for a while and plans its own end. The heal ends every fault at once, starts what is down,
//! and leaves at most a minority dead, where the options say so.

use callboard_core::machine::Machine;
use callboard_core::metadata::controller::Ask;
use callboard_core::metadata::{Alteration, ConfigOp, ResourceKind};

use crate::sim::event::{Event, Who};
use crate::sim::faults::{Fault, NodeIx, Setting};
use crate::sim::options::{MS, SECOND, Time};
use crate::sim::world::World;

/// A process that ends is seen by its peers within this, unless its host is gone too.
pub const SEEN: Time = 5 * MS;
/// Silence of a lost host is seen after this.
const SILENT: Time = 3 * SECOND;

/// A node whose image stands still for this long is fenced.
const STALE: Time = 10 * SECOND;

/// For how long a fault may fence nodes, move leaderships or cut nodes off, with what follows from it.
fn disturbs(fault: &Fault) -> Time {
    match *fault {
        Fault::Kill { down, .. } | Fault::PowerCut { down, .. } | Fault::PowerCutAll { down, .. } => {
            down + 8 * SECOND
        }
        Fault::Pause { long, .. } | Fault::Cut { long, .. } | Fault::OneWay { long, .. } => long + 5 * SECOND,
        Fault::Fates { long, .. } | Fault::Repeat { long } => long + 8 * SECOND,
        Fault::Elect { .. } | Fault::Skip { .. } => 6 * SECOND,
        Fault::Stop { down, .. }
        | Fault::StartCrash { down, .. }
        | Fault::Lose { down, .. }
        | Fault::PutBack { down, .. } => down + 20 * SECOND,
        Fault::SyncFails { .. } | Fault::Rot { .. } => 20 * SECOND,
        _ => 0,
    }
}

impl World {
    /// A fault of the plan happens.
    pub fn fault(&mut self, number: usize) {
        if self.healed {
            return;
        }
        let planned = self.plan[number];
        let now = self.now;
        let calm = self.disturbed <= now;
        let long = disturbs(&planned.fault);
        if long > 0 {
            self.disturbed = self.disturbed.max(now + long);
        }
        match planned.fault {
            Fault::Kill { node, down, host } => {
                self.kill(node, None, if host { SILENT } else { SEEN });
                self.after(down, Event::Restart(node));
            }
            Fault::PowerCut { node, down, keep } => {
                self.kill(node, Some(keep), SILENT);
                self.after(down, Event::Restart(node));
            }
            Fault::PowerCutAll { down, keep } => {
                for node in 0..self.nodes.len() {
                    self.kill(node, Some(keep), SILENT);
                    let wait = down + self.rng.skewed(0, 3 * SECOND);
                    self.after(wait, Event::Restart(node));
                }
            }
            Fault::Pause { node, long } => self.pause(node, long),
            Fault::Cut { a, b, long } => {
                self.block(a, b, long);
                self.block(b, a, long);
            }
            Fault::OneWay { from, to, long } => self.block(from, to, long),
            Fault::Stall { from, to, long } => {
                let until = &mut self.stalled[from][to];
                *until = (*until).max(now + long);
            }
            Fault::Reset { a, b, seen } => self.reset(a, b, seen),
            Fault::SlowDisk { node, long, each } => self.nodes[node].slow = (now + long, each),
            Fault::CursorStops { node, long } => {
                let stopped = &mut self.nodes[node].stopped;
                *stopped = (*stopped).max(now + long);
                if calm && long > STALE && self.controller() != Some(node) {
                    self.after(STALE / 3, Event::Stale { node, began: now, committed: None });
                }
            }
            Fault::Elect { node } => {
                if self.is_electable(node) {
                    self.elect(node);
                }
            }
            Fault::Fates { fate, long } => self.fates = Some((fate, now + long)),
            Fault::Repeat { long } => self.repeat = now + long,
            Fault::AsksLate { long } => self.asks_late = now + long,
            Fault::AnswersLost { long } => self.answers_lost = now + long,
            Fault::ActorFails { node, part } => self.actor_fails(node, part),
            Fault::WallSteps { node, by } => self.nodes[node].clock.wall += by,
            Fault::Skip { long } => self.skip(long),
            Fault::Change { part, setting } => self.change(part, setting),
            Fault::Quiet { long } => self.quiet = self.quiet.max(now + long),
            Fault::Delete { part, percent } => self.delete_records(part, percent),
            other => self.harm(other),
        }
    }

    /// A process ends. `power`: the machine under it too, and this many percent of what is not synced survive.
    pub fn kill(&mut self, node: NodeIx, power: Option<u64>, seen: Time) {
        if self.nodes[node].process.take().is_none() {
            // Bytes that an earlier process wrote, and that were never synced, go with the power.
            return power.into_iter().for_each(|keep| self.lose_power(node, keep));
        }
        self.nodes[node].life += 1;
        self.nodes[node].paused = 0;
        self.nodes[node].disk.kill(&mut self.rng);
        if let Some(keep) = self.nodes[node].pages_lost.take() {
            let _ = self.nodes[node].disk.cut(keep);
        }
        if let Some(keep) = power {
            self.lose_power(node, keep);
        }
        self.drop_connections(node, seen);
        if self.controller() == Some(node) {
            self.meta.depose();
            self.miss_controller(seen);
        }
    }

    /// A node that hears and does not follow is fenced within two sessions or so, where nothing else goes on (R45).
    pub fn stale(&mut self, node: NodeIx, began: Time, committed: Option<usize>) {
        let stands = self.disturbed <= began && !self.healed && self.nodes[node].stopped > self.now;
        let Some(cursor) = self.nodes[node].process.as_ref().map(|process| process.cursor).filter(|_| stands)
        else {
            return;
        };
        let Some(then) = committed else {
            let committed = Some(self.meta.committed());
            return self.after(STALE - STALE / 3, Event::Stale { node, began, committed });
        };
        let id = self.nodes[node].id;
        let fenced = self.image.brokers.get(&id).is_none_or(|broker| broker.fenced);
        if cursor < then && !fenced {
            self.broken("stale", || {
                format!(
                    "n{id} has applied {cursor} of the {then} that were committed 6 s ago, and is not fenced"
                )
            });
        }
    }

    /// Time passes, and every timer that has come due fires.
    fn skip(&mut self, long: Time) {
        for node in 0..self.nodes.len() {
            self.nodes[node].clock.skip(long);
            for part in 0..self.parts.len() {
                let deadline = self.replica(node, part).and_then(|replica| replica.machine.next_deadline());
                self.arm(node, Who::Replica(part), deadline);
            }
        }
    }

    fn pause(&mut self, node: NodeIx, long: Time) {
        let until = self.now + long;
        let paused = &mut self.nodes[node].paused;
        *paused = (*paused).max(until);
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.silence(node, other);
        }
        if self.controller() == Some(node) && long > SECOND {
            self.miss_controller(SECOND);
        }
    }

    fn block(&mut self, from: NodeIx, to: NodeIx, long: Time) {
        let until = &mut self.blocked[from][to];
        *until = (*until).max(self.now + long);
        if long > SILENT {
            self.silence(from, to);
        }
        if self.controller().is_some_and(|node| !self.has_majority(node)) {
            self.miss_controller(SECOND);
        }
    }

    /// Whether a majority of voters is left without this node, and without those that are about to lose their disks.
    fn may_die(&self, dead: NodeIx) -> bool {
        let stays = |node: &NodeIx| {
            let here = &self.nodes[*node];
            let judged = !here.strange || self.is_running(*node);
            let sure = here.lose.is_none() && !here.put_back && judged;
            *node != dead && self.voters[*node].votes && sure
        };
        (0..self.nodes.len()).filter(stays).count() * 2 > self.nodes.len()
    }

    fn change(&mut self, part: usize, setting: Setting) {
        self.truths[part].resized |= matches!(setting, Setting::MinIsr(_));
        let (name, value) = match setting {
            Setting::MinIsr(least) => ("min.insync.replicas", least.to_string()),
            Setting::Os(os) => ("callboard.durability", if os { "os" } else { "fsync" }.to_owned()),
        };
        let changes = vec![(name.to_owned(), ConfigOp::Set, Some(value))];
        let name = self.parts[part].name.clone();
        let alteration = Alteration { kind: ResourceKind::Topic, name, replace: false, changes };
        let ask = Ask::AlterConfigs { broker_id: 1, alterations: vec![alteration], validate_only: false };
        self.after(0, Event::Admin(Box::new(ask)));
    }

    /// All faults end. Each node that is down comes up, except for one that stays dead.
    pub fn heal(&mut self) {
        self.healed = true;
        self.blocked = Default::default();
        self.stalled = Default::default();
        (self.fates, self.repeat, self.asks_late, self.answers_lost, self.quiet) = (None, 0, 0, 0, 0);
        let dead = self.options.leave_dead.then(|| self.rng.below(self.nodes.len() as u64) as usize);
        let dead = dead.filter(|dead| self.may_die(*dead));
        for node in 0..self.nodes.len() {
            (self.nodes[node].slow, self.nodes[node].stopped) = ((0, 0), 0);
            (self.nodes[node].sync_breaks, self.nodes[node].crash) = (None, None);
            self.plan_apply(node);
            if dead == Some(node) {
                self.nodes[node].left_dead = true;
                self.kill(node, None, SEEN);
            } else {
                let wait = self.rng.skewed(0, SECOND);
                self.after(wait, Event::Restart(node));
            }
        }
        self.after(2 * SECOND, Event::LookForPeace);
    }
}
