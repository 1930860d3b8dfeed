//! The controller's machine: it decides metadata on the node that leads the metadata log.
//!
//! ```text
//!   ask, judgement ─> decided on the image and what is on its way ─> Propose(records) ─> committed ─> image ─> Answer
//! ```
//!
//! The image comes only from the stream: its snapshots and its committed batches. A change is answered when its
//! records are in the image, never before.
//!
//! A proposal counts against later asks until the stream shows its end. So two creations of one name in the same
//! moment do not both pass (R43).
//!
//! The machine decides nothing before the stream has named a leader. On an empty image, the registration of a node
//! would found the cluster anew. Registrations of a cluster's nodes wait for the judge of sessions too: a new controller
//! does not know yet which of the old lives go on (R45). The files beside this one hold the decisions themselves.

use super::basis::{Basis, Standing, TopicDefaults};
use super::decide::{Decision, as_of};
use super::messages::{Ask, Effect, Input, Refusal, Reply, refuse};
use super::pending::{Pending, Proposals};
use super::room::{Load, Queue};
use crate::error::ErrorCode;
use crate::ids::{BrokerId, Peer, Ticket};
use crate::machine::{Effects, Machine};
use crate::metadata::image::Image;
use crate::metadata::log::{Committed, Leadership, ProposalId, ProposeResult};
use crate::metadata::record::MetadataRecord;
use crate::metadata::verdict::Judgement;
use crate::mutant::{Mutant, planted};
use crate::time::{Millis, Now};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Milliseconds until partitions are looked at again, after a batch that the log refused, that did not fit, or whose end
/// is unknown.
const MEND_AGAIN_MS: u64 = 500;

/// Why an answer is unknown though its batch is committed.
const NOT_AS_DECIDED: &str = "the metadata were not as the decision had found them, and not all of it counts";

/// The answer to an ask that the controller never proposed (R44).
fn not_now(why: &str) -> Reply {
    Reply::Failed(Refusal { code: ErrorCode::NotController, message: why.to_owned() })
}

fn overtaken() -> Refusal {
    let message = "a newer proposal of this node was here before".to_owned();
    Refusal { code: ErrorCode::InvalidRequest, message }
}

/// The controller: the image, its leadership and its pending proposals.
#[derive(Debug)]
pub struct ControllerMachine {
    image: Arc<Image>,
    defaults: TopicDefaults,
    leadership: Option<Leadership>,
    /// Whether the stream has ever named a leader.
    leader_known: bool,
    pending: Proposals,
    standing: Standing,
    /// Whether the judge of sessions has spoken in this leadership.
    judged: bool,
    /// The number of the newest ISR proposal of each life of a node (R40).
    numbers: BTreeMap<Peer, u64>,
    /// Asks from before the stream named a leader.
    early: Queue,
    /// Registrations that wait for the judge.
    waiting: Queue,
    mend_at: Option<Millis>,
}

impl ControllerMachine {
    /// A controller without an image. `first` is the id of its first proposal, and names its node.
    #[must_use]
    pub fn new(first: ProposalId, defaults: TopicDefaults) -> ControllerMachine {
        ControllerMachine {
            image: Arc::default(),
            defaults,
            leadership: None,
            leader_known: false,
            pending: Proposals::new(first),
            standing: Standing::default(),
            judged: false,
            numbers: BTreeMap::new(),
            early: Queue::default(),
            waiting: Queue::default(),
            mend_at: None,
        }
    }

    fn heard(&mut self, now: Now, event: Committed, out: &mut Effects<Effect>) {
        match event {
            Committed::Snapshot { image, .. } => {
                // A log that skips ahead does not lead, and the snapshot may hold the pending batches.
                self.end_all("the metadata log skipped ahead", out);
                self.leadership = None;
                for (ticket, ask) in self.waiting.take() {
                    self.ask(ticket, ask, out);
                }
                self.image = image;
                self.pending.rebase();
                out.push(Effect::Publish(Arc::clone(&self.image)));
            }
            Committed::Lead(leadership) => {
                if self.leadership != Some(leadership) {
                    self.end_all("the metadata log has another leader", out);
                }
                self.leadership = Some(leadership);
                self.leader_known = true;
                let again = self.early.take().into_iter().chain(self.waiting.take());
                for (ticket, ask) in again.collect::<Vec<_>>() {
                    self.ask(ticket, ask, out);
                }
            }
            Committed::Batch { index, proposal, records } => {
                self.committed(now, index, proposal, &records, out);
            }
        }
    }

    fn committed(
        &mut self,
        now: Now,
        index: u64,
        proposal: Option<ProposalId>,
        records: &[MetadataRecord],
        out: &mut Effects<Effect>,
    ) {
        let dropped = Arc::make_mut(&mut self.image).apply_batch(index, records);
        self.pending.rebase();
        out.push(Effect::Publish(Arc::clone(&self.image)));
        let passed = proposal.map(|id| self.pending.passed_by(id)).unwrap_or_default();
        let done = proposal.and_then(|id| self.pending.take(id));
        let (askers, held) = done.map(|done| (done.askers, done.held)).unwrap_or_default();
        // A registration counts whatever becomes of partitions; any other success may have been among what was dropped.
        let counts =
            dropped.is_empty() || records.iter().any(|r| matches!(r, MetadataRecord::Registered { .. }));
        let told =
            |reply| if counts { as_of(reply, index) } else { Reply::Unknown(NOT_AS_DECIDED.to_owned()) };
        out.extend(askers.into_iter().map(|(ticket, reply)| Effect::Answer(ticket, told(reply))));
        if !dropped.is_empty() {
            out.push(Effect::Dropped(dropped.len()));
            // Never at once: what did not fit may not fit again, and a log may commit fast.
            self.mend_soon(now);
        }
        let lost = !passed.is_empty();
        let again = passed.into_iter().flat_map(|lost| lost.held).chain(held);
        again.for_each(|(ticket, ask)| self.again(ticket, ask, out));
        // A later decision may have left to the lost one what it would have done itself.
        if lost {
            self.mend(now, out);
        }
    }

    /// Ends every proposal: each asker is told that the outcome is unknown (R44). With them ends what was heard of nodes.
    fn end_all(&mut self, why: &str, out: &mut Effects<Effect>) {
        for pending in self.pending.take_all() {
            let held = pending.held.into_iter().map(|(ticket, _)| ticket);
            for ticket in pending.askers.into_iter().map(|(ticket, _)| ticket).chain(held) {
                out.push(Effect::Answer(ticket, Reply::Unknown(why.to_owned())));
            }
        }
        self.standing = Standing::default();
        self.judged = false;
        self.numbers.clear();
        self.mend_at = None;
    }

    /// Takes the log's answer to a proposal. Commits are answered when the stream shows them.
    fn proposed(&mut self, now: Now, id: ProposalId, result: ProposeResult, out: &mut Effects<Effect>) {
        let (code, message) = match result {
            ProposeResult::Committed(_) => return,
            ProposeResult::Unknown(why) => {
                self.mend_soon(now);
                let askers = self.pending.doubt(id, &why).into_iter();
                out.extend(askers.map(|(ticket, _)| Effect::Answer(ticket, Reply::Unknown(why.clone()))));
                return;
            }
            // A decision that came after a lost proposal may rest on it.
            ProposeResult::NotLeader => {
                (ErrorCode::NotController, "this node is not the controller any more".to_owned())
            }
            ProposeResult::Refused(why) => (ErrorCode::UnknownServerError, why),
        };
        self.mend_soon(now);
        let Some(Pending { askers, held, .. }) = self.pending.take(id) else { return };
        let failed = Reply::Failed(Refusal { code, message });
        out.extend(askers.into_iter().map(|(ticket, _)| Effect::Answer(ticket, failed.clone())));
        held.into_iter().for_each(|(ticket, ask)| self.again(ticket, ask, out));
    }

    /// This node's leadership, if it leads.
    fn leads(&self) -> Option<Leadership> {
        self.leadership.filter(|leadership| leadership.node == self.pending.node())
    }

    fn basis<'a>(&'a self, image: &'a Image) -> Basis<'a> {
        Basis { image, defaults: &self.defaults, standing: &self.standing }
    }

    fn decide(&self, image: &Image, ask: &Ask) -> Decision {
        self.basis(image).decide(self.image.applied, ask)
    }

    /// Takes an ask that comes for the first time.
    fn ask(&mut self, ticket: Ticket, ask: Ask, out: &mut Effects<Effect>) {
        let Some(leadership) = self.leads() else {
            return out.push(Effect::Answer(ticket, not_now("this node is not the controller: ask again")));
        };
        if !self.judged && matches!(&ask, Ask::Register { alone: None, .. }) {
            return self.keep(|machine| &mut machine.waiting, ticket, ask, out);
        }
        match self.in_order(leadership, &ask) {
            Ok(()) => self.answer(leadership, ticket, ask, out),
            Err(refusal) => out.push(Effect::Answer(ticket, Reply::Failed(refusal))),
        }
    }

    /// Takes an ask that was held. An ISR proposal is refused if a newer one has overtaken it meanwhile: its leader has
    /// heard of the newer one and counts on this one no more (R40).
    fn again(&mut self, ticket: Ticket, ask: Ask, out: &mut Effects<Effect>) {
        let newest = |from: &Peer| self.numbers.get(from).copied();
        match &ask {
            Ask::AlterIsr { from, number, .. }
                if newest(from).is_some_and(|newest| newest > *number)
                    && !planted(Mutant::LateProposalAccepted) =>
            {
                out.push(Effect::Answer(ticket, Reply::Failed(overtaken())));
            }
            _ => match self.leads() {
                Some(leadership) => self.answer(leadership, ticket, ask, out),
                None => self.ask(ticket, ask, out),
            },
        }
    }

    fn answer(&mut self, leadership: Leadership, ticket: Ticket, ask: Ask, out: &mut Effects<Effect>) {
        let ahead = self.pending.ahead(&self.image);
        let decision = self.decide(&ahead, &ask);
        let same = Arc::ptr_eq(&ahead, &self.image);
        drop(ahead);
        let doubt = self.pending.doubted().filter(|_| !matches!(ask, Ask::ProducerIds)).cloned();
        if !same && (decision.on_commits || doubt.is_some()) {
            let committed = self.decide(&self.image, &ask);
            if let Some(why) = doubt.filter(|_| committed != decision) {
                // The decision would rest on a proposal whose end is unknown; it is never proposed (R44).
                return out.push(Effect::Answer(ticket, not_now(&why)));
            }
            if decision.on_commits && !decision.stands_on(&committed) {
                let Some(load) = self.room_for(ticket, &ask, Load::of(&ask), out) else { return };
                // Without a proposal in the way there is nothing to wait for, and the image alone decides.
                if self.pending.hold(ticket, ask, load).is_some() {
                    self.propose(leadership, committed.records, vec![(ticket, committed.reply)], out);
                }
                return;
            }
        }
        let Decision { records, reply, .. } = decision;
        if !records.is_empty() && self.room_for(ticket, &ask, Load::of_records(&records), out).is_none() {
            return;
        }
        self.propose(leadership, records, vec![(ticket, reply)], out);
    }

    /// The load, if there is room for it; else the asker hears that nothing was proposed.
    fn room_for(&self, ticket: Ticket, ask: &Ask, load: Load, out: &mut Effects<Effect>) -> Option<Load> {
        let kept = self.pending.load().and(self.early.load()).and(self.waiting.load());
        if kept.has_room(ask, load) {
            return Some(load);
        }
        out.push(Effect::Answer(ticket, not_now("the controller has too much on its way: ask again")));
        None
    }

    /// Keeps an ask in one of the queues. A registration takes the place of an older one of the same process.
    fn keep(
        &mut self,
        queue: fn(&mut ControllerMachine) -> &mut Queue,
        ticket: Ticket,
        ask: Ask,
        out: &mut Effects<Effect>,
    ) {
        let older = queue(self).replaced_by(&ask);
        out.extend(older.map(|older| Effect::Answer(older, not_now("this process has asked again"))));
        if let Some(load) = self.room_for(ticket, &ask, Load::of(&ask), out) {
            queue(self).push(ticket, ask, load);
        }
    }

    /// Refuses an ISR proposal that was sent to another leadership, or that a newer one has overtaken (R40).
    fn in_order(&mut self, leadership: Leadership, ask: &Ask) -> Result<(), Refusal> {
        let Ask::AlterIsr { from, number, leadership: sent_to, .. } = ask else { return Ok(()) };
        if planted(Mutant::LateProposalAccepted) {
            return Ok(());
        }
        if *sent_to != leadership {
            let message = format!("the proposal was sent to node {} in term {}", sent_to.node, sent_to.term);
            return refuse(ErrorCode::NotController, message);
        }
        if self.numbers.get(from).is_some_and(|newest| *newest >= *number) {
            return Err(overtaken());
        }
        self.numbers.insert(*from, *number);
        Ok(())
    }

    fn propose(
        &mut self,
        leadership: Leadership,
        records: Vec<MetadataRecord>,
        askers: Vec<(Ticket, Reply)>,
        out: &mut Effects<Effect>,
    ) {
        if records.is_empty() {
            return out.extend(askers.into_iter().map(|(ticket, reply)| Effect::Answer(ticket, reply)));
        }
        let id = self.pending.push(records.clone(), askers);
        out.push(Effect::Propose { leadership, id, records });
    }

    /// Turns a judgement into one batch, together with the registrations that have waited for it (R45).
    fn judge(&mut self, judgement: &Judgement, out: &mut Effects<Effect>) {
        let Some(leadership) = self.leads().filter(|leadership| *leadership == judgement.leadership) else {
            return;
        };
        self.judged = true;
        self.standing.hear(judgement);
        self.standing.prune(&self.image);
        let lives: BTreeSet<Peer> = self.image.brokers.values().map(|broker| broker.peer()).collect();
        self.numbers.retain(|peer, _| lives.contains(peer));
        let ahead = self.pending.ahead(&self.image);
        let basis = self.basis(&ahead);
        let mut records = basis.judged(judgement);
        let mut image = Image::clone(&ahead);
        image.apply_batch(ahead.applied, &records);
        let (mut askers, mut logs, mut later) = (Vec::new(), Vec::new(), Vec::new());
        let mut named: BTreeSet<BrokerId> = BTreeSet::new();
        for (ticket, ask) in self.waiting.take() {
            let basis = self.basis(&image);
            match &ask {
                // Two processes in one batch would get one broker epoch (I13).
                Ask::Register { node, log_epochs, .. }
                    if named.insert(node.broker)
                        && basis.registered(node).is_none()
                        && (Arc::ptr_eq(&ahead, &self.image)
                            || self.decide(&ahead, &ask) == self.decide(&self.image, &ask)) =>
                {
                    match basis.register(node, log_epochs) {
                        Ok(registered) => {
                            image.apply_batch(ahead.applied, &registered);
                            records.extend(registered);
                            logs.push((node.broker, log_epochs.iter().copied().collect()));
                            askers.push((ticket, Reply::Done(self.image.applied)));
                        }
                        Err(refusal) => out.push(Effect::Answer(ticket, Reply::Failed(refusal))),
                    }
                }
                _ => later.push((ticket, ask)),
            }
        }
        let records = self.basis(&ahead).with_consequences(records, &logs);
        drop(ahead);
        self.propose(leadership, records, askers, out);
        later.into_iter().for_each(|(ticket, ask)| self.ask(ticket, ask, out));
    }

    fn mend_soon(&mut self, now: Now) {
        let at = now.mono.plus(MEND_AGAIN_MS);
        self.mend_at = Some(self.mend_at.map_or(at, |planned| planned.min(at)));
    }

    /// Looks at all partitions again, after a change did not count. While some proposal's end is unknown, a record that
    /// changes nothing goes behind it: its commit ends the doubt.
    fn mend(&mut self, now: Now, out: &mut Effects<Effect>) {
        self.mend_at = None;
        let Some(leadership) = self.leads() else { return };
        if self.judged {
            let ahead = self.pending.ahead(&self.image);
            let records = self.basis(&ahead).with_consequences(Vec::new(), &[]);
            drop(ahead);
            self.propose(leadership, records, Vec::new(), out);
        }
        if self.pending.doubted().is_some() {
            self.mend_soon(now);
            let records = vec![MetadataRecord::ProducerIds { next: self.image.next_producer_id }];
            if let Some(id) = self.pending.push_barrier(records.clone()) {
                out.push(Effect::Propose { leadership, id, records });
            }
        }
    }
}

impl Machine for ControllerMachine {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Now, input: Input, out: &mut Effects<Effect>) {
        match input {
            Input::Log(event) => self.heard(now, event, out),
            Input::Ask { ticket, ask } if self.leader_known => self.ask(ticket, ask, out),
            Input::Ask { ticket, ask } => self.keep(|machine| &mut machine.early, ticket, ask, out),
            Input::Proposed(id, result) => self.proposed(now, id, result, out),
            Input::Judged(judgement) => self.judge(&judgement, out),
            Input::Tick => {
                if self.mend_at.is_some_and(|at| at <= now.mono) {
                    self.mend(now, out);
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        self.mend_at
    }

    fn check(&self) {
        for (name, id) in &self.image.by_name {
            assert_eq!(self.image.topics.get(id).map(|t| &t.name), Some(name), "names and topics agree");
        }
        assert_eq!(self.image.by_name.len(), self.image.topics.len());
        assert!(self.pending.ids().all(|id| id.node == self.pending.node()), "each proposal is this node's");
        for p in self.image.topics.values().flat_map(|topic| &topic.partitions) {
            assert!(p.isr.iter().all(|id| p.replicas.contains(id)), "the ISR is among the replicas");
            assert!(p.leader == -1 || p.isr.contains(&p.leader), "the leader is in the ISR");
            assert!(p.elr.iter().all(|id| !p.isr.contains(id)), "no member is in both lists");
        }
    }
}
