//! The leader's role: it takes batches, moves the high watermark, and answers the requests that wait for it.
//!
//! ```text
//!   batch ──> admitted, judged, numbered ──> Journal(entry) ─ ─ ─> persisted ──> own durable end ──> acks=1
//!      └── ticket, sorted by offset <── high watermark <── the least end over maxISR <──┘<── followers' acks
//! ```
//!
//! The role owns the waiting requests: acks=1 by the leader's own durable end, acks=all by the high watermark,
//! DeleteRecords by the log starts of the live ISR. The role ends with its leader epoch, and every waiting request ends
//! with it. A later leadership may commit other bytes at the same offsets (R31).
//!
//! `followers.rs` keeps what followers have and who is in sync. `cut_off.rs` says what a leader may promise while its node is
//! cut off from the controller.

use super::config::ReplicaConfig;
use super::cut_off::CutOff;
use super::followers::Followers;
use super::log::{Journaled, LocalLog};
use super::messages::{Acks, Appended, Effect, Event, TrimTo};
use super::producers::Judgement;
use super::waits::{Waiting, Waits};
use crate::Reject;
use crate::ids::{LeaderEpoch, Offset, Ticket};
use crate::limits;
use crate::machine::Effects;
use crate::mutant::{Mutant, planted};
use crate::records::BatchHead;
use crate::storage::Entry;
use crate::time::{Millis, Now};
use std::collections::VecDeque;

/// A produce request, before it has an offset.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub ticket: Ticket,
    /// The only epoch that takes the batch, if its sender named one.
    pub leader_epoch: Option<LeaderEpoch>,
    pub acks: Acks,
    pub deadline: Millis,
}

/// A DeleteRecords request that waits until its log start is durable here and at every live member of the ISR.
#[derive(Clone, Copy, Debug)]
struct Trimming {
    ticket: Ticket,
    to: Offset,
    entry: Journaled,
    deadline: Millis,
}

/// The leadership of one replica in one leader epoch.
#[derive(Debug)]
pub struct Leader {
    epoch: LeaderEpoch,
    pub followers: Followers,
    /// Requests with acks=all, by the high watermark.
    waits: Waits,
    /// Requests with acks=1, by the leader's own durable end.
    own: Waits,
    pub cut_off: CutOff,
    trims: VecDeque<Trimming>,
}

impl Leader {
    /// A leadership of this epoch, without waiting requests.
    #[must_use]
    pub fn new(epoch: LeaderEpoch, followers: Followers) -> Leader {
        let (waits, own, cut_off) = (Waits::default(), Waits::default(), CutOff::default());
        Leader { epoch, followers, waits, own, cut_off, trims: VecDeque::new() }
    }

    /// The epoch of this leadership.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Requests that wait for an answer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waits.len() + self.own.len() + self.trims.len()
    }

    /// A mutant's leadership goes on with the requests of the former one.
    pub fn keep_waits(&mut self, former: &mut Leader) {
        self.waits = std::mem::take(&mut former.waits);
    }

    /// Takes a batch: journals it, joins it to a stored one, or refuses it.
    pub fn append(
        &mut self,
        (log, config): (&mut LocalLog, &ReplicaConfig),
        now: Now,
        asked: Asked,
        head: BatchHead,
        out: &mut Effects<Effect>,
    ) {
        let judged = self.admit(log, config, now.mono, &asked, &head).map(|()| log.judge(&head));
        match judged {
            Err(reject) | Ok(Judgement::Refused(reject)) => {
                let cut_off = reject == Reject::CutOff;
                out.push(Effect::Note(if cut_off { Event::CutOff } else { Event::Refused }));
                out.push(Effect::Answer { ticket: asked.ticket, result: Err(reject) });
            }
            Ok(Judgement::Duplicate(stored)) => {
                out.push(Effect::Note(Event::Duplicate));
                // The duplicate shares the stored batch's wait, and is answered no earlier than that batch (I17).
                let appended = appended(log, stored.base_offset, Some(stored.timestamp));
                self.wait(log, asked, stored.last_offset, appended, out);
            }
            Ok(Judgement::Fresh) => {
                let before = log.end();
                self.cut_off.appends(now.mono, log);
                let placed = log.append(now, self.epoch, head, config.log_append_time);
                self.followers.appended(now.mono, before, log);
                out.push(Effect::Journal {
                    seq: placed.entry.seq,
                    entry: Entry::Append { base: placed.base, epoch: self.epoch },
                    durability: placed.entry.durability,
                    ticket: Some(asked.ticket),
                    log_append_time: placed.log_append_time,
                });
                let appended = appended(log, placed.base, placed.log_append_time);
                self.wait(log, asked, placed.last_offset, appended, out);
            }
        }
    }

    fn admit(
        &self,
        log: &LocalLog,
        config: &ReplicaConfig,
        now: Millis,
        asked: &Asked,
        head: &BatchHead,
    ) -> Result<(), Reject> {
        if asked.leader_epoch.is_some_and(|epoch| epoch != self.epoch) {
            return Err(Reject::NotLeader);
        }
        if self.waits.len() + self.own.len() >= limits::TICKETS_PER_PARTITION {
            return Err(Reject::Busy);
        }
        if asked.acks == Acks::All && !self.followers.isr().is_enough() {
            return Err(Reject::NotEnoughReplicas);
        }
        if self.is_stuck(now, log) {
            return Err(Reject::CutOff);
        }
        let size = head.size as usize;
        if size > config.max_message_bytes {
            return Err(Reject::TooLarge { size, max: config.max_message_bytes });
        }
        if head.is_transactional() {
            return Err(Reject::InvalidTxnState);
        }
        if !log.has_offsets_for(head) {
            return Err(Reject::InvalidRecord("the partition's offsets are used up".into()));
        }
        Ok(())
    }

    /// Answers at once if the batch is below the high watermark or needs no wait; else queues the wait in offset
    /// order.
    fn wait(
        &mut self,
        log: &LocalLog,
        asked: Asked,
        last_offset: Offset,
        appended: Appended,
        out: &mut Effects<Effect>,
    ) {
        let Asked { ticket, acks, deadline, .. } = asked;
        let (waits, end) = match acks {
            Acks::None => {
                out.push(Effect::Answer { ticket, result: Ok(appended) });
                return;
            }
            Acks::Leader => (&mut self.own, self.cut_off.own_end(log)),
            Acks::All => (&mut self.waits, log.high_watermark()),
        };
        if last_offset < end {
            out.push(Effect::Answer { ticket, result: Ok(appended) });
            return;
        }
        waits.push(Waiting { ticket, last_offset, deadline, appended });
    }

    /// Moves the high watermark to the end that every member of maxISR has, and says whether it moved (R3).
    pub fn advance(&self, log: &mut LocalLog) -> bool {
        match self.followers.committed_end(log) {
            Some(end) => log.commit(end),
            None => false,
        }
    }

    /// Answers the batches that are durable as far as they asked, and the DeleteRecords whose log start is. The caller
    /// publishes the new view first.
    pub fn answer(&mut self, log: &LocalLog, out: &mut Effects<Effect>) {
        let own_end = self.cut_off.own_end(log);
        for (waits, end) in [(&mut self.own, own_end), (&mut self.waits, log.high_watermark())] {
            while let Some(first) = waits.pop_below(end) {
                out.push(Effect::Answer { ticket: first.ticket, result: Ok(first.appended) });
            }
        }
        if self.trims.is_empty() {
            return;
        }
        let followers = &self.followers;
        let done = |trim: &Trimming| log.is_durable(trim.entry) && followers.have_log_start(trim.to);
        self.trims.retain(|trim| {
            let done = done(trim);
            if done {
                let result = Ok(appended(log, trim.to, None));
                out.push(Effect::Answer { ticket: trim.ticket, result });
            }
            !done
        });
    }

    /// Ends the waits for acks=all if the in-sync set is too small now. The batches may still be committed.
    pub fn give_up_below_min_isr(&mut self, out: &mut Effects<Effect>) {
        if self.followers.isr().is_enough() {
            return;
        }
        for waiting in self.waits.take() {
            let result = Err(Reject::NotEnoughReplicasAfterAppend);
            out.push(Effect::Answer { ticket: waiting.ticket, result });
        }
    }

    /// Whether nothing is committed here while the node is cut off: the ISR is too small, or a member of it lacks
    /// something and does not answer. Where every member answers, the partition goes on (F12).
    fn is_stuck(&self, now: Millis, log: &LocalLog) -> bool {
        let silent = || self.cut_off.silent_at(log, &self.followers).is_some_and(|at| at <= now);
        self.cut_off.is_on() && (!self.followers.isr().is_enough() || silent())
    }

    /// Ends every waiting request if the partition is stuck, because another node may lead it by now. The batches may
    /// still be committed.
    pub fn give_up_cut_off(&mut self, now: Millis, log: &LocalLog, out: &mut Effects<Effect>) {
        self.cut_off.note(now, log);
        if self.is_stuck(now, log) {
            out.extend((0..self.waiting()).map(|_| Effect::Note(Event::CutOff)));
            self.end(&Reject::CutOff, out);
        }
    }

    /// The offset to which a DeleteRecords moves the log start, or the refusal. `own` requests come from the broker
    /// itself and ignore the topic's cleanup policy.
    pub fn judge_trim(
        &self,
        log: &LocalLog,
        config: &ReplicaConfig,
        to: TrimTo,
        own: bool,
    ) -> Result<Offset, Reject> {
        let to = match to {
            TrimTo::HighWatermark => log.high_watermark(),
            TrimTo::Offset(to) => to,
        };
        if config.compact && !config.delete && !own {
            return Err(Reject::NotDeletable);
        }
        if to < 0 || to > log.high_watermark() {
            return Err(Reject::OffsetOutOfRange(to));
        }
        if self.trims.len() >= limits::TICKETS_PER_PARTITION {
            return Err(Reject::Busy);
        }
        Ok(to)
    }

    /// Lets a DeleteRecords wait for the entry that moved the log start last. An earlier request may have made that
    /// entry, if the log start is at the offset already.
    pub fn wait_for_trim(&mut self, log: &LocalLog, ticket: Ticket, to: Offset, deadline: Millis) {
        self.trims.push_back(Trimming { ticket, to, entry: log.log_start_entry(), deadline });
    }

    /// Answers the requests whose deadline has passed with a timeout; such a batch may still commit.
    pub fn expire(&mut self, now: Millis, out: &mut Effects<Effect>) {
        let late =
            self.own.expire(now).into_iter().chain(self.waits.expire(now)).map(|waiting| waiting.ticket);
        let mut late: Vec<Ticket> = late.collect();
        self.trims.retain(|trim| {
            late.extend((trim.deadline <= now).then_some(trim.ticket));
            trim.deadline > now
        });
        for ticket in late {
            out.push(Effect::Note(Event::TimedOut));
            out.push(Effect::Answer { ticket, result: Err(Reject::TimedOut) });
        }
    }

    /// Ends the leadership: every waiting request is refused with `reject`.
    pub fn end(&mut self, reject: &Reject, out: &mut Effects<Effect>) {
        let waiting = self.own.take().into_iter().chain(self.waits.take()).map(|waiting| waiting.ticket);
        for ticket in waiting.chain(self.trims.drain(..).map(|trim| trim.ticket)) {
            out.push(Effect::Answer { ticket, result: Err(reject.clone()) });
        }
    }

    /// The first deadline of a waiting request or of a follower.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        let trims = self.trims.iter().map(|trim| trim.deadline).min();
        let waits = self.waits.next_deadline().into_iter().chain(self.own.next_deadline());
        waits.chain(trims).chain(self.followers.next_deadline()).min()
    }

    /// The moment at which the waiting requests end, because the node is cut off.
    #[must_use]
    pub fn gives_up_at(&self, log: &LocalLog) -> Option<Millis> {
        let waits = self.cut_off.is_on() && self.waiting() > 0;
        waits.then(|| self.cut_off.silent_at(log, &self.followers)).flatten()
    }

    /// Checks the invariants of the waiting requests, and that none waits for acks=all below the minimum (I8).
    ///
    /// # Panics
    /// If one does not hold.
    pub fn check(&self, log: &LocalLog) {
        if planted(Mutant::TicketsSurvive) {
            return;
        }
        self.waits.check(log.high_watermark());
        self.own.check(self.cut_off.own_end(log));
        assert!(self.waits.len() == 0 || self.followers.isr().is_enough(), "acks=all waits below min.isr");
    }
}

fn appended(log: &LocalLog, base_offset: Offset, log_append_time: Option<i64>) -> Appended {
    Appended { base_offset, log_append_time, log_start: log.log_start() }
}
