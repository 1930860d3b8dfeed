//! The progress of one follower, as its leader knows it.
//!
//! A follower says where its log ends (Position), and from then on how far it is durable (Ack). Both count only in the
//! leader epoch and for the broker epoch that they name, so a leader begins without any progress (R6, I9).
//!
//! ```text
//!   none ── Position accepted ──> Accepted { n, written, synced } ── Ack of the same n ──> higher ends
//!     ^                                  └── a higher n replaces it
//!     └── the image gives the node another broker epoch
//! ```
//!
//! The follower lags while it has not acknowledged what the leader had at some earlier moment. `caught_up` is the last
//! moment of which the follower has everything (Kafka: `lastCaughtUpTimeMs`). This file keeps the numbers; who joins or
//! leaves the in-sync set is decided in `followers.rs`.

use super::replication::{Ack, Member, Position, PositionNumber};
use crate::ids::{Offset, Peer};
use crate::sessions::STALLED_MS;
use crate::time::Millis;

/// Milliseconds after which a replica that lacks something and says nothing does not answer. The controller moves the
/// leaderships of a node whose sync takes as long.
pub const SILENT_MS: u64 = STALLED_MS;

/// The Position that was accepted last, and what was acknowledged since.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// The life of the node that sent it.
    pub peer: Peer,
    pub n: PositionNumber,
    pub written: Offset,
    pub synced: Offset,
    pub log_start: Offset,
}

/// One follower, in one leader epoch.
#[derive(Clone, Debug)]
pub struct Progress {
    pub member: Member,
    pub accepted: Option<Accepted>,
    /// The follower lacks records that it acknowledged, and has to leave the ISR (R41).
    pub broken: bool,
    /// The last moment of which the follower has everything.
    caught_up: Millis,
    /// The last moment at which it said something that counts, or had everything.
    heard: Millis,
    /// The leader's end at some moment, which the follower has not acknowledged yet.
    mark: Option<(Offset, Millis)>,
}

impl Progress {
    /// A follower that has said nothing in this leader epoch, which began at this moment.
    #[must_use]
    pub fn new(member: Member, now: Millis) -> Progress {
        Progress { member, accepted: None, broken: false, caught_up: now, heard: now, mark: None }
    }

    /// Forgets what the follower said, because its node is another process now (R6).
    pub fn forget(&mut self, now: Millis) {
        *self = Progress::new(self.member, now);
    }

    /// The follower is in the ISR from now on, and has the full time to reach the end.
    pub fn joined(&mut self, now: Millis) {
        self.caught_up = now;
        self.mark = None;
    }

    /// Whether a Position of this node and number comes after the accepted one.
    #[must_use]
    pub fn is_newer(&self, from: Peer, n: PositionNumber) -> bool {
        self.accepted.is_none_or(|accepted| (from.epoch, n) > (accepted.peer.epoch, accepted.n))
    }

    /// Accepts a Position. `counts` is false where the follower will empty its log first: its ends say nothing then.
    pub fn accept(&mut self, peer: Peer, position: &Position, counts: bool) {
        let end = |end: Offset| if counts { end.min(position.end) } else { 0 };
        self.accepted = Some(Accepted {
            peer,
            n: position.n,
            written: end(position.written),
            synced: end(position.synced),
            log_start: end(position.log_start),
        });
    }

    /// Takes an acknowledgement up to the leader's own end, and says whether it counts.
    pub fn acked(&mut self, from: Peer, ack: &Ack, end: Offset) -> bool {
        let Some(accepted) = self.accepted.as_mut().filter(|a| a.peer == from && a.n == ack.n) else {
            return false;
        };
        accepted.written = accepted.written.max(ack.written.min(end));
        accepted.synced = accepted.synced.max(ack.synced.min(end));
        accepted.log_start = accepted.log_start.max(ack.log_start);
        true
    }

    /// Notes how far the follower has come, while the leader's log ends at `end`.
    pub fn reached(&mut self, now: Millis, acked: Offset, end: Offset) {
        if self.accepted.is_none() {
            return;
        }
        self.heard = now;
        if acked >= end {
            self.caught_up = now;
            self.mark = None;
        } else if self.mark.is_none_or(|(mark, _)| acked >= mark) {
            if let Some((_, at)) = self.mark {
                self.caught_up = self.caught_up.max(at);
            }
            self.mark = Some((end, now));
        }
    }

    /// The leader appends: a follower that had everything so far begins to lag now.
    pub fn appended(&mut self, now: Millis, acked: Offset, end_before: Offset) {
        if self.accepted.is_some() && acked >= end_before {
            self.caught_up = now;
            self.heard = now;
            self.mark = None;
        }
    }

    /// The moment from which on the follower is out of sync.
    #[must_use]
    pub fn late_at(&self, max_ms: u64) -> Millis {
        self.caught_up.plus(max_ms)
    }

    /// The moment from which on the follower does not answer, while it lacks something.
    #[must_use]
    pub fn silent_at(&self) -> Millis {
        self.heard.plus(SILENT_MS)
    }

    /// Gives the follower more time, because the leader itself was late (R7).
    pub fn grant(&mut self, ms: u64) {
        self.caught_up = self.caught_up.plus(ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Peer = Peer { broker: 2, epoch: 7 };

    fn follower() -> Progress {
        let member = Member { peer: PEER, live: true, in_sync: true };
        let mut progress = Progress::new(member, Millis(0));
        let position = Position {
            leader_epoch: 3,
            n: 5,
            end: 10,
            last_epoch: Some(2),
            written: 12,
            synced: 8,
            log_start: 0,
        };
        progress.accept(PEER, &position, true);
        progress
    }

    fn ack(n: u64, written: Offset) -> Ack {
        Ack { leader_epoch: 3, n, written, synced: written, log_start: 0 }
    }

    #[test]
    fn only_the_accepted_position_of_the_same_life_is_acknowledged() {
        let mut progress = follower();
        let accepted = progress.accepted.unwrap();
        assert_eq!((accepted.written, accepted.synced), (10, 8), "an end beyond the position does not count");
        assert!(!progress.acked(PEER, &ack(4, 20), 30));
        assert!(!progress.acked(Peer { epoch: 8, ..PEER }, &ack(5, 20), 30));
        assert!(progress.acked(PEER, &ack(5, 40), 30));
        assert_eq!(progress.accepted.unwrap().written, 30, "an end beyond the leader's own is cut");
        assert!(progress.acked(PEER, &ack(5, 20), 30));
        assert_eq!(progress.accepted.unwrap().written, 30, "an end never goes back");
        assert!(!progress.is_newer(PEER, 5) && progress.is_newer(PEER, 6));
        assert!(progress.is_newer(Peer { epoch: 8, ..PEER }, 1));
    }

    #[test]
    fn a_follower_lags_from_the_last_moment_of_which_it_has_everything() {
        let mut progress = follower();
        progress.reached(Millis(10), 10, 10);
        progress.appended(Millis(50), 10, 10);
        assert_eq!(progress.late_at(100), Millis(150));
        // It never reaches the end of a busy log, but what the log held a moment ago.
        progress.reached(Millis(60), 12, 30);
        progress.reached(Millis(70), 20, 40);
        assert_eq!(progress.late_at(100), Millis(150));
        progress.reached(Millis(80), 30, 50);
        assert_eq!(progress.late_at(100), Millis(160));
        progress.grant(25);
        assert_eq!(progress.late_at(100), Millis(185));
    }
}
