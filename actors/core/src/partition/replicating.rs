//! A replica among the others: it answers their Positions, obeys its leader, and cuts its log where the two part.
//!
//! ```text
//!   Position ─┬─ of this leadership ──> Followers        Part · Told ──> Follower ─┬─> Ask: a Position under a new n
//!             ├─ of a later epoch ────> held, a second                             └─> Truncate ──> Rereading
//!             └─ else ────────────────> Refused              Rebuilt ──> the newest role
//! ```
//!
//! These are the steps of [`ReplicaMachine`] that need a second node. Roles, requests and timers stand in `replica.rs`.

use super::follower::Outcome;
use super::followers::Followers;
use super::held::refused;
use super::leader::Leader;
use super::log::LogStart;
use super::messages::{Effect, Event};
use super::replica::{ReplicaMachine, Rereading, State, journal};
use super::replication::{Group, Part, Position, PositionNumber, RefusedFor};
use crate::Reject;
use crate::ids::{BrokerId, LeaderEpoch, Offset, Peer, Ticket};
use crate::machine::Effects;
use crate::metadata::IsrOutcome;
use crate::mutant::{Mutant, planted};
use crate::records::BatchHead;
use crate::storage::Entry;
use crate::time::{Millis, Now};

impl ReplicaMachine {
    /// Answers the Positions that waited for this leader epoch.
    pub(super) fn answer_held(&mut self, now: Now, out: &mut Effects<Effect>) {
        let Some(epoch) = self.epoch() else { return };
        for (from, position) in self.held.up_to(epoch) {
            self.position(now.mono, from, position, out);
        }
    }

    /// Takes a follower's Position. One of a leader epoch that the image does not show yet waits (R36).
    pub(super) fn position(
        &mut self,
        now: Millis,
        from: Peer,
        position: Position,
        out: &mut Effects<Effect>,
    ) {
        let over = matches!(self.state, State::Offline(_) | State::Deleted | State::Left);
        let known = self.epoch().unwrap_or(-1);
        let why = match &mut self.state {
            State::Leader(leader) if position.leader_epoch == leader.epoch() => {
                leader.followers.position(now, from, &position, &self.log, out);
                return self.advance(now, None, out);
            }
            _ if position.leader_epoch > known && !over => return self.held.keep(now, from, position),
            _ if position.leader_epoch < known => RefusedFor::OldEpoch,
            _ => RefusedFor::NotLeading,
        };
        out.push(refused(from, &position, why));
    }

    pub(super) fn next_n(&mut self) -> PositionNumber {
        self.next_n += 1;
        self.next_n
    }

    /// Sends a Position under a new number.
    pub(super) fn ask(&mut self, now: Millis, out: &mut Effects<Effect>) {
        let n = self.next_n();
        if let State::Follower(follower) = &mut self.state {
            follower.ask(now, n, &self.log, out);
        }
    }

    /// Sends a Position that has no answer once more, or a new one after a refusal.
    pub(super) fn ask_again(&mut self, now: Millis, out: &mut Effects<Effect>) {
        let State::Follower(follower) = &mut self.state else { return };
        match follower.unanswered() {
            Some(n) => follower.ask(now, n, &self.log, out),
            None => self.ask(now, out),
        }
    }

    pub(super) fn link(&mut self, now: Millis, broker: BrokerId, up: bool, out: &mut Effects<Effect>) {
        let State::Follower(follower) = &mut self.state else { return };
        if follower.leader() == broker {
            follower.link(up);
            if up {
                self.ask(now, out);
            }
        }
    }

    /// Takes a part. An emptied log is shown before batches fill it, so that no reader finds them under the former log's
    /// id.
    pub(super) fn part(
        &mut self,
        now: Now,
        (from, part): (BrokerId, &Part),
        batches: Vec<(Ticket, BatchHead)>,
        out: &mut Effects<Effect>,
    ) {
        let State::Follower(follower) = &mut self.state else { return };
        let log_id = self.log.log_id();
        let outcome = follower.judge((from, part), &batches, &mut self.log, out);
        if self.log.log_id() != log_id {
            self.publish(out);
        }
        if let (Outcome::Take, State::Follower(follower)) = (outcome, &mut self.state) {
            follower.take(now, part, batches, &mut self.log, out);
        }
        self.obey(now, outcome, out);
    }

    /// Does what a message of the leader asks for.
    pub(super) fn obey(&mut self, now: Now, outcome: Outcome, out: &mut Effects<Effect>) {
        match outcome {
            Outcome::Done | Outcome::Take => {}
            Outcome::Ask => self.ask(now.mono, out),
            Outcome::Truncate(to) => self.truncate(now, to, out),
        }
        self.publish(out);
    }

    /// Cuts the log where it parts from the leader's. Committed records are never cut, except after an unclean election
    /// (I11, R10).
    pub(super) fn truncate(&mut self, now: Now, to: Offset, out: &mut Effects<Effect>) {
        let hw = self.log.high_watermark();
        let unclean = self.assigned.as_ref().and_then(|assigned| assigned.unclean_epoch);
        let allowed = unclean.is_some_and(|unclean| self.log.last_epoch().is_none_or(|last| last < unclean))
            || planted(Mutant::TruncatesToHighWatermark);
        if to < hw {
            let what = format!("its leader's log parts from its own at {to}, below its high watermark {hw}");
            if !allowed {
                out.push(Effect::Alarm(format!("{what}: it stops, because committed records would be cut")));
                self.end_role(State::Offline(what.clone()), &Reject::Storage(what), out);
                return;
            }
            out.push(Effect::Alarm(format!(
                "{what}: they are cut, because the leader was elected uncleanly"
            )));
        }
        out.push(Effect::Note(Event::Truncated));
        out.push(journal(self.log.truncate(to), Entry::Truncate { to }));
        out.push(Effect::Rebuild);
        self.rereads = true;
        self.end_role(
            State::Rereading(Rereading { since: now.mono, told: false }),
            &Reject::Unavailable,
            out,
        );
    }

    /// The store has read the log again: the newest role begins (R38).
    pub(super) fn reread(&mut self, now: Now, start: LogStart, out: &mut Effects<Effect>) {
        self.rereads = false;
        if let State::Rereading(Rereading { told, .. }) = &self.state {
            out.extend(told.then_some(Effect::Unable(false)));
            self.log.reread(start);
            self.state = State::Idle;
            self.take_role(now, false, out);
            self.answer_held(now, out);
        } else if planted(Mutant::RoleDuringRebuild) {
            self.log.reread(start);
        }
    }

    /// Takes the controller's word on a proposed ISR. A leadership that is over ends here, until a newer epoch comes.
    pub(super) fn isr_said(
        &mut self,
        now: Millis,
        partition_epoch: i32,
        outcome: &IsrOutcome,
        out: &mut Effects<Effect>,
    ) {
        let State::Leader(leader) = &mut self.state else { return };
        if leader.followers.said(now, partition_epoch, outcome) {
            return self.advance(now, None, out);
        }
        self.spent = Some(leader.epoch());
        self.end_role(State::Idle, &Reject::Unavailable, out);
        self.publish(out);
    }

    /// Begins a leadership of this epoch. Nothing of a former one goes on in it (R31).
    pub(super) fn lead(&mut self, now: Now, epoch: LeaderEpoch, group: Group, out: &mut Effects<Effect>) {
        if planted(Mutant::HighWatermarkAtEnd) {
            self.log.commit(self.log.end());
        }
        let followers = Followers::new(self.me, epoch, group, &self.log, now.mono);
        let mut leader = Leader::new(epoch, followers);
        // Two mutants carry something over; the requests of a former leadership have ended otherwise.
        if let Some(former) = self.former.as_mut() {
            if planted(Mutant::TicketsSurvive) {
                leader.keep_waits(former);
            }
            if planted(Mutant::JoinsByEarlierEpoch) {
                leader.followers.keep(&former.followers);
            }
        }
        self.ask_epoch = None;
        leader.cut_off.set(self.cut_off);
        leader.cut_off.note(now.mono, &self.log);
        leader.advance(&mut self.log);
        self.state = State::Leader(leader);
        self.wish(now.mono, None, out);
    }

    /// Takes the node's word on its contact with the controller. A leader answers what it may, and ends what it cannot
    /// commit.
    pub(super) fn contact(&mut self, now: Millis, cut_off: bool, out: &mut Effects<Effect>) {
        self.cut_off = cut_off;
        if let State::Leader(leader) = &mut self.state {
            leader.cut_off.set(cut_off);
            self.advance(now, None, out);
        }
    }

    /// Proposes another in-sync set, if the leader wants one.
    pub(super) fn wish(&mut self, now: Millis, late: Option<u64>, out: &mut Effects<Effect>) {
        let State::Leader(leader) = &mut self.state else { return };
        let before = leader.followers.isr().committed();
        if let Some(isr) = leader.followers.wish(now, &self.log, late) {
            let (leader_epoch, partition_epoch) =
                (leader.epoch(), leader.followers.isr().group().partition_epoch);
            let shrinks = isr.len() < before;
            out.push(Effect::Note(if shrinks { Event::IsrShrinks } else { Event::IsrGrows }));
            out.push(Effect::ProposeIsr { leader_epoch, partition_epoch, isr });
        }
    }
}
