//! Asking, granting, founding.
//!
//! ```text
//!   draft stored ──> ask the seed at place 1 ──yes──> ask all others ──all yes──> founding stored ──> initialise
//! ```
//! The seed at place 1 is asked first: whom it granted is the only one that asks the others. Two founders that start
//! together then never hold a part of the seeds each, which no rule without timers could mend.

use super::identity::{Grant, Promises, Seat, Standing};
use super::machine::{After, BootstrapMachine};
use super::messages::{Effect, GrantAnswer};
use super::view::Round;
use super::words::{Refusal, Word};
use crate::ids::{BrokerId, NodeUuid, Ticket};
use crate::machine::Effects;
use crate::mutant::{Mutant, planted};

/// The verdict of a seed on a founder's question.
enum Verdict {
    Store,
    /// It granted the same plan before, and its answer was lost.
    Again,
    No(Refusal),
}

impl BootstrapMachine {
    /// Whose turn it is to ask, if it is another's: the node that grants name, else the smallest uuid.
    pub(super) fn waits_for(&self, round: &Round) -> Option<NodeUuid> {
        let (me, askers) = (self.uuid(), round.askers());
        let promises = self.promises()?;
        let other = promises.grant.as_ref().map(|grant| grant.asker).filter(|asker| *asker != me);
        let turn = if askers.is_empty() { round.smallest() == Some(me) } else { askers.contains(&me) };
        other.or_else(|| askers.first().copied().or(round.smallest()).filter(|_| !turn))
    }

    /// All seeds are virgins, twice, and it is this node's turn.
    pub(super) fn ask(&mut self, round: &Round, out: &mut Effects<Effect>) {
        let Some(promises) = self.promises().filter(|promises| !promises.founding) else { return };
        let plan = self.plan(round.seats());
        if planted(Mutant::GrantlessFounding) {
            return self.found(plan, out);
        }
        let same = |draft: &Grant| draft.seats == plan.seats && draft.seeds == plan.seeds;
        if promises.draft.as_ref().is_some_and(same) {
            return self.ask_on(out);
        }
        let promises = Promises { draft: Some(plan), ..promises.clone() };
        self.store(Standing::Virgin(promises), After::Ask, out);
    }

    /// Asks whoever has not said yes to the draft: first the seed at place 1, then all others.
    pub(super) fn ask_on(&mut self, out: &mut Effects<Effect>) {
        let Some(promises) = self.promises().filter(|promises| !promises.founding).cloned() else { return };
        let (me, grant) = (self.uuid(), promises.grant.as_ref());
        let Some(draft) = promises.draft.as_ref().filter(|_| grant.is_none_or(|g| g.asker == me)) else {
            return;
        };
        if grant == Some(draft) {
            self.yes.extend(draft.seat(me).map(|seat| seat.place));
        }
        let first = self.yes.contains(&1);
        let due = |seat: &&Seat| !self.yes.contains(&seat.place) && (seat.place == 1 || first);
        let due: Vec<&Seat> = draft.seats.iter().filter(due).collect();
        for seat in due {
            if seat.uuid == me {
                let granted = Promises { grant: Some(draft.clone()), ..promises.clone() };
                if self.writing.is_none() {
                    self.store(Standing::Virgin(granted), After::Yes(None), out);
                }
            } else if let Some(seed) = self.settings.seeds.at(seat.place) {
                let (seed, uuid, grant) = (seed.clone(), seat.uuid, draft.clone());
                out.push(Effect::AskGrant { seed, uuid, grant });
            }
        }
        self.complete(out);
    }

    /// Founds if all said yes. A write in flight is looked at again when it is done.
    fn complete(&mut self, out: &mut Effects<Effect>) {
        let draft = self.promises().filter(|promises| !promises.founding).and_then(|p| p.draft.as_ref());
        let Some(draft) = draft.filter(|draft| self.yes.len() == draft.seats.len()) else { return };
        if self.writing.is_none() {
            self.found(draft.clone(), out);
        }
    }

    /// The yes of this place counts; the first place opens the way to the others.
    fn count(&mut self, place: BrokerId, out: &mut Effects<Effect>) {
        if !self.yes.insert(place) {
            return;
        }
        if place == 1 { self.ask_on(out) } else { self.complete(out) }
    }

    /// A seed said yes. It counts for the plan of today only: yes to one list, from all.
    pub(super) fn said_yes(&mut self, from: NodeUuid, round: u64, out: &mut Effects<Effect>) {
        let draft = self.promises().and_then(|promises| promises.draft.as_ref());
        let seat = draft.filter(|draft| draft.round == round).and_then(|draft| draft.seat(from));
        if let Some(place) = seat.map(|seat| seat.place) {
            self.count(place, out);
        }
    }

    pub(super) fn said_no(&self, from: NodeUuid, round: u64, why: Refusal, out: &mut Effects<Effect>) {
        let draft = self.promises().and_then(|promises| promises.draft.as_ref());
        let seat = draft.filter(|draft| draft.round == round).and_then(|draft| draft.seat(from));
        let seed = seat.and_then(|seat| self.settings.seeds.at(seat.place));
        out.extend(seed.cloned().map(|seed| Effect::Say(Word::Refused { seed, why })));
    }

    /// A founder asks. While a write is in flight no answer is the best one, because founders ask again.
    pub(super) fn asked(&mut self, ticket: Ticket, from: NodeUuid, grant: Grant, out: &mut Effects<Effect>) {
        if self.writing.is_some() {
            return;
        }
        let round = grant.round;
        let answer = match self.judge(from, &grant) {
            Verdict::Store => {
                let promises = self.promises().cloned().unwrap_or_default();
                let promises = Promises { grant: Some(grant), ..promises };
                self.store(Standing::Virgin(promises), After::Yes(Some(ticket)), out);
                if !planted(Mutant::GrantedBeforeStored) {
                    return;
                }
                GrantAnswer::Yes
            }
            Verdict::Again => GrantAnswer::Yes,
            Verdict::No(why) => GrantAnswer::No(why),
        };
        out.push(Effect::AnswerGrant { ticket, round, answer });
    }

    fn judge(&self, from: NodeUuid, grant: &Grant) -> Verdict {
        let Some(promises) = self.promises() else {
            return Verdict::No(Refusal::NotVirgin(self.identity.standing.stage()));
        };
        if grant.seeds != self.settings.seeds.hash() || grant.seats.len() != self.settings.seeds.len() {
            return Verdict::No(Refusal::OtherList);
        }
        if from != grant.asker || from == self.uuid() || !self.well_formed(grant) {
            return Verdict::No(Refusal::NotListed);
        }
        match &promises.grant {
            None => Verdict::Store,
            Some(held) if held == grant => Verdict::Again,
            Some(_) if planted(Mutant::LateGrantReplaces) => Verdict::Store,
            Some(held) if held.asker != grant.asker => Verdict::No(Refusal::Granted(held.asker)),
            Some(held) if held.round < grant.round => Verdict::Store,
            Some(held) => Verdict::No(Refusal::OldRound(held.round)),
        }
    }

    /// Places count from 1, each node is there once, this node with its key and the asker among them.
    fn well_formed(&self, grant: &Grant) -> bool {
        let places = grant.seats.iter().zip(1..).all(|(seat, place)| seat.place == place);
        let once = grant.seats.iter().all(|seat| grant.seat(seat.uuid) == Some(seat));
        let mine = grant.seat(self.uuid()).is_some_and(|seat| seat.key_hash == self.settings.key_hash);
        places && once && mine && grant.seat(grant.asker).is_some()
    }

    /// The grant is on disk: the answer leaves, and Raft opens for the nodes of the grant.
    pub(super) fn granted(&mut self, ticket: Option<Ticket>, out: &mut Effects<Effect>) {
        self.run_raft(out);
        let Some(grant) = self.promises().and_then(|promises| promises.grant.as_ref()) else { return };
        let (round, place) = (grant.round, grant.seat(self.uuid()).map(|seat| seat.place));
        match (ticket, place) {
            (Some(ticket), _) => out.push(Effect::AnswerGrant { ticket, round, answer: GrantAnswer::Yes }),
            (None, Some(place)) => self.count(place, out),
            (None, None) => {}
        }
    }

    /// All said yes. From here on this node asks no more, even if it dies before Raft has the list.
    pub(super) fn found(&mut self, plan: Grant, out: &mut Effects<Effect>) {
        let promises = Promises { draft: Some(plan.clone()), grant: Some(plan), founding: true };
        self.store(Standing::Virgin(promises), After::Found, out);
    }

    /// Begins the Raft group, again after each restart until it holds something: the list is the stored one.
    pub(super) fn initialise(&self, out: &mut Effects<Effect>) {
        let plan = self.promises().filter(|p| p.founding).and_then(|p| p.draft.as_ref());
        let Some(plan) = plan else { return };
        if self.settings.seeds.is_empty() || planted(Mutant::GrantlessFounding) {
            self.run_raft(out);
        }
        let voters: Vec<_> = plan.voters().into_iter().cloned().collect();
        let learners = plan.seats.iter().filter(|seat| !voters.contains(seat)).cloned().collect();
        out.push(Effect::InitialiseRaft { cluster: plan.cluster.clone(), voters, learners });
    }
}
