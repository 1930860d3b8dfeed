//! Harm to disks, and what an operator does about it: emptied directories, lost shards, old copies, failed syncs, rot.
//!
//! An emptied directory comes back under the same node id, with another directory id and an empty log. How a new uuid gets
//! an old node id is not built yet (`--replace`), and the controller refuses another uuid. So the uuid stays here, and the
//! list of processes goes on from the one that is registered: the cluster knows that this directory replaces the other.
//!
//! The metadata log of a copy that was made within a life is not set back, because nothing would notice that (R47).

use callboard_core::node::Input;
use callboard_core::storage::{Durability, Entry, EntryHeader};
use callboard_core::{Reject, Ticket, TopicId, TopicPartition};

use crate::sim::disk::Disk;
use crate::sim::event::{AtNode, Event};
use crate::sim::faults::{Fault, Lost, NodeIx, PartIx, SyncFault};
use crate::sim::inject::SEEN;
use crate::sim::options::{MS, SECOND};
use crate::sim::stored::{Copy, Stored};
use crate::sim::world::{Local, World};

impl World {
    /// A fault of a disk happens, or a start or end that has to do with one.
    pub fn harm(&mut self, fault: Fault) {
        match fault {
            Fault::Stop { node, down } => {
                if let Some(process) = self.process(node).filter(|process| !process.stopped) {
                    process.ending = true;
                    self.nodes[node].down = down;
                    let wait = self.chance.within(SECOND, 3 * SECOND);
                    self.at(node, wait, AtNode::Stop);
                }
            }
            Fault::StartCrash { node, step, power, down } => {
                self.kill(node, None, SEEN);
                self.nodes[node].crash = Some((step, power));
                self.after(down, Event::Restart(node));
            }
            Fault::Lose { node, what, down } => {
                if self.may_lose(node) {
                    self.kill(node, None, SEEN);
                    self.nodes[node].lose = Some(what);
                }
                self.after(down, Event::Restart(node));
            }
            Fault::Copy { node } => self.copy(node),
            Fault::PutBack { node, down } => {
                self.nodes[node].put_back = self.nodes[node].copy.is_some();
                self.kill(node, None, SEEN);
                self.after(down, Event::Restart(node));
            }
            Fault::SyncFails { node, how } => self.nodes[node].sync_breaks = Some(how),
            Fault::Rot { node, part } => self.rots(node, part),
            Fault::Orphan { node } => self.orphan(node),
            _ => {}
        }
    }

    /// Whether the cluster survives it if a node loses its disk: a majority of voters is left, and each partition has
    /// something left.
    fn may_lose(&self, node: NodeIx) -> bool {
        let other = |other: &NodeIx| *other != node && self.nodes[*other].lose.is_none();
        let voters = (0..self.nodes.len()).filter(other).filter(|other| self.voters[*other].votes).count();
        let id = self.nodes[node].id;
        let left = |part: PartIx| {
            let Some(p) = self.committed(part) else { return true };
            let losers = &self.truths[part].losers;
            !p.replicas.contains(&id) || losers.iter().filter(|loser| **loser != node).count() < 2
        };
        voters * 2 > self.nodes.len() && (0..self.parts.len()).all(left)
    }

    /// The work of an operator while a node is down. False: the node has to wait.
    pub fn prepare(&mut self, node: NodeIx) -> bool {
        if self.nodes[node].put_back && !self.put_back(node) {
            return false;
        }
        if let Some(what) = self.nodes[node].lose.take() {
            self.lose(node, what);
        }
        true
    }

    /// A replica that no image knows: the next start finds it.
    fn orphan(&mut self, node: NodeIx) {
        if self.nodes[node].process.as_ref().is_none_or(|process| process.stopped) {
            return;
        }
        let mut topic = [0xee; 16];
        topic[8..].copy_from_slice(&self.ask_numbers.to_be_bytes());
        let id = TopicPartition { topic: TopicId(topic), partition: 0 };
        match self.nodes[node].disk.open(id, Durability::Fsync) {
            Ok(_) => self.kick_writer(node),
            Err(why) => self.broken("journal", || why),
        }
    }

    fn lose(&mut self, node: NodeIx, what: Lost) {
        self.all_lost(node);
        let known = self.image.brokers.get(&self.nodes[node].id).map(|b| (b.process, b.incarnation));
        self.nodes[node].directories += 1;
        let here = &mut self.nodes[node];
        here.disk = Disk::default();
        if what == Lost::Shard {
            here.stored.shard += 1;
            here.stored.verdicts.clear();
            return;
        }
        here.stored = Stored::empty(node, here.directories, here.boot);
        if let Some((process, incarnation)) = known {
            here.stored.identity.incarnation = incarnation;
            here.stored.identity.processes.extend(process);
        }
        here.strange = true;
        here.snapshot = Default::default();
        self.forget_voter(node);
    }

    fn all_lost(&mut self, node: NodeIx) {
        self.nodes[node].lossy = true;
        let id = self.nodes[node].id;
        for part in 0..self.parts.len() {
            if self.committed(part).is_some_and(|p| p.replicas.contains(&id)) {
                self.truths[part].losers.insert(node);
            }
        }
    }

    fn copy(&mut self, node: NodeIx) {
        let mut disk = self.nodes[node].disk.clone();
        disk.kill(&mut self.chance);
        self.nodes[node].copy = Some(Copy { disk, stored: self.nodes[node].stored.clone() });
    }

    /// Puts an old copy of the directory back. False: it is too early to say what it is.
    fn put_back(&mut self, node: NodeIx) -> bool {
        let (id, may) = (self.nodes[node].id, self.may_lose(node));
        let (Some(copy), Some(broker)) = (self.nodes[node].copy.clone(), self.image.brokers.get(&id)) else {
            self.nodes[node].put_back = false;
            return true;
        };
        let Stored { identity, directory, shard, .. } = &copy.stored;
        let continues = broker.process.is_none_or(|process| identity.processes.contains(&process));
        if continues && !broker.fenced {
            // Where nobody can fence it, nothing is put back.
            let judged = self.controller().is_some_and(|leader| self.has_majority(leader));
            self.nodes[node].put_back = judged;
            if judged {
                self.after(SECOND, Event::Restart(node));
            }
            return !judged;
        }
        // A copy of the last moments before the node was heard no more looks like its end. Nothing can tell (R46).
        let known = broker.synced.get(directory).and_then(|shards| shards.get(shard)).copied().unwrap_or(0);
        let told = !continues || known > copy.disk.length();
        self.nodes[node].put_back = false;
        if !told || !may {
            return true;
        }
        self.all_lost(node);
        self.figures.copies += 1;
        let here = &mut self.nodes[node];
        (here.disk, here.stored, here.strange) = (copy.disk, copy.stored, true);
        if !continues {
            self.forget_voter(node);
        }
        true
    }

    /// The process can never run as its node: it ends, and an operator empties the directory.
    pub fn over(&mut self, node: NodeIx, why: &str) {
        if !self.nodes[node].strange {
            self.broken("refused", || {
                format!("n{} is refused, and its directory is its own: {why}", node + 1)
            });
        }
        self.kill(node, None, SEEN);
        self.nodes[node].lose = Some(Lost::Directory);
        let wait = self.chance.within(SECOND, 3 * SECOND);
        self.after(wait, Event::Restart(node));
    }

    /// A process ends as planned, or because its shard has stopped.
    pub fn stop(&mut self, node: NodeIx) {
        let down = self.nodes[node].down.max(200 * MS);
        let stopped = self.process(node).is_some_and(|process| process.stopped);
        if !stopped {
            self.settle_now(node);
            let here = &mut self.nodes[node];
            here.disk.flush();
            here.stored.clean = Some(here.stored.epoch);
        }
        self.kill(node, None, SEEN);
        self.after(down, Event::Restart(node));
    }

    /// A sync has failed: the only shard stops for good, and with it the process, soon or later (R22).
    ///
    /// Where the failure did not get on record, the pages stay in the cache: a loss that nothing tells of is no fault that
    /// any rule covers.
    pub fn sync_failed(&mut self, node: NodeIx, how: SyncFault) {
        if how.recorded {
            self.nodes[node].stored.sync_failed = true;
            self.nodes[node].pages_lost = Some(how.keep);
        }
        let Some(process) = self.process(node) else { return };
        (process.stopped, process.syncing) = (true, false);
        if how.ends {
            return self.stop(node);
        }
        for part in 0..self.parts.len() {
            let Some(process) = self.process(node) else { continue };
            let life = match &process.locals[part] {
                Local::Up(up) => up.life,
                Local::Rebuilding { life, .. } => *life,
                Local::None => continue,
            };
            self.truths[part].losers.insert(node);
            self.take_down(node, part);
            self.node_step(node, Input::Damaged { life, why: "a sync failed".to_owned(), mendable: false });
        }
        let wait = self.chance.within(SECOND, 6 * SECOND);
        self.at(node, wait, AtNode::Stop);
    }

    /// A replica's actor is gone, with what waited there.
    pub fn take_down(&mut self, node: NodeIx, part: PartIx) -> Local {
        let life = self.nodes[node].life;
        let Some(process) = self.process(node) else { return Local::None };
        let local = std::mem::take(&mut process.locals[part]);
        process.links.iter_mut().for_each(|link| {
            link.wanted[part] = false;
            link.acks.remove(&part);
        });
        let requests = 0..self.clients.requests.len();
        let lost: Vec<usize> = requests.filter(|at| self.clients.waits_at(*at, (node, life), part)).collect();
        for number in lost {
            self.answer(node, part, Ticket(number as u64), Err(Reject::Unavailable));
        }
        local
    }

    /// Drops the log of a replica, durably with the next sync.
    pub fn set_aside(&mut self, node: NodeIx, replica: callboard_core::ReplicaId) {
        let Some(live) = self.nodes[node].disk.live(replica) else { return };
        let (seq, durability) = (live.last_seq().next(), Durability::Fsync);
        let header = EntryHeader { replica, seq, entry: Entry::Drop, durability, length: 0 };
        if let Err(why) = self.nodes[node].disk.submit(header, None) {
            self.broken("journal", || format!("n{}: {why}", node + 1));
        }
    }
}
