//! Positions of a leader epoch that this node's image does not know yet.
//!
//! A follower may hear of a new leader before the leader does. Its Position waits here for a second, and is refused
//! then, so that the follower is always answered (R36). One Position of each node waits; a later one replaces it.

use super::messages::Effect;
use super::replication::{Answer, Position, RefusedFor};
use crate::ids::{LeaderEpoch, Peer};
use crate::time::Millis;

/// Milliseconds for which a Position waits.
const HOLD_MS: u64 = 1_000;

/// The waiting Positions of one partition.
#[derive(Debug, Default)]
pub struct Held {
    list: Vec<(Peer, Position, Millis)>,
}

impl Held {
    /// Lets a Position wait, in place of an earlier one of its node.
    pub fn keep(&mut self, now: Millis, from: Peer, position: Position) {
        let newer = |(peer, held, _): &(Peer, Position, Millis)| {
            peer.broker == from.broker && (peer.epoch, held.n) > (from.epoch, position.n)
        };
        if self.list.iter().any(newer) {
            return;
        }
        self.list.retain(|(peer, _, _)| peer.broker != from.broker);
        self.list.push((from, position, now.plus(HOLD_MS)));
    }

    /// Takes out the Positions of leader epochs up to this one.
    pub fn up_to(&mut self, epoch: LeaderEpoch) -> Vec<(Peer, Position)> {
        self.take(|(_, position, _)| position.leader_epoch <= epoch)
    }

    /// Takes out the Positions that have waited long enough.
    pub fn expired(&mut self, now: Millis) -> Vec<(Peer, Position)> {
        self.take(|(_, _, until)| *until <= now)
    }

    fn take(&mut self, which: impl Fn(&(Peer, Position, Millis)) -> bool) -> Vec<(Peer, Position)> {
        if self.list.is_empty() {
            return Vec::new();
        }
        let (taken, kept) = std::mem::take(&mut self.list).into_iter().partition(which);
        self.list = kept;
        taken.into_iter().map(|(peer, position, _)| (peer, position)).collect()
    }

    /// When the first of them has waited long enough.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.list.iter().map(|(_, _, until)| *until).min()
    }
}

/// The refusal of a Position.
pub(super) fn refused(to: Peer, position: &Position, why: RefusedFor) -> Effect {
    let Position { leader_epoch, n, .. } = *position;
    Effect::Reply { to, answer: Answer::Refused { leader_epoch, n, why } }
}
