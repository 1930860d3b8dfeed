//! One life of a node as the judge hears it: when it was heard last, what it said, and what the controller knows of that.

use super::messages::{HUNG_MS, Heartbeat, SESSION_MS, STALLED_MS};
use super::past::Past;
use crate::ids::{LeaderEpoch, TopicPartition};
use crate::metadata::{Broker, FencedFor, SyncedPositions, Verdict};
use crate::time::Millis;
use std::collections::BTreeSet;

/// A node that was heard.
#[derive(Debug)]
pub(super) struct Session {
    /// The moment of the last contact.
    pub heard: Millis,
    /// The node's last words.
    said: Heartbeat,
    /// The moment at which it said so.
    said_at: Millis,
    /// The last word to the controller on stalled syncs.
    stalled: bool,
    /// The last word to the controller on full disks.
    full: bool,
    /// The last word to the controller on replicas that cannot serve.
    unable: BTreeSet<TopicPartition>,
    /// The last word to the controller on replicas that need another replica's help.
    damaged: BTreeSet<(TopicPartition, LeaderEpoch)>,
}

impl Session {
    /// A session that begins with this heartbeat.
    pub fn new(now: Millis, first: Heartbeat) -> Session {
        let (unable, damaged) = (BTreeSet::new(), BTreeSet::new());
        Session { heard: now, said: first, said_at: now, stalled: false, full: false, unable, damaged }
    }

    /// Takes a heartbeat. One that was overtaken counts only as contact.
    pub fn hear(&mut self, now: Millis, heartbeat: Heartbeat) {
        self.heard = self.heard.max(now);
        if heartbeat.number > self.said.number {
            self.said = heartbeat;
            self.said_at = now;
        }
    }

    /// Moves the moments on by the time for which the judge has slept.
    pub fn shift(&mut self, by: u64, now: Millis) {
        self.heard = self.heard.plus(by).min(now);
        self.said_at = self.said_at.plus(by).min(now);
    }

    /// Whether nothing was heard of the node for a session.
    pub fn is_over(&self, now: Millis) -> bool {
        now >= self.heard.plus(SESSION_MS)
    }

    /// The positions that the node was last heard to have synced.
    pub fn synced(&self) -> &SyncedPositions {
        &self.said.synced
    }

    /// The verdict that fences the node for this reason.
    pub fn fence(&self, why: FencedFor) -> Verdict {
        Verdict::Fence { peer: self.said.from, why, synced: self.said.synced.clone() }
    }

    /// Whether the node lacked, when it spoke last, what had been committed a session before. Silence is judged apart.
    pub fn behind(&self, past: &Past) -> bool {
        let committed = past.at(Millis(self.said_at.0.saturating_sub(SESSION_MS)));
        committed.is_some_and(|index| self.said.applied < index)
    }

    /// The verdicts that follow from what the node says, `broker` being what is committed about it.
    ///
    /// News about syncs and replicas is told once; what makes a record is told until the image shows it.
    pub fn verdicts(&mut self, now: Millis, broker: &Broker, behind: bool, out: &mut Vec<Verdict>) {
        let said = &self.said;
        let peer = said.from;
        let stalled = said.sync_age_ms >= STALLED_MS;
        if stalled != self.stalled {
            self.stalled = stalled;
            out.push(Verdict::Stalled { peer, stalled });
        }
        if said.full != self.full {
            self.full = said.full;
            out.push(Verdict::Full { peer, full: said.full });
        }
        if said.unable != self.unable {
            self.unable.clone_from(&said.unable);
            out.push(Verdict::Unable { peer, replicas: self.unable.clone() });
        }
        if said.damaged != self.damaged {
            self.damaged.clone_from(&said.damaged);
            out.push(Verdict::Damaged { peer, replicas: self.damaged.clone() });
        }
        if said.ending && !broker.shutting_down {
            out.push(Verdict::ShuttingDown(peer));
        }
        if broker.fenced {
            // R20: recovered, and an image at or after its own registration. Old words of a silent node do not count.
            let ready = said.recovered && !said.ending && said.applied >= peer.epoch;
            if ready && !stalled && !behind && !self.is_over(now) {
                out.push(Verdict::Unfence(peer));
            }
        } else if said.ended {
            out.push(self.fence(FencedFor::Ended));
        } else if said.sync_age_ms >= HUNG_MS {
            out.push(self.fence(FencedFor::Disk));
        } else if behind {
            out.push(self.fence(FencedFor::Behind));
        }
    }
}
