//! The leader's role: it takes batches, moves the high watermark, and answers the requests that wait for it.
//!
//! ```text
//!   batch ──> admitted, judged, numbered ──> Journal(entry) ─ ─ ─> persisted ──> durable end
//!      └── ticket, sorted by offset <──────── high watermark <──────────────────────┘
//! ```
//!
//! The role owns the waiting requests: produce requests by the offset they wait for, DeleteRecords by the entry that
//! moves the log start. The role ends with its leader epoch, and every waiting request ends with it. A later
//! leadership may commit other bytes at the same offsets (R31).
//!
//! The in-sync set is this node alone. Followers, their progress and the ISR come with replication; nothing here
//! stands in for them.

use super::config::ReplicaConfig;
use super::log::{Journaled, LocalLog};
use super::messages::{Acks, Appended, Effect, Event, TrimTo};
use super::producers::Judgement;
use super::waits::{Waiting, Waits};
use crate::Reject;
use crate::ids::{LeaderEpoch, Offset, Ticket};
use crate::limits;
use crate::machine::Effects;
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

/// A DeleteRecords request that waits for its entry to become durable.
#[derive(Clone, Copy, Debug)]
struct Trimming {
    ticket: Ticket,
    to: Offset,
    entry: Journaled,
}

/// The leadership of one replica in one leader epoch.
#[derive(Debug)]
pub struct Leader {
    epoch: LeaderEpoch,
    waits: Waits,
    trims: VecDeque<Trimming>,
}

impl Leader {
    /// A leadership of this epoch, without waiting requests.
    #[must_use]
    pub fn new(epoch: LeaderEpoch) -> Leader {
        Leader { epoch, waits: Waits::default(), trims: VecDeque::new() }
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
        let judged = self.admit(log, config, asked.leader_epoch, &head).map(|()| log.judge(&head));
        match judged {
            Err(reject) | Ok(Judgement::Refused(reject)) => {
                out.push(Effect::Note(Event::Refused));
                out.push(Effect::Answer { ticket: asked.ticket, result: Err(reject) });
            }
            Ok(Judgement::Duplicate(stored)) => {
                out.push(Effect::Note(Event::Duplicate));
                // The duplicate shares the stored batch's wait, and is answered no earlier than that batch (I17).
                let appended = appended(log, stored.base_offset, Some(stored.timestamp));
                self.wait(log, asked, stored.last_offset, appended, out);
            }
            Ok(Judgement::Fresh) => {
                let placed = log.append(now, self.epoch, head, config.log_append_time);
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
        leader_epoch: Option<LeaderEpoch>,
        head: &BatchHead,
    ) -> Result<(), Reject> {
        if leader_epoch.is_some_and(|epoch| epoch != self.epoch) {
            return Err(Reject::NotLeader);
        }
        if self.waits.len() >= limits::TICKETS_PER_PARTITION {
            return Err(Reject::Busy);
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
        if acks == Acks::None || last_offset < log.high_watermark() {
            out.push(Effect::Answer { ticket, result: Ok(appended) });
            return;
        }
        self.waits.push(Waiting { ticket, last_offset, deadline, appended });
    }

    /// Moves the high watermark to the durable end, because the in-sync set is this node. Says whether it moved.
    pub fn advance(&self, log: &mut LocalLog) -> bool {
        log.commit(log.durable_end())
    }

    /// Answers the batches below the high watermark, and the DeleteRecords whose entry is durable. The caller
    /// publishes the new view first.
    pub fn answer(&mut self, log: &LocalLog, out: &mut Effects<Effect>) {
        while let Some(first) = self.waits.pop_below(log.high_watermark()) {
            out.push(Effect::Answer { ticket: first.ticket, result: Ok(first.appended) });
        }
        while let Some(first) = self.trims.front().copied().filter(|trim| log.is_durable(trim.entry)) {
            self.trims.pop_front();
            out.push(Effect::Answer { ticket: first.ticket, result: Ok(appended(log, first.to, None)) });
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
    pub fn wait_for_trim(&mut self, log: &LocalLog, ticket: Ticket, to: Offset) {
        self.trims.push_back(Trimming { ticket, to, entry: log.log_start_entry() });
    }

    /// Answers the batches whose deadline has passed with a timeout; such a batch may still commit.
    pub fn expire(&mut self, now: Millis, out: &mut Effects<Effect>) {
        for waiting in self.waits.expire(now) {
            out.push(Effect::Note(Event::TimedOut));
            out.push(Effect::Answer { ticket: waiting.ticket, result: Err(Reject::TimedOut) });
        }
    }

    /// Ends the leadership: every waiting request is refused with `reject`.
    pub fn end(mut self, reject: &Reject, out: &mut Effects<Effect>) {
        let waiting = self.waits.take().into_iter().map(|waiting| waiting.ticket);
        for ticket in waiting.chain(self.trims.drain(..).map(|trim| trim.ticket)) {
            out.push(Effect::Answer { ticket, result: Err(reject.clone()) });
        }
    }

    /// The first deadline of a waiting batch.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.waits.next_deadline()
    }

    /// Checks the invariants of the waiting requests.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn check(&self, log: &LocalLog) {
        self.waits.check(log.high_watermark());
    }
}

fn appended(log: &LocalLog, base_offset: Offset, log_append_time: Option<i64>) -> Appended {
    Appended { base_offset, log_append_time, log_start: log.log_start() }
}
