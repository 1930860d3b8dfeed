//! What the judge of sessions says to the controller.
//!
//! The judge hears heartbeats and knows time; the controller knows neither. One judgement is one event: whatever it
//! names becomes one batch of records, elections included (R12).
//!
//! These are words alone. `sessions/` speaks them, and `controller/judged.rs` turns them into records.

use super::broker::SyncedPositions;
use super::log::Leadership;
use crate::ids::{LeaderEpoch, Peer, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Why a node is fenced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FencedFor {
    /// Nothing was heard of it for a session.
    Silent,
    /// It has not applied what was committed a session ago (R45).
    Behind,
    /// One of its syncs does not end.
    Disk,
    /// The kernel says that its process is gone.
    Gone,
    /// It has said that it ended cleanly, so its next start need not wait for a session (R30).
    Ended,
}

impl fmt::Display for FencedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FencedFor::Silent => "nothing was heard of it for a session",
            FencedFor::Behind => "it has not applied what was committed a session ago",
            FencedFor::Disk => "one of its syncs does not end",
            FencedFor::Gone => "its process is gone",
            FencedFor::Ended => "it has ended cleanly",
        })
    }
}

/// One thing that the judge has found out about one life of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Fence {
        peer: Peer,
        why: FencedFor,
        /// The journal positions that the node was last heard to have synced (R46).
        synced: SyncedPositions,
    },
    Unfence(Peer),
    /// The node wants to end: its leaderships move, and it is given none.
    ShuttingDown(Peer),
    /// Whether one of the node's syncs takes too long. Its leaderships move to members of the ISR, where there are any.
    Stalled {
        peer: Peer,
        stalled: bool,
    },
    /// Whether a disk of the node is full. Its leaderships move, and it leaves ISRs that are large enough without it.
    Full {
        peer: Peer,
        full: bool,
    },
    /// All replicas of the node that cannot serve now. None of them is elected or joins an ISR (R38, R41).
    Unable {
        peer: Peer,
        replicas: BTreeSet<TopicPartition>,
    },
    /// All replicas of the node that cannot serve bytes which they acknowledged, and never will without another replica's
    /// help. They leave ISR and ELR, where anybody else stays (R41). Acks up to the leader epoch named count no more.
    Damaged {
        peer: Peer,
        replicas: BTreeSet<(TopicPartition, LeaderEpoch)>,
    },
}

/// Everything that one moment has brought out, for the controller of one leadership.
///
/// The first judgement of a leadership ends the controller's wait (R45), even if it names nobody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgement {
    pub leadership: Leadership,
    pub verdicts: Vec<Verdict>,
    /// Unfenced nodes whose session is over and who are not fenced for it, with the positions that they were last heard to
    /// have synced (R46). Another process may take their place (R17).
    pub silent: BTreeMap<Peer, SyncedPositions>,
}
