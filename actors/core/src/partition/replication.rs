//! The words that a leader and its followers exchange about one partition.
//!
//! ```text
//!   follower ── Position(epoch, n, end) ──> leader        when it is ready, and after each change
//!            <── Diverge · Refused ──────── leader        or
//!            <── Part, Part, Part … ─────── leader        the first one accepts the Position
//!            ── Ack(epoch, n, ends) ──────> leader
//! ```
//!
//! Everything repeats the pair (leader epoch, n). The number n names the Position that the leader accepted, and each
//! side drops whatever has another pair (R36). So an acknowledgement can name offsets: it belongs to one accepted
//! Position, and within one leader epoch the leader never truncates (R15).
//!
//! These types carry no bytes, no topic and no broker: a frame and its connection do. They decide nothing.

use crate::ids::{BrokerId, LeaderEpoch, Offset, Peer};
use std::sync::Arc;

/// The number of a Position. It rises over all subscriptions of a process.
pub type PositionNumber = u64;

/// A follower's word on where its log ends, and its wish to be sent what follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    pub leader_epoch: LeaderEpoch,
    pub n: PositionNumber,
    pub end: Offset,
    /// The leader epoch of the last record; none in an empty log.
    pub last_epoch: Option<LeaderEpoch>,
    /// The end of what is in the page cache.
    pub written: Offset,
    /// The end of what is on disk.
    pub synced: Offset,
    pub log_start: Offset,
}

/// A follower's word on how far its log is durable. It names both ends, and the leader decides which one counts (R2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ack {
    pub leader_epoch: LeaderEpoch,
    pub n: PositionNumber,
    pub written: Offset,
    pub synced: Offset,
    /// The durable log start; DeleteRecords waits for it.
    pub log_start: Offset,
}

/// The place of a part in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Continuity {
    /// The part brings no bytes, only the leader's high watermark and log start, and is never matched.
    Nothing,
    /// The follower's log ends at or below the leader's log start. It empties itself and goes on from there (R39).
    Restart,
    /// The part's first batch follows a record of this epoch, which ends at this offset. The epoch is none where the
    /// leader no longer has that record.
    After { epoch: Option<LeaderEpoch>, end: Offset },
}

/// The head of a part; its batches follow outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    pub leader_epoch: LeaderEpoch,
    pub n: PositionNumber,
    pub place: Continuity,
    pub high_watermark: Offset,
    pub log_start: Offset,
}

/// A leader's answer to a Position that it does not accept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The logs part. The leader's largest epoch that is not above the follower's last one ends at `end`; none where the
    /// leader knows no such epoch (R13, R39).
    Diverge { leader_epoch: LeaderEpoch, n: PositionNumber, epoch: Option<LeaderEpoch>, end: Offset },
    /// The follower asks again later.
    Refused { leader_epoch: LeaderEpoch, n: PositionNumber, why: RefusedFor },
}

/// Why a Position is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusedFor {
    /// The leader's image is older than the follower: it names another broker epoch or an older leader epoch.
    Behind,
    /// The Position's leader epoch is over.
    OldEpoch,
    /// This node does not lead the partition, or has no such replica yet.
    NotLeading,
}

/// One replica of a partition, as the leader's image shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// The node, and the broker epoch that the image gives it (R6).
    pub peer: Peer,
    /// Whether the node is unfenced and not shutting down.
    pub live: bool,
    /// Whether the committed ISR holds it.
    pub in_sync: bool,
}

/// A leader's group, all of it from one image (R7).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    pub partition_epoch: i32,
    /// min(`min.insync.replicas`, replicas that are not being added).
    pub min_isr: usize,
    /// All replicas, this node's among them.
    pub members: Arc<[Member]>,
}

impl Group {
    /// The group of a partition whose only replica is this one.
    #[must_use]
    pub fn alone(me: Peer, partition_epoch: i32) -> Group {
        let member = Member { peer: me, live: true, in_sync: true };
        Group { partition_epoch, min_isr: 1, members: Arc::new([member]) }
    }

    /// The replica of a node.
    #[must_use]
    pub fn member(&self, broker: BrokerId) -> Option<&Member> {
        self.members.iter().find(|member| member.peer.broker == broker)
    }
}
