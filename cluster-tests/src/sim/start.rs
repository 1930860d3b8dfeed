//! A node starts: from its directory to a process that registers, step by durable step.
//!
//! A fault may end a start between two of the steps (`stored.rs`). An operator's work comes first, because the node is
//! down then: an emptied directory, or an old copy that is put back.

use std::sync::Arc;

use callboard_core::node::Found;
use callboard_core::storage::Restart;
use callboard_core::{ReplicaId, Seq};

use crate::sim::disk::Recovered;
use crate::sim::event::{AtNode, Event};
use crate::sim::faults::NodeIx;
use crate::sim::machines::Machines;
use crate::sim::options::{MS, SECOND};
use crate::sim::step::Step;
use crate::sim::stored::{Stored, process_id};
use crate::sim::world::{Process, World};

impl World {
    /// A process starts on a node, unless one runs.
    pub fn restart(&mut self, node: NodeIx) {
        if self.nodes[node].process.is_some() || self.nodes[node].left_dead || !self.prepare(node) {
            return;
        }
        let now = self.now;
        let id = self.rng.any();
        let first_proposal = self.rng.any() >> 2;
        let replay = self.rng.percent(50);
        let began = self.meta.term();
        let here = &mut self.nodes[node];
        here.life += 1;
        here.began = began;
        here.clock.begin(now);
        let Some(recovered) = self.begin_on_disk(node, id) else { return };
        self.count_unclean(node, &recovered);
        let here = &mut self.nodes[node];
        let found: Vec<Found> = recovered.iter().map(|recovered| found(&here.stored, recovered)).collect();
        let place = (here.stored.directory, here.stored.shard);
        let machines = Machines::new(here.id, first_proposal, place, found, &self.options);
        // The metadata log goes on from a snapshot: the one that was stored, or an empty one.
        let (stored, cursor) = if replay { Default::default() } else { here.snapshot.clone() };
        here.process = Some(Process {
            id,
            epoch: None,
            machines,
            cursor,
            image: Arc::clone(&stored),
            locals: Default::default(),
            recovered: recovered.into_iter().map(|found| (found.replica, found)).collect(),
            links: Default::default(),
            subs: Default::default(),
            connections: 0,
            positions: 0,
            notice_last: 0,
            syncing: false,
            applying: false,
            background: false,
            asked: Vec::new(),
            armed: [0; 4],
            tickets: Default::default(),
            heartbeats: 0,
            leadership: None,
            proposal_last: 0,
            sync_since: 0,
            told_early: None,
            unable: Default::default(),
            damaged: Default::default(),
            mended: Default::default(),
            stopped: false,
            ending: false,
        });
        self.process_begins(node, stored, cursor);
        let settle = self.rng.within(SECOND, 8 * SECOND);
        self.at(node, settle, AtNode::Settle);
        self.plan_apply(node);
    }

    /// The durable steps of a start. None: it ended between two of them.
    fn begin_on_disk(&mut self, node: NodeIx, id: u64) -> Option<Vec<Recovered>> {
        let boot = self.nodes[node].boot;
        let stored = &mut self.nodes[node].stored;
        let restart: Restart = stored.begin(boot);
        if self.ends_at(node, Step::MarkerTaken) {
            return None;
        }
        let here = &mut self.nodes[node];
        // Inspection changes nothing, so a start that ends before the log is durable leaves it as it was.
        let mut inspected = here.disk.clone();
        here.stored.judge(restart, &inspected.recover());
        if self.ends_at(node, Step::VerdictsStored) {
            return None;
        }
        let recovered = self.nodes[node].disk.recover();
        if self.ends_at(node, Step::LogDurable) {
            return None;
        }
        let stored = &mut self.nodes[node].stored;
        (stored.boot, stored.sync_failed) = (boot, false);
        if self.ends_at(node, Step::BootStored) {
            return None;
        }
        self.nodes[node].stored.identity.start(process_id(id));
        (!self.ends_at(node, Step::ProcessStored)).then_some(recovered)
    }

    /// Whether the start ends here. It begins again later.
    fn ends_at(&mut self, node: NodeIx, step: Step) -> bool {
        let Some((_, power)) = self.nodes[node].crash.take_if(|(at, _)| *at == step) else { return false };
        if let Some(keep) = power {
            self.lose_power(node, keep);
        }
        let wait = self.chance.within(200 * MS, 2 * SECOND);
        self.after(wait, Event::Restart(node));
        true
    }

    /// The power of a machine is gone: of what is not synced this many percent are left, and the next boot is another.
    pub fn lose_power(&mut self, node: NodeIx, keep: u64) {
        let here = &mut self.nodes[node];
        // Under `os` the next start has to find the replicas unclean, and nothing is known until then.
        here.lossy |= here.disk.cut(keep) && self.options.power_cuts_os;
        here.boot += 1;
    }
}

/// The word to the node on a replica that recovery found.
fn found(stored: &Stored, recovered: &Recovered) -> Found {
    let fold = &recovered.fold;
    let (replica, seq): (ReplicaId, Seq) = (recovered.replica, fold.outline.seq);
    let (shard, verdict) = (usize::from(stored.shard), stored.verdict(replica));
    Found { id: fold.id, shard, replica, seq, stray: fold.stray, verdict }
}
