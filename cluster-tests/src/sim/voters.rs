//! The voters of the metadata log: the prefix of it that each one holds on its disk, and who may be elected.
//!
//! An entry is committed once a majority of the voters holds it. A node is elected by a majority of voters that hold no
//! more than it does. So whoever is elected holds all that is committed (I20), while no voter forgets what it held. A node
//! that lost its disk has forgotten. It is another voter from then on, and votes when it has caught up, in the place of
//! the one that is gone.
//!
//! Raft's messages are out. Entries that an election cuts off count as forgotten everywhere, because an older term never
//! wins against the newer one.

use callboard_core::mutant::{Mutant, planted};

use crate::sim::faults::NodeIx;
use crate::sim::voter::Voter;
use crate::sim::world::World;

impl World {
    fn reached(&self, node: NodeIx) -> impl Iterator<Item = NodeIx> + '_ {
        let reaches = move |other: &NodeIx| *other == node || self.can_talk(node, *other);
        (0..self.nodes.len()).filter(|other| self.voters[*other].votes).filter(reaches)
    }

    /// Whether a node reaches a majority of the voters, itself included.
    #[must_use]
    pub fn has_majority(&self, node: NodeIx) -> bool {
        let up = self.voters[node].votes && self.can_talk(node, node);
        up && self.reached(node).count() * 2 > self.nodes.len()
    }

    /// Whether a majority of the voters would elect a node.
    #[must_use]
    pub fn is_electable(&self, node: NodeIx) -> bool {
        let mine = self.voters[node].holds;
        let yes = self.reached(node).filter(|other| self.voters[*other].holds <= mine).count();
        self.has_majority(node) && yes * 2 > self.nodes.len()
    }

    /// A node was elected, and the log ends behind `kept` entries.
    pub fn elected(&mut self, node: NodeIx, kept: usize) {
        let (holds, committed) = (self.voters[node].holds, self.meta.committed());
        if holds < committed {
            self.broken("I20", || {
                format!("n{} leads the metadata log with {holds} of {committed} committed entries", node + 1)
            });
        }
        for voter in &mut self.voters {
            voter.holds = voter.holds.min(kept);
        }
        self.voters[node].holds = self.meta.len();
    }

    /// An entry is committed: a majority holds it, the others perhaps.
    pub fn held_by_majority(&mut self, leader: NodeIx, place: usize) {
        let others: Vec<NodeIx> = self.reached(leader).filter(|other| *other != leader).collect();
        let needed = self.nodes.len() / 2;
        let first = self.chance.below(others.len() as u64) as usize;
        for (number, other) in others.iter().cycle().skip(first).take(others.len()).enumerate() {
            if number < needed || self.chance.percent(70) {
                self.holds(*other, place + 1);
            }
        }
        self.holds(leader, place + 1);
    }

    /// A node holds this many entries, or more.
    pub fn holds(&mut self, node: NodeIx, entries: usize) {
        let voter = &mut self.voters[node];
        voter.holds = voter.holds.max(entries);
    }

    /// A node that has caught up takes the place of the voter that was lost with its disk.
    pub fn may_vote(&mut self, node: NodeIx) {
        let leader = self.controller().filter(|leader| self.has_majority(*leader));
        let reached = leader.is_some_and(|leader| self.can_talk(leader, node));
        if reached && self.voters[node].holds >= self.meta.committed() {
            self.voters[node].votes = true;
        }
    }

    /// A voter's disk is gone.
    pub fn forget_voter(&mut self, node: NodeIx) {
        self.voters[node] = Voter { holds: 0, votes: planted(Mutant::WipedVoterVotes) };
    }
}
