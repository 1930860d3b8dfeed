//! The way back of replicas that lost something: the repair of a damaged one (R41), and the operator's unclean election.
//!
//! ```text
//!   rot found ─> heartbeat names it ─> out of ISR and ELR, under a higher leader epoch ─> its log set aside ─> refetched
//! ```
//! After the heal an operator looks at partitions without a leader. If nobody who could lead is alive, they are elected
//! uncleanly. From then on the truth is what that leader has, and what it lacks is counted as a loss that was reported.

use callboard_core::metadata::Partition;
use callboard_core::metadata::controller::{Ask, Election};
use callboard_core::mutant::{Mutant, planted};
use callboard_core::partition::{Assigned, AssignedRole, LocalLog};

use crate::sim::disk::Recovered;
use crate::sim::faults::{NodeIx, PartIx};
use crate::sim::options::{SECOND, Time};
use crate::sim::world::{Local, Replica, World};

/// How long an operator waits for the cluster to find a leader by itself.
const PATIENCE: Time = 12 * SECOND;
/// Time between two elections that the operator asks for.
const AGAIN: Time = 4 * SECOND;

impl World {
    /// Empties each damaged replica that may be emptied by the node's image: another one leads, and it counts for nobody.
    pub fn repair(&mut self, node: NodeIx) {
        let id = self.nodes[node].id;
        for part in 0..self.parts.len() {
            let Some(process) = &self.nodes[node].process else { return };
            let known = process.epoch.is_some_and(|epoch| process.image.applied >= epoch);
            let p = process.image.partition(self.parts[part].id).cloned();
            let Some(p) = p.filter(|_| known && process.damaged[part] && !process.stopped) else { continue };
            let early = planted(Mutant::RefetchBeforeLeaving) && p.leader >= 0 && p.leader != id;
            let out = p.leader >= 0 && p.leader != id && !p.is_eligible(id);
            // A proposal that brings it back may be on its way until acks of this epoch count no more.
            let out = out && process.rotten_in[part] < p.leader_epoch;
            if (out || early) && matches!(process.locals[part], Local::Up(_)) {
                self.empty(node, part, &p);
            }
        }
    }

    fn empty(&mut self, node: NodeIx, part: PartIx, p: &Partition) {
        let Local::Up(up) = self.take_down(node, part) else { return };
        let Replica { replica, life, config, .. } = *up;
        self.set_aside(node, replica);
        let role = AssignedRole::Follower { leader: p.leader };
        let assigned = Assigned { role, leader_epoch: p.leader_epoch, unclean_epoch: p.unclean_epoch };
        match self.nodes[node].disk.open(life.id, config.durability) {
            Ok(replica) => {
                self.figures.repaired += 1;
                self.kick_writer(node);
                if let Some(process) = self.process(node) {
                    process.damaged[part] = false;
                }
                let log = LocalLog::opening(config.durability);
                self.spawn(node, part, (replica, life), log, assigned, config, false);
                self.check_members(part, Some(node));
            }
            Err(why) => self.broken("journal", || format!("n{} p{part}: {why}", node + 1)),
        }
    }

    /// A start found replicas that are not clean: each may lack something.
    pub fn count_unclean(&mut self, node: NodeIx, recovered: &[Recovered]) {
        let stored = &self.nodes[node].stored;
        let unclean: Vec<_> = recovered
            .iter()
            .filter(|r| stored.verdicts.contains_key(&r.replica))
            .map(|r| r.fold.id)
            .collect();
        for id in unclean {
            let Some(part) = self.part(id) else { continue };
            self.nodes[node].lossy = true;
            self.figures.unclean += 1;
            self.truths[part].losers.insert(node);
        }
    }

    /// Forgives verdicts on replicas whose return to the ISR is committed.
    pub fn forgive(&mut self, node: NodeIx) {
        let here = &mut self.nodes[node];
        let Some(process) = here.process.as_ref() else { return };
        let (id, image) = (here.id, &process.image);
        if here.stored.verdicts.is_empty() || process.epoch.is_none_or(|epoch| image.applied < epoch) {
            return;
        }
        let disk = &here.disk;
        let back = |replica| {
            let p = disk.live(replica).and_then(|live| image.partition(live.id));
            p.is_some_and(|p| p.isr.contains(&id) && !p.unclean.contains(&id) && p.leader >= 0)
        };
        here.stored.verdicts.retain(|replica, _| !back(*replica));
    }

    /// The process that the image shows for a node runs.
    #[must_use]
    pub fn is_running(&self, node: NodeIx) -> bool {
        let broker = self.image.brokers.get(&self.nodes[node].id);
        let process = self.nodes[node].process.as_ref().map(|process| process.id);
        process.is_some_and(|process| {
            broker.is_some_and(|broker| broker.process == Some(crate::sim::stored::process_id(process)))
        })
    }

    /// Whether a replica runs and can serve what it acknowledged.
    #[must_use]
    pub fn is_sound(&self, node: NodeIx, part: PartIx) -> bool {
        let process = self.nodes[node].process.as_ref();
        self.is_running(node) && process.is_some_and(|process| !process.damaged[part] && !process.lost[part])
    }

    /// The operator looks at partitions without a leader, once all nodes that will ever be there are there.
    pub fn operate(&mut self) {
        let dead = |node: NodeIx| self.nodes[node].left_dead;
        let there = |node: NodeIx| dead(node) || self.unregistered(node).is_none();
        if self.now < self.options.safety + PATIENCE || !(0..self.nodes.len()).all(there) {
            return;
        }
        for part in 0..self.parts.len() {
            let Some(p) = self.committed(part).filter(|p| p.leader < 0).cloned() else { continue };
            let mut members = p.isr.iter().chain(&p.elr).filter_map(|broker| self.node_of(*broker));
            let hope = members.any(|node| self.nodes[node].left_dead || self.is_sound(node, part));
            if hope || self.now < self.truths[part].elect_at {
                continue;
            }
            self.truths[part].elect_at = self.now + AGAIN;
            self.check_budget(part, &p);
            let partitions = Some(vec![self.parts[part].id]);
            self.admin(Ask::ElectLeaders { election: Election::Unclean, partitions });
        }
    }

    /// Fewer replicas than `min.insync.replicas` have lost something since the ISR was whole, so the partition needs no
    /// operator.
    fn check_budget(&mut self, part: PartIx, p: &Partition) {
        let least = self.min_isr(part).min(p.replicas.len());
        let losers = self.truths[part].losers.clone();
        let known = self.truths[part].was_whole && !self.truths[part].resized;
        if known && losers.len() < least {
            self.broken("budget", || {
                format!("p{part} is without a leader, and only {losers:?} lost anything: {p:?}")
            });
        }
    }

    /// A leader was elected uncleanly: the loss is reported, and the truth is what this leader has.
    pub fn take_over(&mut self, part: PartIx, p: &Partition) {
        let Some(leader) = self.node_of(p.leader) else { return };
        let id = self.parts[part].id;
        let live = self.nodes[leader].disk.replicas().filter(|(_, live)| live.id == id).last();
        let (start, log) =
            live.map_or((0, Vec::new()), |(_, live)| (live.log_start(), live.content().to_vec()));
        let lost = self.truths[part].take_over(&log, start, p.leader_epoch);
        self.figures.elected += 1;
        self.figures.reported += lost;
        self.clients.read[part] = self.clients.read[part].min(self.truths[part].high_watermark);
    }
}
