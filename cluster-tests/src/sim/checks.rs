//! The invariants, looked at where they could break: at each published view, answer, acknowledgement and commit.
//!
//! | where | what |
//! |---|---|
//! | a view | I2 I6 of a leader that begins; I8 I9 where the high watermark rises; I1 I5 I7 below it, in every role |
//! | an entry | I11 at a truncation (`replica.rs`) |
//! | an answer | I1: what is acknowledged is committed, with those bytes; sequences of a producer |
//! | an acknowledgement | it names no byte that its sender's disk does not hold |
//! | a commit of metadata | I3 of ISR and ELR, I6 and I13 of the records, each partition epoch once |
//! | after a step | I4, and a machine and its disk agree on end, start and epochs |
//!
//! Every check reads what lies outside of the machine that is judged: the disks, the truth, and the messages that really
//! came.

use callboard_core::metadata::Partition;
use callboard_core::partition::{Ack, AssignedRole, Cursor, Group, Position, Role, View};
use callboard_core::storage::Durability;
use callboard_core::{Offset, Peer, Reject};

use crate::sim::batch::between;
use crate::sim::clients::FIRST_PRODUCER;
use crate::sim::faults::{NodeIx, PartIx};
use crate::sim::messages::{Said, Want};
use crate::sim::oracle::difference;
use crate::sim::world::{Heard, World};

impl World {
    /// The partition as it is committed.
    #[must_use]
    pub fn committed(&self, part: PartIx) -> Option<&Partition> {
        let id = self.parts[part].id;
        self.image.topics.get(&id.topic)?.partition(id.partition)
    }

    fn is_current(&self, node: NodeIx, part: PartIx, view: &View) -> bool {
        self.committed(part)
            .is_some_and(|p| (p.leader, p.leader_epoch) == (self.nodes[node].id, view.leader_epoch))
    }

    /// A replica shows a new view.
    pub fn published(&mut self, node: NodeIx, part: PartIx, view: &View) {
        let (role, epoch, hw) =
            (view.role == Role::Leader, view.leader_epoch as u64, view.high_watermark as u64);
        self.note(epoch << 40 ^ hw << 20 ^ view.end as u64 ^ u64::from(role) << 60);
        let Some(replica) = self.replica(node, part) else { return };
        let before = &replica.view;
        let begins = role && (before.role != Role::Leader || before.leader_epoch != view.leader_epoch);
        let raised = view.high_watermark > before.high_watermark;
        if begins {
            self.check_begins(node, part, view);
        }
        if role && view.high_watermark > self.truths[part].high_watermark {
            self.check_commit(node, part, view);
        } else if view.high_watermark > self.truths[part].high_watermark && !self.is_of_before(node, part) {
            let truth = self.truths[part].high_watermark;
            self.broken("I7", || {
                format!(
                    "n{} p{part} shows high watermark {}, the true one is {truth}",
                    node + 1,
                    view.high_watermark
                )
            });
        } else if raised {
            self.check_bytes(node, part, view.log_start, view.high_watermark);
        }
        if view.high_watermark > view.end {
            self.broken("I7", || {
                format!(
                    "n{} p{part} shows high watermark {} above its end {}",
                    node + 1,
                    view.high_watermark,
                    view.end
                )
            });
        }
        if view.log_start > self.truths[part].trim_asked {
            let asked = self.truths[part].trim_asked;
            self.broken("I1", || {
                format!(
                    "n{} p{part} starts its log at {}, and nobody deleted above {asked}",
                    node + 1,
                    view.log_start
                )
            });
        }
    }

    /// A replica that has not met the leader of an unclean election yet knows of more than that one has.
    fn is_of_before(&mut self, node: NodeIx, part: PartIx) -> bool {
        let Some(unclean) = self.truths[part].unclean_epoch else { return false };
        let last = |replica: &mut crate::sim::world::Replica| {
            replica.machine.log().epochs().last().map(|(epoch, _)| *epoch)
        };
        self.replica(node, part).and_then(last).is_none_or(|last| last < unclean)
    }

    fn check_begins(&mut self, node: NodeIx, part: PartIx, view: &View) {
        if let Err(why) = self.truths[part].leads(view.leader_epoch, node) {
            self.broken("I6", || format!("p{part}: {why}"));
        }
        let truth = self.truths[part].high_watermark;
        if self.is_current(node, part, view) {
            if view.end < truth {
                self.broken("I2", || {
                    format!(
                        "n{} leads p{part} with {} records, the true high watermark is {truth}",
                        node + 1,
                        view.end
                    )
                });
            }
            self.check_bytes(node, part, view.log_start, truth);
        }
    }

    fn check_bytes(&mut self, node: NodeIx, part: PartIx, from: Offset, until: Offset) {
        if let Err(why) = self.truths[part].compare(self.content(node, part), from, until) {
            self.broken("I1", || {
                format!("n{} p{part} has other bytes below its high watermark: {why}", node + 1)
            });
        }
    }

    /// A leader commits records: who has really acknowledged them?
    fn check_commit(&mut self, node: NodeIx, part: PartIx, view: &View) {
        let (from, until) = (self.truths[part].high_watermark, view.high_watermark);
        let os = self.is_os(node, part);
        let Some(replica) = self.replica(node, part) else { return };
        let heard = replica.heard;
        let group = match &replica.assigned.role {
            AssignedRole::Leader(group) => group.clone(),
            AssignedRole::Idle | AssignedRole::Follower { .. } => return,
        };
        let isr: Vec<Peer> = group.members.iter().filter(|m| m.in_sync).map(|m| m.peer).collect();
        if isr.len() < group.min_isr {
            self.broken("I8", || {
                format!(
                    "n{} p{part} commits {until} with ISR {isr:?} below min.isr {}",
                    node + 1,
                    group.min_isr
                )
            });
        }
        if os {
            self.truths[part].os_until = self.truths[part].os_until.max(until);
        }
        let me = self.nodes[node].id;
        for peer in isr.iter().filter(|peer| peer.broker != me) {
            let Some(member) = self.node_of(peer.broker) else { continue };
            self.check_heard(node, part, (view, until), (peer, &heard[member]), os);
            // A replica that acknowledged, lost it since, and counts for nobody any more says nothing about this leader: the
            // lists have only shrunk to others that acknowledged it too.
            let lives = self.image.brokers.get(&peer.broker).is_some_and(|broker| broker.epoch == peer.epoch);
            let listed = self.committed(part).is_some_and(|p| p.is_eligible(peer.broker));
            let lost = !lives || !listed || self.nodes[member].lossy;
            let gone = lost && self.truths[part].losers.contains(&member);
            if !gone {
                self.check_prefix(node, part, member, (from, until));
            }
        }
        let log = self.content(node, part).to_vec();
        if let Err((rule, why)) = self.truths[part].commit(&log, until) {
            self.broken(rule, || format!("n{} p{part}: {why}", node + 1));
        }
        self.check_members(part, None);
    }

    /// I9: the member said so itself, in this leader epoch and in the life that the image gives it.
    fn check_heard(
        &mut self,
        node: NodeIx,
        part: PartIx,
        (view, until): (&View, Offset),
        (peer, heard): (&Peer, &Heard),
        os: bool,
    ) {
        let end = self.truths[part].durable(os, heard.written, heard.synced);
        let valid = heard.leader_epoch == view.leader_epoch && heard.broker_epoch == peer.epoch;
        if !valid || end < until {
            self.broken("I9", || {
                format!(
                    "n{} p{part} commits {until} in epoch {} and has from {peer}: {heard:?}",
                    node + 1,
                    view.leader_epoch
                )
            });
        }
    }

    /// The end that counts for a member lies within the bytes that both logs share.
    fn check_prefix(&mut self, node: NodeIx, part: PartIx, member: NodeIx, (from, until): (Offset, Offset)) {
        let (ours, theirs) = (self.content(node, part), self.content(member, part));
        let (ours, theirs) = (between(ours, from, until), between(theirs, from, until));
        let equal = ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| a.same(b));
        if !equal {
            let why = difference(ours, theirs);
            self.broken("I3", || {
                format!("n{} p{part} counts n{} up to {until}: {why}", node + 1, member + 1)
            });
        }
    }

    fn is_os(&mut self, node: NodeIx, part: PartIx) -> bool {
        self.replica(node, part).is_some_and(|replica| replica.config.durability == Durability::Os)
    }

    /// I3: every member of the committed ISR and ELR holds all that is committed, durably. `only`: one node.
    pub fn check_members(&mut self, part: PartIx, only: Option<NodeIx>) {
        let truth = self.truths[part].high_watermark;
        let Some(p) = self.committed(part) else { return };
        let members: Vec<NodeIx> =
            p.isr.iter().chain(&p.elr).filter_map(|broker| self.node_of(*broker)).collect();
        let leader = self.node_of(p.leader);
        for member in members.into_iter().filter(|member| only.is_none_or(|only| only == *member)) {
            // A disk that has lost something counts once its process is registered, and the controller has judged it (R19).
            if self.nodes[member].lossy && !self.is_running(member) {
                continue;
            }
            let id = self.parts[part].id;
            let os = leader.is_some_and(|leader| self.is_os(leader, part));
            let live = self.nodes[member].disk.replicas().filter(|(_, live)| live.id == id).last();
            let (written, synced) = live.map_or((0, 0), |(_, live)| (live.written_end(), live.synced_end()));
            let end = self.truths[part].durable(os, written, synced);
            if end < truth {
                self.broken("I3", || {
                    format!(
                        "n{} is in the ISR or ELR of p{part} with {end} durable, {truth} is committed",
                        member + 1
                    )
                });
            }
        }
    }

    /// An acknowledgement leaves a follower: its disk holds what it says.
    pub fn check_ack(&mut self, node: NodeIx, part: PartIx, ack: &Ack) {
        let Some(number) = self.replica(node, part).map(|replica| replica.replica) else { return };
        let Some(live) = self.nodes[node].disk.live(number) else { return };
        let (written, synced) = (live.written_end(), live.synced_end());
        if ack.written > written || ack.synced > synced {
            self.broken("honest", || {
                format!(
                    "n{} p{part} acknowledges {ack:?}; its disk has {written} written and {synced} synced",
                    node + 1
                )
            });
        }
    }

    /// A client is answered.
    pub fn check_answer(&mut self, node: NodeIx, part: PartIx, number: u32, said: &Said) {
        let request = &mut self.clients.requests[number as usize];
        if std::mem::replace(&mut request.answered, true) {
            return self.broken("answered", || format!("request {number} is answered twice"));
        }
        let want = request.want;
        match (want, said) {
            (Want::Produce { batch, .. }, Ok(appended)) => {
                if let Err(why) = self.truths[part].acknowledge(appended.base_offset, batch.value) {
                    self.broken("I1", || format!("n{} p{part}: {why}", node + 1));
                }
            }
            (Want::Produce { producer, sequence, .. }, Err(reject)) => {
                self.check_reject(node, part, (producer, sequence), reject);
            }
            (Want::Delete { .. }, Ok(appended)) => {
                let truth = &mut self.truths[part];
                truth.trim_acked = truth.trim_acked.max(appended.base_offset);
            }
            (Want::Delete { .. }, Err(_)) => {}
        }
    }

    /// The leader that is committed knows every producer of what is acknowledged.
    fn check_reject(
        &mut self,
        node: NodeIx,
        part: PartIx,
        (producer, sequence): (usize, i32),
        reject: &Reject,
    ) {
        let Some(view) = self.replica(node, part).map(|replica| replica.view.clone()) else { return };
        let first =
            self.clients.producers[producer].lanes[part].pending.front().map(|pending| pending.sequence);
        // A leader that began behind deleted records does not know their producers (R39). It takes any batch of such a
        // producer for the first one, as Kafka does, and refuses those before it.
        let id = FIRST_PRODUCER + producer as i64;
        let deleted = self.truths[part].committed_up_to(id, sequence).is_some_and(|at| at < view.log_start);
        let wrong = match reject {
            // An earlier batch of this producer may have been refused, and then this one comes too early.
            Reject::OutOfOrderSequence { .. } => {
                first == Some(sequence) && !deleted && self.is_current(node, part, &view)
            }
            Reject::InvalidProducerEpoch { .. } | Reject::TopicDeleted | Reject::TooLarge { .. } => true,
            _ => false,
        };
        if wrong {
            self.broken("sequence", || {
                format!("producer {producer} sends sequence {sequence} to p{part} at n{}: {reject}", node + 1)
            });
        }
    }

    /// A Position has come to a leader's node; it counts if a feed follows (`accepted`).
    pub fn heard_position(&mut self, node: NodeIx, part: PartIx, from: Peer, position: &Position) {
        let Some(other) = self.node_of(from.broker) else { return };
        let Some(replica) = self.replica(node, part) else { return };
        let said = Heard {
            leader_epoch: position.leader_epoch,
            broker_epoch: from.epoch,
            n: position.n,
            written: position.written.min(position.end),
            synced: position.synced.min(position.end),
        };
        replica.offered[other] = said;
    }

    /// A leader accepts the Position of this number.
    pub fn accepted(&mut self, node: NodeIx, part: PartIx, cursor: &Cursor) {
        let Some(other) = self.node_of(cursor.to.broker) else { return };
        let Some(replica) = self.replica(node, part) else { return };
        let offered = replica.offered[other];
        if (offered.n, offered.broker_epoch) == (cursor.n, cursor.to.epoch) {
            let whole = cursor.at() >= replica.view.log_start;
            let (written, synced) = if whole { (offered.written, offered.synced) } else { (0, 0) };
            replica.heard[other] = Heard { written, synced, ..offered };
        }
    }

    /// An acknowledgement has come to a leader's node.
    pub fn heard_ack(&mut self, node: NodeIx, part: PartIx, from: Peer, ack: &Ack) {
        let Some(other) = self.node_of(from.broker) else { return };
        let Some(replica) = self.replica(node, part) else { return };
        let heard = &mut replica.heard[other];
        let fits = (heard.leader_epoch, heard.broker_epoch, heard.n) == (ack.leader_epoch, from.epoch, ack.n);
        if fits {
            heard.written = heard.written.max(ack.written);
            heard.synced = heard.synced.max(ack.synced);
        }
    }

    /// A machine and its disk agree, and a leader counts with everyone that a later leader could come from (I4).
    pub fn check_log(&mut self, node: NodeIx, part: PartIx) {
        let Some(replica) = self.replica(node, part) else { return };
        let log = replica.machine.log();
        let (end, start, epochs) = (log.end(), log.log_start(), std::sync::Arc::clone(log.epochs()));
        let (number, epoch) = (replica.replica, replica.view.leader_epoch);
        let counts = replica.machine.followers().map(|followers| followers.isr().max_isr());
        let enough = match &replica.assigned.role {
            AssignedRole::Leader(Group { members, min_isr, .. }) => {
                members.iter().filter(|m| m.in_sync).count() >= *min_isr
            }
            AssignedRole::Idle | AssignedRole::Follower { .. } => false,
        };
        if let Some(live) = self.nodes[node].disk.live(number)
            && ((end, start) != (live.end(), live.log_start()) || epochs[..] != *live.epochs())
        {
            let (on_disk, since) = (live.end(), live.epochs().to_vec());
            self.broken("disk", || {
                format!(
                    "n{} p{part} has end {end}, epochs {epochs:?}; its disk {on_disk}, {since:?}",
                    node + 1
                )
            });
        }
        if epochs.iter().any(|(_, since)| *since < start) {
            self.broken("I5", || {
                format!("n{} p{part} starts at {start} and knows epochs of before: {epochs:?}", node + 1)
            });
        }
        let Some(max_isr) = counts.filter(|_| enough) else { return };
        let Some(p) = self.committed(part) else { return };
        let current = (p.leader, p.leader_epoch) == (self.nodes[node].id, epoch);
        let missing = p.isr.iter().chain(&p.elr).find(|broker| !max_isr.contains(broker)).copied();
        if let Some(missing) = missing.filter(|_| current) {
            self.broken("I4", || {
                format!("n{} leads p{part} and does not count n{missing}: {max_isr:?}", node + 1)
            });
        }
    }
}
