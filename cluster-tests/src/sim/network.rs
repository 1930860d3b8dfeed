//! Data connections between nodes: a FIFO in each direction, and two ends that may disagree on whether they live.
//!
//! ```text
//!   follower (dialler) ── Position, Acks ──> leader's node (peer)
//!                     <── Frame, Told ─────
//! ```
//!
//! A stream has delay and order; it loses nothing, repeats nothing and reorders nothing, because QUIC does not. An end that
//! closes drops what comes for it. The other end hears of it later, and until then may read what was sent before. So two
//! connections of one pair can live at once, and the leader has to tell them apart (R37).
//!
//! Control connections carry questions and heartbeats, each on a stream of its own. They are modelled as single messages
//! (`control.rs`).

use std::collections::VecDeque;

use callboard_core::partition::{Ack, Answer, Part, Position};
use callboard_core::{BrokerEpoch, Offset};

use crate::sim::batch::Batch;
use crate::sim::faults::{NodeIx, PartIx};
use crate::sim::options::Time;

/// Names a connection for the whole run.
pub type ConnIx = usize;

/// Bytes on their way in one direction at most (the send window).
pub const WINDOW: u64 = 1 << 20;

/// One part of a frame, with the batches behind it.
#[derive(Clone, Debug)]
pub struct SentPart {
    pub part: PartIx,
    pub head: Part,
    pub batches: Vec<Batch>,
}

/// A message of a data connection.
#[derive(Clone, Debug)]
pub enum Msg {
    Position(PartIx, Position),
    /// The newest acknowledgement of each partition that has one.
    Acks(Vec<(PartIx, Ack)>),
    Frame(Vec<SentPart>),
    Told(PartIx, Answer),
}

impl Msg {
    /// Bytes of batches in it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Msg::Frame(parts) => {
                parts.iter().flat_map(|part| &part.batches).map(|b| u64::from(b.head.size)).sum()
            }
            Msg::Position(..) | Msg::Acks(_) | Msg::Told(..) => 0,
        }
    }
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub struct Direction {
    pub queue: VecDeque<Msg>,
    /// When the last message in the queue arrives.
    pub last: Time,
    /// Bytes of batches on their way.
    pub bytes: u64,
}

/// The dialler's side of a connection, or the other one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Dialler,
    Peer,
}

impl Side {
    /// The opposite side of the connection.
    #[must_use]
    pub fn other(self) -> Side {
        if self == Side::Dialler { Side::Peer } else { Side::Dialler }
    }
}

/// A data connection from a follower's shard to a leader's node.
#[derive(Debug)]
pub struct Conn {
    pub dialler: NodeIx,
    pub peer: NodeIx,
    /// The lives of both processes: a connection ends with either.
    pub lives: [u64; 2],
    /// The dialler's broker epoch and the number of its connection, as its hello says (R37).
    pub rank: (BrokerEpoch, u64),
    /// Whether each side believes in it.
    pub open: [bool; 2],
    /// Whether the dialler has heard the peer's hello.
    pub linked: bool,
    /// The messages to the peer, and those to the dialler.
    pub ways: [Direction; 2],
}

impl Conn {
    /// The node at this side.
    #[must_use]
    pub fn node(&self, side: Side) -> NodeIx {
        if side == Side::Dialler { self.dialler } else { self.peer }
    }

    /// The direction that ends at this side.
    pub fn way_to(&mut self, side: Side) -> &mut Direction {
        &mut self.ways[usize::from(side == Side::Dialler)]
    }

    /// Whether this side believes in the connection.
    #[must_use]
    pub fn is_open(&self, side: Side) -> bool {
        self.open[usize::from(side == Side::Peer)]
    }

    /// This side believes no more, and drops what was on its way to it.
    pub fn close(&mut self, side: Side) {
        self.open[usize::from(side == Side::Peer)] = false;
        let way = self.way_to(side);
        way.queue.clear();
        way.bytes = 0;
    }
}

/// How far a feed's read of one replica's log goes.
#[derive(Clone, Copy, Debug)]
pub struct ReadOf {
    pub head: Part,
    pub from: Offset,
    pub until: Offset,
    /// The log that the read was begun on (R39).
    pub log_id: u64,
    /// The entry that the last of its batches has to have in the page cache.
    pub slow: bool,
}
