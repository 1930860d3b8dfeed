//! What makes a replica's state smaller: DeleteRecords, retention, and producers that are forgotten.
//!
//! A leader moves the log start on a client's word or after the store has said which records expired; its followers
//! learn it from the next part. Each replica forgets idle producers by itself.
//!
//! These are steps of [`ReplicaMachine`]. Roles and requests stand in `replica.rs`.

use super::messages::{Effect, Event, TrimTo};
use super::producers::Forgotten;
use super::replica::{EXPIRY_EVERY_MS, ReplicaMachine, State, journal};
use crate::Reject;
use crate::ids::{Offset, Ticket};
use crate::machine::Effects;
use crate::mutant::{Mutant, planted};
use crate::storage::Entry;
use crate::time::{Millis, Now};

impl ReplicaMachine {
    pub(super) fn trim(
        &mut self,
        (ticket, deadline): (Ticket, Millis),
        to: TrimTo,
        own: bool,
        out: &mut Effects<Effect>,
    ) {
        let judged = match &self.state {
            State::Leader(leader) => leader.judge_trim(&self.log, &self.config, to, own),
            _ => self.role().serves().and(Err(Reject::Unavailable)),
        };
        match judged {
            Err(reject) => out.push(Effect::Answer { ticket, result: Err(reject) }),
            Ok(to) => {
                self.move_log_start(to, out);
                if let State::Leader(leader) = &mut self.state {
                    leader.wait_for_trim(&self.log, ticket, to, deadline);
                    leader.answer(&self.log, out);
                }
            }
        }
    }

    pub(super) fn move_log_start(&mut self, to: Offset, out: &mut Effects<Effect>) {
        if let Some(entry) = self.log.move_log_start(to) {
            out.push(journal(entry, Entry::LogStart { to }));
            self.publish(out);
        }
    }

    /// Takes the store's answer on retention; none if no record has expired or the store could not look.
    pub(super) fn expired(&mut self, now: Now, to: Option<Offset>, out: &mut Effects<Effect>) {
        let valid = self.checks.answered(now.mono, &self.config);
        let to = to.map(|to| to.min(self.log.high_watermark())).filter(|to| *to > self.log.log_start());
        if let Some(to) = to.filter(|_| valid && matches!(self.state, State::Leader(_))) {
            self.move_log_start(to, out);
            out.push(Effect::Note(Event::Expired));
        }
    }

    /// Forgets idle producers. Only a leader goes by the exact time; the others wait twice as long, so that a new leader
    /// knows every producer that the former one knew (R48).
    pub(super) fn expire_producers(&mut self, now: Now, out: &mut Effects<Effect>) {
        if self.next_expiry.is_none_or(|due| now.mono < due) {
            return;
        }
        self.next_expiry = Some(now.mono.plus(EXPIRY_EVERY_MS));
        let leads = matches!(self.state, State::Leader(_)) || planted(Mutant::ProducersByWallClock);
        let after_ms = self.config.producer_expiration_ms.saturating_mul(if leads { 1 } else { 2 });
        let idle = self.log.expire_producers(now, after_ms);
        out.extend(idle.map(|below| Effect::Forget(Forgotten { below, seq: self.log.seq() })));
    }
}
