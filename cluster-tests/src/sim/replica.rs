//! The shell of a replica's machine: it performs the effects of each step in their order, as `ReplicaActor` does.
//!
//! Bytes and answers stay outside of the machine: the batches of an input lie beside it under tickets, and a `Journal`
//! effect takes its batch out. A part for a replica that is not up is skipped; a Position for it is refused.

use callboard_core::machine::Machine;
use callboard_core::partition::{
    Acks, Answer, Beginning, Effect, Input, LocalLog, RefusedFor, ReplicaMachine, TrimTo,
};
use callboard_core::records::BatchHead;
use callboard_core::storage::{Entry, EntryHeader};
use callboard_core::{BrokerId, Peer, Reject, Ticket};

use crate::sim::batch::{Batch, above};
use crate::sim::disk::log_start;
use crate::sim::event::{AtNode, Event, Who};
use crate::sim::faults::{NodeIx, PartIx};
use crate::sim::messages::Want;
use crate::sim::network::{Msg, SentPart};
use crate::sim::options::MS;
use crate::sim::world::{Local, Replica, World};

/// Tickets of batches that came in a part; those of clients are their requests' numbers.
const OF_PARTS: u64 = 1 << 62;
/// Numbers of Positions between two lives of replicas in one process.
const STRIDE: u64 = 1 << 32;

/// The batches beside one input.
type Payloads = Vec<(Ticket, Batch)>;

impl World {
    /// Steps a replica's machine, and performs what follows.
    pub fn replica_step(&mut self, node: NodeIx, part: PartIx, input: Input) {
        self.replica_steps(node, part, input, Vec::new());
    }

    fn replica_steps(&mut self, node: NodeIx, part: PartIx, input: Input, payloads: Payloads) {
        let now = self.clock(node);
        let mut inputs = vec![input];
        let mut at = 0;
        while at < inputs.len() {
            let input = inputs[at].clone();
            at += 1;
            let checked = self.strictness == crate::sim::oracle::Strictness::All;
            let Some(replica) = self.replica(node, part) else { return };
            let mut out = Vec::new();
            replica.machine.step(now, input, &mut out);
            if checked {
                replica.machine.check();
            }
            for effect in out {
                self.perform(node, part, effect, &payloads, &mut inputs);
            }
        }
        self.replica_settled(node, part);
    }

    /// Arms the timer, and compares the machine with its disk.
    fn replica_settled(&mut self, node: NodeIx, part: PartIx) {
        let Some(replica) = self.replica(node, part) else { return };
        let deadline = replica.machine.next_deadline();
        self.arm(node, Who::Replica(part), deadline);
        self.check_log(node, part);
    }

    fn perform(
        &mut self,
        node: NodeIx,
        part: PartIx,
        effect: Effect,
        payloads: &Payloads,
        inputs: &mut Vec<Input>,
    ) {
        match effect {
            Effect::Journal { seq, entry, durability, ticket, .. } => {
                let batch = ticket.and_then(|ticket| payloads.iter().find(|(t, _)| *t == ticket));
                let batch = batch.map(|(_, batch)| *batch);
                self.journal(node, part, (seq, entry, durability), batch);
            }
            Effect::Opened | Effect::Unopened => {
                let open = effect == Effect::Opened;
                let Some(life) = self.replica(node, part).map(|replica| replica.life) else { return };
                self.replica_told(node, life, open);
            }
            Effect::Publish(view) => {
                self.published(node, part, &view);
                let Some(replica) = self.replica(node, part) else { return };
                replica.view = view;
                self.wake_feeds(node, part);
            }
            Effect::Answer { ticket, result } => self.answer(node, part, ticket, result),
            // Nothing is old enough to expire, and the store forgets no producer before its next snapshot.
            Effect::Retain { .. } => inputs.push(Input::Expired { to: None }),
            Effect::Forget(_) | Effect::Note(_) => {}
            Effect::Follow(broker) => inputs.extend(self.follow(node, part, broker)),
            Effect::Unfollow(broker) => self.unfollow(node, part, broker),
            Effect::Position { to, position } => self.send_up(node, to, Msg::Position(part, position)),
            Effect::Ack { to, ack } => self.gather_ack(node, part, to, ack),
            Effect::Reply { to, answer } => self.send_down(node, to, Msg::Told(part, answer)),
            Effect::Feed(cursor) => self.feed(node, part, cursor),
            Effect::Unfeed(broker) => self.unfeed(node, part, broker),
            Effect::ProposeIsr { leader_epoch, partition_epoch, isr } => {
                self.propose_isr(node, part, (leader_epoch, partition_epoch), isr);
            }
            Effect::AskEpoch { leader_epoch } => self.ask_epoch(node, part, leader_epoch),
            Effect::Rebuild => self.rebuild(node, part),
            // Only a replica that has to go says so, and none has.
            Effect::Abandon => self.broken("I16", || format!("n{} p{part} is let go", node + 1)),
            Effect::Unable(unable) => {
                if let Some(process) = self.process(node) {
                    process.unable[part] = unable;
                }
            }
            Effect::Alarm(_) if self.truths[part].unclean_epoch.is_some() => {}
            Effect::Alarm(why) => {
                self.broken("I11", || format!("n{} p{part} raises the alarm: {why}", node + 1))
            }
        }
    }

    fn journal(
        &mut self,
        node: NodeIx,
        part: PartIx,
        (seq, entry, durability): (callboard_core::Seq, Entry, callboard_core::storage::Durability),
        batch: Option<Batch>,
    ) {
        let Some(replica) = self.replica(node, part) else { return };
        let (number, hw, leads) =
            (replica.replica, replica.view.high_watermark, replica.view.role.serves().is_ok());
        let batch = match (batch, entry) {
            (Some(batch), Entry::Append { base, epoch }) => {
                let head = BatchHead { base_offset: base, leader_epoch: epoch, ..batch.head };
                Some(Batch { head, ..batch })
            }
            _ => None,
        };
        if let Entry::Truncate { to } = entry {
            self.figures.truncations += 1;
            if to < hw && self.truths[part].unclean_epoch.is_none() {
                self.broken("I11", || {
                    format!("n{} p{part} truncates to {to}, below its high watermark {hw}", node + 1)
                });
            }
        }
        let length = batch.map_or(0, |batch| batch.head.size);
        let header = EntryHeader { replica: number, seq, entry, durability, length };
        if let Err(why) = self.nodes[node].disk.submit(header, batch) {
            self.broken("journal", || format!("n{} p{part}: {why}", node + 1));
        }
        if let Some(batch) = batch.filter(|_| !leads) {
            self.figures.taken_bytes += u64::from(batch.head.size);
        }
        if matches!(entry, Entry::Truncate { .. } | Entry::Reset { .. }) {
            self.check_members(part, Some(node));
        }
        self.kick_writer(node);
    }

    /// Gives an answer to the client that waits for it.
    pub fn answer(&mut self, node: NodeIx, part: PartIx, ticket: Ticket, result: crate::sim::messages::Said) {
        let number = ticket.0 as u32;
        self.note(u64::from(number) * 3 + u64::from(result.is_ok()));
        self.check_answer(node, part, number, &result);
        let delay = self.draw(self.options.delay);
        self.after(delay, Event::Answered(number, result));
    }

    /// A client's request has come to this node.
    pub fn request(&mut self, node: NodeIx, number: u32) {
        self.clients.requests[number as usize].arrived = true;
        let request = self.clients.requests[number as usize];
        let (part, ticket) = (request.part, Ticket(u64::from(number)));
        let deadline = self.clock(node).mono.plus(2_500);
        let Some(replica) = self.replica(node, part) else {
            return self.answer(node, part, ticket, Err(Reject::NotLeader));
        };
        match request.want {
            Want::Produce { batch, .. } => {
                let (head, acks) = (batch.head, Acks::All);
                let input = Input::Append { leader_epoch: None, ticket, head, acks, deadline };
                self.replica_steps(node, part, input, vec![(ticket, batch)]);
            }
            Want::Delete { percent } => {
                let (start, hw) = (replica.view.log_start, replica.view.high_watermark);
                let mut to = start + (hw - start) * percent as i64 / 100;
                if !self.options.delete_inside {
                    let log = self.content(node, part);
                    to = log.get(above(log, to)).map_or(to, |batch| batch.base().max(start));
                }
                self.truths[part].trim_asked = self.truths[part].trim_asked.max(to);
                let input = Input::Trim { ticket, to: TrimTo::Offset(to), own: false, deadline };
                self.replica_step(node, part, input);
            }
        }
    }

    /// A frame has come from a leader's node.
    pub fn frame(&mut self, node: NodeIx, from: BrokerId, parts: Vec<SentPart>) {
        for SentPart { part, head, batches } in parts {
            let ticket = |at: usize| Ticket(OF_PARTS + at as u64);
            let heads = batches.iter().enumerate().map(|(at, batch)| (ticket(at), batch.head)).collect();
            let payloads = batches.iter().enumerate().map(|(at, batch)| (ticket(at), *batch)).collect();
            self.replica_steps(node, part, Input::Part { from, part: head, batches: heads }, payloads);
        }
    }

    /// A follower's Position has come.
    pub fn position(
        &mut self,
        node: NodeIx,
        part: PartIx,
        from: Peer,
        position: callboard_core::partition::Position,
    ) {
        if self.replica(node, part).is_some() {
            return self.replica_step(node, part, Input::Position { from, position });
        }
        let (leader_epoch, n) = (position.leader_epoch, position.n);
        let answer = Answer::Refused { leader_epoch, n, why: RefusedFor::NotLeading };
        self.send_down(node, from, Msg::Told(part, answer));
    }

    /// The actor of a replica fails: its requests end, and its log is read again.
    pub fn actor_fails(&mut self, node: NodeIx, part: PartIx) {
        let Some(process) = self.process(node) else { return };
        if !matches!(process.locals[part], Local::Up(_)) {
            return;
        }
        process.positions += 1;
        let number = process.positions;
        let Local::Up(up) = self.take_down(node, part) else { return };
        let Replica { replica, life, assigned, config, .. } = *up;
        if let Some(process) = self.process(node) {
            process.locals[part] = Local::Rebuilding { life, replica, assigned, config, number };
        }
        self.begin_rebuild(node, part, replica, number);
    }

    /// Reads a replica's log again, for the machine that runs on it.
    fn rebuild(&mut self, node: NodeIx, part: PartIx) {
        let Some(replica) = self.replica(node, part) else { return };
        let (number, replica) = (replica.number, replica.replica);
        self.begin_rebuild(node, part, replica, number);
    }

    fn begin_rebuild(&mut self, node: NodeIx, part: PartIx, replica: callboard_core::ReplicaId, number: u64) {
        if let Err(why) = self.nodes[node].disk.fence(replica) {
            self.broken("journal", || format!("n{} p{part}: {why}", node + 1));
        }
        self.kick_writer(node);
        let delay = self.draw(self.options.reread);
        self.at(node, delay, AtNode::Rebuilt(part, number));
    }

    /// The store may have read a log again.
    pub fn rebuilt(&mut self, node: NodeIx, part: PartIx, number: u64) {
        let Some(process) = &self.nodes[node].process else { return };
        let (replica, failed) = match &process.locals[part] {
            Local::Rebuilding { replica, number: awaited, .. } if *awaited == number => (*replica, true),
            Local::Up(up) if up.number == number => (up.replica, false),
            _ => return,
        };
        let Some(live) = self.nodes[node].disk.live(replica) else { return };
        if !live.is_all_synced() {
            return self.at(node, 5 * MS, AtNode::Rebuilt(part, number));
        }
        let Some(fold) = self.nodes[node].disk.rebuild(replica) else { return };
        let start = log_start(&fold);
        if !failed {
            return self.replica_step(node, part, Input::Rebuilt(Box::new(start)));
        }
        let Some(process) = self.process(node) else { return };
        if let Local::Rebuilding { life, assigned, config, .. } = std::mem::take(&mut process.locals[part]) {
            let log = LocalLog::recovered(start, config.durability);
            self.spawn(node, part, (replica, life), log, assigned, config, true);
        }
    }

    /// Starts a replica's machine, and gives it its role.
    #[allow(clippy::too_many_arguments)]
    pub fn spawn(
        &mut self,
        node: NodeIx,
        part: PartIx,
        (replica, life): (callboard_core::ReplicaId, callboard_core::node::Life),
        log: LocalLog,
        assigned: callboard_core::partition::Assigned,
        config: callboard_core::partition::ReplicaConfig,
        rebuilt: bool,
    ) {
        let id = self.nodes[node].id;
        let Some(process) = self.process(node) else { return };
        process.positions += 1;
        let number = process.positions;
        let beginning = Beginning { first_n: number * STRIDE, rebuilt };
        let machine = ReplicaMachine::new(id, log, config, beginning);
        let view = machine.view();
        let assigned_now = assigned.clone();
        let (offered, heard) = Default::default();
        let up = Replica { machine, replica, life, number, assigned, config, view, armed: 0, offered, heard };
        // The words of a former machine do not hold for this one.
        process.unable[part] = false;
        process.locals[part] = Local::Up(Box::new(up));
        self.replica_step(node, part, Input::Assign(assigned_now));
    }

    /// The content of a replica's log, where it runs or not.
    #[must_use]
    pub fn content(&self, node: NodeIx, part: PartIx) -> &[Batch] {
        let id = self.parts[part].id;
        let found = self.nodes[node].disk.replicas().filter(|(_, live)| live.id == id).last();
        found.map_or(&[], |(_, live)| live.content())
    }
}
