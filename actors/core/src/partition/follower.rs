//! The follower's role: it says where its log ends, takes what the leader sends, and acknowledges what is durable.
//!
//! ```text
//!   Unlinked ── Linked ──> Asking(n) ── first part of n ──> Accepted(n) ── parts ──> Journal, Ack
//!      ^                     │  ^ 200 ms … 2 s │                 │
//!      └── Unlinked          └──┴── Refused    └── Diverge ──> truncate     a part that does not match: Asking(n + 1)
//! ```
//!
//! The number n names one Position. Whatever carries another leader epoch or another n belongs to a former subscription
//! and is dropped (R36). The follower acknowledges min(own durable end, matched end): matched begins at the accepted
//! Position's end, and rises with the parts that were taken. So an acknowledgement never covers bytes that the leader
//! does not have.
//!
//! The role judges parts and moves the log. It truncates nothing itself: the replica does, since it is idle until the
//! log is read again (R38).

use super::epochs::end_of_epoch;
use super::log::{Journaled, LocalLog};
use super::messages::Effect;
use super::replication::{Ack, Answer, Continuity, Part, Position, PositionNumber};
use crate::ids::{BrokerId, LeaderEpoch, Offset, Ticket};
use crate::machine::Effects;
use crate::mutant::{Mutant, planted};
use crate::records::BatchHead;
use crate::storage::Entry;
use crate::time::{Millis, Now};

/// Milliseconds until a refused Position is sent again, at first and at most.
const RETRY_MS: (u64, u64) = (200, 2_000);
/// Milliseconds until a Position without an answer is sent again. The leader answers within a second, unless its actor
/// failed with the Position in its mailbox, or the connection is slow.
const UNANSWERED_MS: u64 = 2_000;

/// The Position that was sent last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Asked {
    n: PositionNumber,
    end: Offset,
    /// The end up to which the leader's log is known to match; none until the Position is accepted.
    matched: Option<Offset>,
}

/// What the replica has to do after a message from the leader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nothing beyond the effects.
    Done,
    /// The part goes on where the log ends: it is to be taken.
    Take,
    /// The follower needs a new number, to send a Position.
    Ask,
    /// The log is to be cut to this offset, and read again.
    Truncate(Offset),
}

/// The following of one leader in one leader epoch.
#[derive(Clone, Debug)]
pub struct Follower {
    leader: BrokerId,
    epoch: LeaderEpoch,
    linked: bool,
    asked: Option<Asked>,
    /// The acknowledgement that was sent last.
    acked: Option<Ack>,
    /// When a Position that was refused, or not answered, is sent again.
    retry: Option<Millis>,
    backoff_ms: u64,
}

impl Follower {
    /// A follower of this leader, without a connection to it yet.
    #[must_use]
    pub fn new(leader: BrokerId, epoch: LeaderEpoch) -> Follower {
        Follower {
            leader,
            epoch,
            linked: false,
            asked: None,
            acked: None,
            retry: None,
            backoff_ms: RETRY_MS.0,
        }
    }

    /// The node that leads.
    #[must_use]
    pub fn leader(&self) -> BrokerId {
        self.leader
    }

    /// A new connection to the leader's node is up, or the connection is gone. What was sent on an earlier one counts no
    /// more.
    pub fn link(&mut self, up: bool) {
        self.linked = up;
        (self.asked, self.acked, self.retry) = (None, None, None);
    }

    /// The number under which a Position is sent again, because it has no answer: a number of its own would make the
    /// answer to the first one worthless. None if the next Position needs a new one (R36).
    #[must_use]
    pub fn unanswered(&self) -> Option<PositionNumber> {
        self.asked.filter(|asked| asked.matched.is_none()).map(|asked| asked.n)
    }

    /// Says where the log ends, under this number.
    pub fn ask(&mut self, now: Millis, n: PositionNumber, log: &LocalLog, out: &mut Effects<Effect>) {
        self.asked = Some(Asked { n, end: log.end(), matched: None });
        (self.acked, self.retry) = (None, Some(now.plus(UNANSWERED_MS)));
        if planted(Mutant::PositionIsNoAck) {
            // Only what comes later is acknowledged, so nothing tells the leader of the ends in the Position.
            self.acked = Some(self.ack(n, log.end(), log));
        }
        let position = Position {
            leader_epoch: self.epoch,
            n,
            end: log.end(),
            last_epoch: log.last_epoch(),
            written: log.written_end(),
            synced: log.synced_end(),
            log_start: log.durable_log_start(),
        };
        out.push(Effect::Position { to: self.leader, position });
    }

    /// Whether a message belongs to the Position that was sent last.
    fn is_current(&self, from: BrokerId, epoch: LeaderEpoch, n: PositionNumber) -> bool {
        from == self.leader && epoch == self.epoch && self.asked.is_some_and(|asked| asked.n == n)
    }

    /// Judges a part, and empties the log where the part begins it anew. The caller shows that before it takes the part,
    /// because other bytes follow at offsets that readers know.
    pub fn judge(
        &mut self,
        (from, part): (BrokerId, &Part),
        batches: &[(Ticket, BatchHead)],
        log: &mut LocalLog,
        out: &mut Effects<Effect>,
    ) -> Outcome {
        let obeys = planted(Mutant::OldPartObeyed) && from == self.leader;
        if !obeys && !self.is_current(from, part.leader_epoch, part.n) {
            let again = planted(Mutant::PositionPerMismatch)
                && from == self.leader
                && part.leader_epoch == self.epoch;
            return if again && !batches.is_empty() { Outcome::Ask } else { Outcome::Done };
        }
        let Some(asked) = &mut self.asked else { return Outcome::Done };
        asked.matched.get_or_insert(asked.end);
        (self.backoff_ms, self.retry) = (RETRY_MS.0, None);
        match part.place {
            Continuity::Nothing => {}
            Continuity::Restart if log.end() > part.log_start => return Outcome::Ask,
            Continuity::Restart => self.restart(part, log, out),
            Continuity::After { epoch, end } if !matches(log, part, epoch, end) => return Outcome::Ask,
            Continuity::After { .. } => self.begin_at_batch(batches, log, out),
        }
        Outcome::Take
    }

    /// Takes a part that was judged to go on where the log ends.
    pub fn take(
        &mut self,
        now: Now,
        part: &Part,
        batches: Vec<(Ticket, BatchHead)>,
        log: &mut LocalLog,
        out: &mut Effects<Effect>,
    ) {
        if matches!(part.place, Continuity::After { .. }) {
            for (ticket, head) in batches {
                let entry = (head.leader_epoch <= self.epoch).then(|| log.append_replicated(now, &head));
                let Some(entry) = entry.flatten() else {
                    // The leader cannot have sent it. Asking at once would bring the same part again.
                    return self.refused(now.mono);
                };
                let change = Entry::Append { base: head.base_offset, epoch: head.leader_epoch };
                out.push(journal(entry, change, Some(ticket)));
            }
            if let Some(Asked { matched: Some(matched), .. }) = &mut self.asked {
                *matched = (*matched).max(log.end());
            }
        }
        self.follow(part, log, out);
        self.acknowledge(log, out);
    }

    fn matched(&mut self, end: Offset) {
        if let Some(asked) = &mut self.asked {
            asked.matched = Some(end);
        }
    }

    /// Empties the log, whose records the leader no longer has, and goes on at the leader's log start (R39).
    fn restart(&mut self, part: &Part, log: &mut LocalLog, out: &mut Effects<Effect>) {
        let at = part.log_start;
        if log.end() > at {
            return;
        }
        out.push(journal(log.reset(at), Entry::Reset { at }, None));
        self.matched(at);
    }

    /// Lets an empty log begin where its first batch does. A log start may lie inside a batch, because DeleteRecords
    /// takes any offset, and the batch comes whole.
    fn begin_at_batch(&self, batches: &[(Ticket, BatchHead)], log: &mut LocalLog, out: &mut Effects<Effect>) {
        let Some((_, first)) = batches.first().filter(|_| log.is_empty()) else { return };
        let at = first.base_offset;
        if (0..log.end()).contains(&at) && first.next_offset() > log.end() {
            out.push(journal(log.reset(at), Entry::Reset { at }, None));
        }
    }

    /// Takes the leader's high watermark and log start, as far as the own log reaches (R39).
    fn follow(&mut self, part: &Part, log: &mut LocalLog, out: &mut Effects<Effect>) {
        let clamped = !planted(Mutant::PartHighWatermarkUnclamped);
        log.commit(if clamped { part.high_watermark.min(log.end()) } else { part.high_watermark });
        let to = part.log_start.min(log.end()).min(log.high_watermark());
        if let Some(entry) = log.move_log_start(to) {
            out.push(journal(entry, Entry::LogStart { to }, None));
        }
    }

    /// Acknowledges what has become durable since the last time.
    pub fn acknowledge(&mut self, log: &LocalLog, out: &mut Effects<Effect>) {
        let Some(Asked { n, matched: Some(matched), .. }) = self.asked else { return };
        let ack = self.ack(n, matched, log);
        if self.acked != Some(ack) {
            self.acked = Some(ack);
            out.push(Effect::Ack { to: self.leader, ack });
        }
    }

    fn ack(&self, n: PositionNumber, matched: Offset, log: &LocalLog) -> Ack {
        let end = |end: Offset| if planted(Mutant::FollowerAcksEnd) { log.end() } else { end.min(matched) };
        Ack {
            leader_epoch: self.epoch,
            n,
            written: end(log.written_end()),
            synced: end(log.synced_end()),
            log_start: log.durable_log_start(),
        }
    }

    /// Takes the leader's answer to a Position that it did not accept.
    pub fn told(&mut self, now: Millis, from: BrokerId, answer: &Answer, log: &LocalLog) -> Outcome {
        match *answer {
            Answer::Refused { leader_epoch, n, .. } if self.is_current(from, leader_epoch, n) => {
                self.refused(now)
            }
            Answer::Diverge { leader_epoch, n, epoch, end }
                if self.is_current(from, leader_epoch, n)
                    || (planted(Mutant::OldDivergeObeyed) && from == self.leader) =>
            {
                let to = diverges_at(log, epoch, end).max(0);
                // An epoch without a record is cut off too: an empty log of it would be told to diverge for ever.
                let bare = to == log.end() && log.epochs().last().is_some_and(|(_, start)| *start >= to);
                if to < log.end() || bare {
                    return Outcome::Truncate(to);
                }
                self.refused(now);
            }
            Answer::Refused { .. } | Answer::Diverge { .. } => {}
        }
        Outcome::Done
    }

    fn refused(&mut self, now: Millis) {
        (self.asked, self.acked) = (None, None);
        self.retry = Some(now.plus(self.backoff_ms));
        self.backoff_ms = (self.backoff_ms * 2).min(RETRY_MS.1);
    }

    /// Whether a Position is due again.
    #[must_use]
    pub fn is_due(&self, now: Millis) -> bool {
        self.linked && self.retry.is_some_and(|due| due <= now)
    }

    /// When a Position is due again.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.retry.filter(|_| self.linked)
    }
}

/// Whether a part goes on where the own log ends. At the leader's log start, and for an empty log, the end alone
/// decides, because there is no record before it.
fn matches(log: &LocalLog, part: &Part, epoch: Option<LeaderEpoch>, end: Offset) -> bool {
    let same = match (epoch, log.last_epoch()) {
        (Some(epoch), Some(last)) => epoch == last || end == part.log_start,
        _ => true,
    };
    end == log.end() && same
}

/// The offset from which on the own log differs from the leader's (R13). The leader's end alone would loop after two
/// fast changes of the leader (KIP-279), so the own end of that epoch counts too.
fn diverges_at(log: &LocalLog, epoch: Option<LeaderEpoch>, end: Offset) -> Offset {
    if planted(Mutant::TruncatesToHighWatermark) {
        return log.high_watermark();
    }
    let Some(epoch) = epoch else { return end };
    match end_of_epoch(log.epochs(), epoch, log.end()) {
        Some((_, own)) => end.min(own),
        // Every own record is of a later epoch.
        None => end.min(log.log_start()),
    }
}

/// The effect that journals a follower's entry.
fn journal(entry: Journaled, change: Entry, ticket: Option<Ticket>) -> Effect {
    let Journaled { seq, durability } = entry;
    Effect::Journal { seq, entry: change, durability, ticket, log_append_time: None }
}
