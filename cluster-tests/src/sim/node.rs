//! A node's process: it starts on what its disk holds, registers, and does what `NodeMachine` says.
//!
//! It is `NodeActor` and `ShardActor` in small: one shard, one life of a replica after the other. A replica that recovery
//! found is kept until an image claims it.

use std::sync::Arc;

use callboard_core::machine::Machine;
use callboard_core::metadata::Image;
use callboard_core::metadata::controller::Ask;
use callboard_core::node::{Effect, Found, Input, Life, Origin};
use callboard_core::partition::{Assigned, AssignedRole, Input as ReplicaInput, LocalLog, ReplicaConfig};
use callboard_core::storage::{Entry, EntryHeader};

use crate::sim::disk::log_start;
use crate::sim::event::Who;
use crate::sim::faults::NodeIx;
use crate::sim::messages::About;
use crate::sim::world::{Local, World};

impl World {
    /// Steps the node's machine, and performs what follows.
    pub fn node_step(&mut self, node: NodeIx, input: Input) {
        let now = self.clock(node);
        let mut inputs = vec![input];
        let mut at = 0;
        while at < inputs.len() {
            let input = inputs[at].clone();
            at += 1;
            let Some(process) = self.process(node) else { return };
            let mut out = Vec::new();
            process.machines.node.step(now, input, &mut out);
            process.machines.node.check();
            for effect in out {
                self.perform_node(node, effect, &mut inputs);
            }
        }
        let Some(process) = self.process(node) else { return };
        let deadline = process.machines.node.next_deadline();
        self.arm(node, Who::Node, deadline);
    }

    fn start(
        &mut self,
        node: NodeIx,
        (life, origin): (Life, Origin),
        assigned: Assigned,
        config: ReplicaConfig,
    ) {
        let Some(part) = self.part(life.id) else { return };
        let durability = config.durability;
        match origin {
            Origin::New => match self.nodes[node].disk.open(life.id, durability) {
                Ok(replica) => {
                    self.kick_writer(node);
                    let log = LocalLog::opening(durability);
                    self.spawn(node, part, (replica, life), log, assigned, config, false);
                    let Some(process) = self.process(node) else { return };
                    if std::mem::take(&mut process.mended[part]) {
                        self.check_members(part, Some(node));
                    }
                }
                Err(why) => self.broken("journal", || format!("n{} p{part}: {why}", node + 1)),
            },
            Origin::Recovered(replica) => {
                let Some(process) = self.process(node) else { return };
                let Some(found) = process.recovered.remove(&replica) else { return };
                let log = LocalLog::recovered(log_start(&found.fold), durability);
                self.spawn(node, part, (replica, life), log, assigned, config, false);
            }
            Origin::Returned => {}
        }
    }

    fn perform_node(&mut self, node: NodeIx, effect: Effect, inputs: &mut Vec<Input>) {
        match effect {
            Effect::Start { life, origin, assigned, config, .. } => {
                self.start(node, (life, origin), assigned, config);
            }
            Effect::Assign { id, assigned, .. } => {
                let Some(part) = self.part(id) else { return };
                let Some(process) = self.process(node) else { return };
                match &mut process.locals[part] {
                    Local::Up(replica) => {
                        replica.assigned = assigned.clone();
                        self.replica_step(node, part, ReplicaInput::Assign(assigned));
                    }
                    Local::Rebuilding { assigned: kept, .. } => *kept = assigned,
                    Local::None => {}
                }
            }
            Effect::Configure { id, config, .. } => {
                let Some(part) = self.part(id) else { return };
                let Some(process) = self.process(node) else { return };
                match &mut process.locals[part] {
                    Local::Up(replica) => {
                        replica.config = config;
                        self.replica_step(node, part, ReplicaInput::Configure(config));
                    }
                    Local::Rebuilding { config: kept, .. } => *kept = config,
                    Local::None => {}
                }
            }
            Effect::Mark { index, .. } => inputs.push(Input::Told { index }),
            Effect::Gather => inputs.push(Input::Gathered),
            Effect::RecordOpened(ids) => self.record_opened(node, &ids),
            Effect::Renew { from, id, leader_epoch } => {
                let partitions = vec![(id, leader_epoch)];
                self.ask(node, About::Other, Ask::RenewEpochs { from, partitions });
            }
            Effect::Stray { found, at } => self.stray(node, &found, at.is_some()),
            Effect::Claimed => {
                if let Some(process) = self.process(node) {
                    process.recovered.clear();
                }
            }
            Effect::Leave { id, .. } | Effect::Drop { id, .. } if self.is_mended(node, id) => {}
            Effect::Leave { id, .. } | Effect::Drop { id, .. } => {
                self.broken("I16", || {
                    format!("n{} lets go of {id}, and nothing was committed about it", node + 1)
                });
            }
            Effect::Offline { life, why, .. } => self.offline(node, life, &why),
            Effect::Damaged { life, epoch } => self.note_damage(node, life.id, epoch),
            Effect::Mended { id, .. } => self.mend(node, id),
            Effect::Unclean { .. } => {}
            Effect::Ready { .. } => self.node_ready(node),
            Effect::Serve(_) | Effect::Withdraw(_) | Effect::Served(_) => {}
        }
    }

    /// A replica that recovery found is marked, because no image lists it here (I16).
    fn stray(&mut self, node: NodeIx, found: &Found, kept: bool) {
        let listed = self.part(found.id).and_then(|part| self.committed(part));
        let id = self.nodes[node].id;
        if listed.is_some_and(|p| p.replicas.contains(&id)) {
            self.broken("I16", || {
                format!("n{} marks {} as stray, and it is a replica there", node + 1, found.id)
            });
        }
        if !kept && found.stray.is_none() {
            self.broken("I16", || {
                format!("n{} drops {}, which was never marked as stray", node + 1, found.id)
            });
        }
        let at = self.clock(node).wall;
        let entry = if kept { Entry::Stray { at } } else { Entry::Drop };
        let (replica, seq) = (found.replica, found.seq.next());
        let durability = callboard_core::storage::Durability::Fsync;
        let header = EntryHeader { replica, seq, entry, durability, length: 0 };
        if let Err(why) = self.nodes[node].disk.submit(header, None) {
            self.broken("journal", || format!("n{}: {why}", node + 1));
        }
        self.kick_writer(node);
    }

    /// A replica's log is gone. That may be where a disk was lost.
    fn offline(&mut self, node: NodeIx, life: Life, why: &str) {
        let Some(part) = self.part(life.id) else { return };
        if !self.truths[part].losers.contains(&node) {
            self.broken("I16", || format!("n{} has {} offline: {why}", node + 1, life.id));
        }
    }

    /// A replica says that it is open, or never will be.
    pub fn replica_told(&mut self, node: NodeIx, life: Life, open: bool) {
        self.node_step(node, if open { Input::Ready(life) } else { Input::Broken(life) });
    }

    /// A machine's deadline has come.
    pub fn tick(&mut self, node: NodeIx, who: Who) {
        match who {
            Who::Replica(part) => {
                let now = self.now;
                let Some(replica) = self.replica(node, part) else { return };
                // A timer that was planned before an earlier one is there twice.
                if replica.armed > now {
                    return;
                }
                replica.armed = 0;
                self.replica_step(node, part, ReplicaInput::Tick);
            }
            Who::Node => {
                let Some(process) = self.process(node) else { return };
                process.armed[0] = 0;
                self.node_step(node, Input::Tick);
            }
            Who::Controller | Who::Sessions | Who::Proposer => self.tick_control(node, who),
        }
    }

    /// The node has a new image.
    pub fn image(&mut self, node: NodeIx, image: Arc<Image>) {
        let Some(process) = self.process(node) else { return };
        process.image = Arc::clone(&image);
        let cursor = process.cursor;
        if self.rng.percent(20) {
            self.nodes[node].snapshot = (Arc::clone(&image), cursor);
        }
        self.node_step(node, Input::Image(image));
        self.forgive(node);
    }

    /// Whether a replica follows or leads, for a trace.
    #[must_use]
    pub fn says(&self, role: &AssignedRole) -> &'static str {
        match role {
            AssignedRole::Idle => "idle",
            AssignedRole::Leader(_) => "leads",
            AssignedRole::Follower { .. } => "follows",
        }
    }
}
