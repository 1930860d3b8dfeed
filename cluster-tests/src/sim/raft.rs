//! The metadata log in time: elections, proposals, commits, and what each node has applied.
//!
//! An entry is committed while its leader reaches a majority, and a node applies what is committed while it reaches the
//! leader. So a node that is cut off falls behind, and one that stands still while its heartbeats flow falls behind
//! unseen. A leader that lost its majority is replaced after some seconds; it hears of that only in the log.

use std::sync::Arc;

use callboard_core::BrokerId;
use callboard_core::metadata::{Committed, Leadership, MetadataRecord, ProposalId, ProposeResult};
use callboard_core::mutant::{Mutant, planted};

use crate::sim::event::{AtNode, Event};
use crate::sim::faults::{Fate, NodeIx};
use crate::sim::metalog::{Entry, event};
use crate::sim::options::{MS, SECOND, Time};
use crate::sim::world::World;

impl World {
    /// The node that leads the metadata log, if it runs in the life in which it was elected.
    #[must_use]
    pub fn controller(&self) -> Option<NodeIx> {
        self.node_of(self.meta.leadership()?.node)
    }

    /// A node begins to lead the metadata log. Of what is not committed, a random prefix stays.
    pub fn elect(&mut self, node: NodeIx) {
        self.figures.elections += 1;
        let open = (self.meta.len() - self.meta.committed()) as u64;
        let keep = self.rng.below(open + 1) as usize;
        let kept = self.meta.committed() + keep;
        let leadership = self.meta.elect(self.nodes[node].id, keep);
        self.elected(node, kept);
        self.note(leadership.term);
        if self.image.cluster_id.is_none() {
            self.found(leadership);
        }
        if planted(Mutant::LeadershipOvertakesCommits) {
            let delay = self.draw(self.options.delay);
            self.at(node, delay, AtNode::LeadsTooEarly(leadership));
        }
        self.plan_commit();
    }

    /// The leader of the metadata log is gone, or will be missed.
    pub fn miss_controller(&mut self, after: Time) {
        if !std::mem::replace(&mut self.campaign, true) {
            let wait = after + self.rng.within(300 * MS, 3 * SECOND);
            self.after(wait, Event::Campaign);
        }
    }

    /// Nodes look for a leader: any that reaches a majority may win.
    pub fn run_campaign(&mut self) {
        self.campaign = false;
        if self.controller().is_some_and(|node| self.has_majority(node)) {
            return;
        }
        let able: Vec<NodeIx> = (0..self.nodes.len()).filter(|node| self.is_electable(*node)).collect();
        match able.get(self.rng.below(able.len() as u64) as usize) {
            Some(node) => self.elect(*node),
            None => {
                self.meta.depose();
                self.miss_controller(0);
            }
        }
    }

    /// A batch comes to the metadata log, by the hand of the node that leads or led it.
    pub fn propose(
        &mut self,
        node: NodeIx,
        life: u64,
        leadership: Leadership,
        id: ProposalId,
        records: Vec<MetadataRecord>,
    ) {
        if self.nodes[node].life != life || self.nodes[node].process.is_none() {
            return;
        }
        let fate = self.fates.filter(|(_, until)| *until > self.now).map(|(fate, _)| fate);
        let soon = self.draw(self.options.commit);
        let late = self.rng.within(SECOND, 5 * SECOND);
        let answer = |world: &mut World, after: Time, result| {
            world.at(node, after, AtNode::Proposed(id, result));
        };
        let leads = self.meta.leadership() == Some(leadership);
        if let Some(fate @ (Fate::NotLeader | Fate::UnknownLost)) =
            fate.filter(|_| leads && self.rng.percent(60))
        {
            self.meta.depose();
            self.miss_controller(0);
            return match fate {
                Fate::NotLeader => answer(self, soon, ProposeResult::NotLeader),
                _ => answer(self, late, ProposeResult::Unknown("lost".into())),
            };
        }
        let skipped = |fate: &Fate| matches!(fate, Fate::Refused | Fate::UnknownSkipped);
        if let Some(fate) = fate.filter(skipped).filter(|_| leads && self.rng.percent(40)) {
            self.skipped = Some(leadership);
            return match fate {
                Fate::Refused => answer(self, soon, ProposeResult::Refused("full".into())),
                _ => answer(self, late, ProposeResult::Unknown("skipped".into())),
            };
        }
        match self.meta.append(leadership, id, records) {
            None => answer(self, soon, ProposeResult::NotLeader),
            Some(place) => {
                let index = place as u64 + 1;
                match fate {
                    Some(Fate::UnknownCommitted) => {
                        answer(self, soon, ProposeResult::Unknown("no answer".into()))
                    }
                    Some(Fate::Late) => answer(self, soon + late, ProposeResult::Committed(index)),
                    _ => {}
                }
                self.plan_commit();
            }
        }
    }

    /// The next entry will be committed.
    pub fn plan_commit(&mut self) {
        if self.meta.committed() < self.meta.len() && !std::mem::replace(&mut self.committing, true) {
            let delay = self.draw(self.options.commit);
            self.after(delay, Event::Commit);
        }
    }

    /// A majority may have taken the next entry.
    pub fn commit_next(&mut self) {
        self.committing = false;
        let leader = self.controller().filter(|node| self.has_majority(*node));
        let Some(leader) = leader else {
            self.committing = true;
            self.miss_controller(0);
            return self.after(100 * MS, Event::Commit);
        };
        if let Some(place) = self.meta.commit() {
            self.held_by_majority(leader, place);
            self.committed_entry(place);
            for node in 0..self.nodes.len() {
                self.plan_apply(node);
            }
        }
        self.plan_commit();
    }

    fn committed_entry(&mut self, place: usize) {
        let Some(Entry::Batch { records, .. }) = self.meta.entry(place) else { return };
        let records = Arc::clone(records);
        let before = Arc::clone(&self.image);
        Arc::make_mut(&mut self.image).apply_batch(place as u64 + 1, &records);
        self.note(place as u64);
        self.check_records(&before, place as u64 + 1, &records);
    }

    /// A node will apply what is committed.
    pub fn plan_apply(&mut self, node: NodeIx) {
        let delay = self.draw(self.options.apply);
        self.at(node, delay, AtNode::Apply);
    }

    /// A node applies everything that is committed and has come to it.
    pub fn apply(&mut self, node: NodeIx) {
        let stopped = self.nodes[node].stopped;
        let (life, now) = (self.nodes[node].life, self.now);
        let behind =
            |process: &crate::sim::world::Process, world: &World| process.cursor < world.meta.committed();
        let Some(process) = &self.nodes[node].process else { return };
        if !behind(process, self) {
            self.may_vote(node);
            return self.hear_leader(node, self.meta.committed());
        }
        let reaches = self.controller().is_some_and(|leader| leader == node || self.can_talk(leader, node));
        if stopped > now || !reaches {
            let Some(process) = self.process(node) else { return };
            if !std::mem::replace(&mut process.applying, true) {
                let again = stopped.max(now + 200 * MS);
                self.queue.push(again, Event::At(node, life, AtNode::ApplyAgain));
            }
            return;
        }
        let until = self.meta.committed();
        self.holds(node, until);
        if self.skip_ahead(node, until) {
            return self.hear_leader(node, until);
        }
        // Now and then only a part has come.
        let some = self.rng.percent(20);
        while let Some(process) = self.process(node) {
            let place = process.cursor;
            if place >= until {
                break;
            }
            process.cursor += 1;
            if let Some(event) = self.stream_event(node, place) {
                self.hear_log(node, event);
            }
            if some && self.rng.percent(50) {
                return self.plan_apply(node);
            }
        }
        self.may_vote(node);
        self.hear_leader(node, until);
    }

    /// A node that is far behind may get everything at once, as a snapshot. The batches between are never seen there.
    fn skip_ahead(&mut self, node: NodeIx, until: usize) -> bool {
        let leads = self.controller() == Some(node);
        let percent = self.options.snapshots;
        let far = self.nodes[node].process.as_ref().is_some_and(|process| process.cursor + 2 < until);
        if leads || !far || percent == 0 || !self.rng.percent(percent) {
            return false;
        }
        let image = Arc::clone(&self.image);
        let Some(process) = self.process(node) else { return false };
        process.cursor = until;
        let index = image.applied;
        self.hear_log(node, Committed::Snapshot { image, index });
        true
    }

    /// A process that began behind the last leadership in the log, or that got a snapshot, hears who leads.
    fn hear_leader(&mut self, node: NodeIx, until: usize) {
        let (id, began) = (self.nodes[node].id, self.nodes[node].began);
        let Some(known) = self.nodes[node].process.as_ref().map(|process| process.leadership) else { return };
        let last = self.meta.led_before(until).filter(|last| last.node != id || last.term > began);
        let last = last.filter(|last| known.is_none_or(|known| known.term < last.term));
        if let Some(leadership) = last {
            self.hear_log(node, Committed::Lead(leadership));
        }
    }

    /// The event in a node's stream at this place of the log. A leadership that a former process of the node held, or
    /// that is over, is no news.
    fn stream_event(&mut self, node: NodeIx, place: usize) -> Option<Committed> {
        let id = self.nodes[node].id;
        let began = self.nodes[node].began;
        let entry = self.meta.entry(place)?;
        if let Entry::Lead(leadership) = entry {
            let early = self.nodes[node].process.as_ref()?.told_early == Some(*leadership);
            if early || (leadership.node == id && leadership.term <= began) {
                return None;
            }
        }
        Some(event(entry, place))
    }

    /// A mutant's leader hears of its leadership before it has applied what was committed (N1).
    pub fn leads_too_early(&mut self, node: NodeIx, leadership: Leadership) {
        if let Some(process) = self.process(node) {
            process.told_early = Some(leadership);
            self.hear_log(node, Committed::Lead(leadership));
        }
    }

    /// The broker id of the node that leads the metadata log.
    #[must_use]
    pub fn controller_id(&self) -> Option<BrokerId> {
        self.meta.leadership().map(|leadership| leadership.node)
    }
}
