//! The way back of replicas that lost something: the repair of a damaged one (R41), and the operator's unclean election.
//!
//! ```text
//!   rot found ─> heartbeat names it ─> out of ISR and ELR, under a higher leader epoch ─> its log set aside ─> refetched
//! ```
//! After the heal an operator looks at partitions without a leader. If nobody who could lead is alive, they are elected
//! uncleanly. From then on the truth is what that leader has, and what it lacks is counted as a loss that was reported.

use callboard_core::metadata::Partition;
use callboard_core::metadata::controller::{Ask, Election};
use callboard_core::node::Input;
use callboard_core::{LeaderEpoch, TopicPartition};

use crate::sim::disk::Recovered;
use crate::sim::faults::{NodeIx, PartIx};
use crate::sim::options::{SECOND, Time};
use crate::sim::world::{Local, World};

/// How long an operator waits for the cluster to find a leader by itself.
const PATIENCE: Time = 12 * SECOND;
/// Time between two elections that the operator asks for.
const AGAIN: Time = 4 * SECOND;

impl World {
    /// Rot is found in a running replica.
    pub fn rots(&mut self, node: NodeIx, part: PartIx) {
        let Some(process) = self.process(node).filter(|process| !process.stopped) else { return };
        let Local::Up(up) = &process.locals[part] else { return };
        let life = up.life;
        self.truths[part].losers.insert(node);
        self.node_step(node, Input::Damaged { life, why: "rot".to_owned(), mendable: true });
    }

    /// Heartbeats name a replica that cannot serve what it acknowledged.
    pub fn note_damage(&mut self, node: NodeIx, id: TopicPartition, epoch: LeaderEpoch) {
        if let (Some(part), Some(process)) = (self.part(id), self.process(node)) {
            process.damaged[part] = Some(epoch);
        }
    }

    /// A damaged replica begins anew: what it had is set aside.
    pub fn mend(&mut self, node: NodeIx, id: TopicPartition) {
        let Some(part) = self.part(id) else { return };
        if let Some(process) = self.process(node) {
            (process.damaged[part], process.mended[part]) = (None, true);
        }
        match self.take_down(node, part) {
            Local::Up(up) => {
                self.set_aside(node, up.replica);
                self.figures.repaired += 1;
            }
            Local::Rebuilding { replica, .. } => {
                self.set_aside(node, replica);
                self.figures.repaired += 1;
            }
            Local::None => self.figures.refilled += 1,
        }
    }

    /// Whether a replica has just begun anew, so that its former log is set aside already.
    #[must_use]
    pub fn is_mended(&self, node: NodeIx, id: TopicPartition) -> bool {
        let process = self.nodes[node].process.as_ref();
        self.part(id).is_some_and(|part| process.is_some_and(|process| process.mended[part]))
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
        self.is_running(node) && process.is_some_and(|process| process.damaged[part].is_none())
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
        let process = self.nodes[leader].process.as_ref();
        // A damaged leader begins anew.
        let keeps = process.is_none_or(|process| process.damaged[part].is_none());
        let live = self.nodes[leader].disk.replicas().filter(|(_, live)| live.id == id && keeps).last();
        let (start, log) =
            live.map_or((0, Vec::new()), |(_, live)| (live.log_start(), live.content().to_vec()));
        let lost = self.truths[part].take_over(&log, start, p.leader_epoch);
        self.figures.elected += 1;
        self.figures.reported += lost;
        self.clients.read[part] = self.clients.read[part].min(self.truths[part].high_watermark);
    }
}
