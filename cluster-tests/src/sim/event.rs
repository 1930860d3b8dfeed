//! Everything that can happen in a run, in one ordered map of (time, number) → event.
//!
//! The number rises with each event, so two events of one moment happen in the order in which they were planned. Nothing
//! else in a run decides an order.

use std::collections::BTreeMap;

use callboard_core::metadata::controller::Ask;
use callboard_core::metadata::{Leadership, MetadataRecord, ProposalId, ProposeResult};

use crate::sim::disk::Notice;
use crate::sim::faults::{NodeIx, PartIx};
use crate::sim::messages::{Control, Said};
use crate::sim::network::{ConnIx, Side};
use crate::sim::options::Time;

/// The machine of a node whose deadline has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    Replica(PartIx),
    Node,
    Controller,
    Sessions,
    Proposer,
}

/// An event at one node in one life of its process. It waits while the process is paused, and goes with the process.
#[derive(Clone, Debug)]
pub enum AtNode {
    Tick(Who),
    /// The writer's group is in the page cache.
    Wrote,
    Synced,
    BackgroundSync,
    Notice(Notice),
    /// The log of a replica was read again, behind its fence.
    Rebuilt(PartIx, u64),
    /// Stores the high watermarks as hints.
    Settle,
    Dial(NodeIx),
    FlushAcks(NodeIx),
    /// A subscription's turn to send.
    FeedTurn(ConnIx),
    /// A slow read of the feed has ended.
    SlowRead(ConnIx, PartIx),
    Heartbeat,
    /// The metadata log has something to apply.
    Apply,
    /// The same, after it could not.
    ApplyAgain,
    /// This node has become the leader of the metadata log; a mutant says so before the commits.
    LeadsTooEarly(Leadership),
    Proposed(ProposalId, ProposeResult),
    Control(Box<Control>),
    /// A question gets no answer in time.
    AskTimedOut(u64),
    /// The node registers, until it is registered.
    Register,
    /// The process ends, as planned or because its shard has stopped.
    Stop,
    /// A client's request, by its number.
    Request(u32),
}

/// An event of the run.
#[derive(Clone, Debug)]
pub enum Event {
    At(NodeIx, u64, AtNode),
    Fault(usize),
    Restart(NodeIx),
    Deliver(ConnIx, Side),
    /// The dialler has heard the hello of the peer.
    Linked(ConnIx),
    /// This side has heard nothing for the idle timeout.
    Idle(ConnIx, Side),
    /// This side hears that the connection is gone.
    CloseSeen(ConnIx, Side),
    /// A batch comes to the metadata log.
    Propose(NodeIx, u64, Leadership, ProposalId, Vec<MetadataRecord>),
    Commit,
    /// A node without a controller in reach asks to be elected.
    Campaign,
    Produce(usize),
    /// A producer sends a batch of this partition and sequence again.
    Resend(usize, PartIx, i32),
    Answered(u32, Said),
    GiveUp(u32),
    Consume,
    /// A client asks the controller for something, whichever node that is.
    Admin(Box<Ask>),
    /// A client asks for the topics of the run until they are there.
    CreateTopics,
    /// A node whose image stands still should be fenced by now; first of all, what was committed since.
    Stale {
        node: NodeIx,
        began: Time,
        committed: Option<usize>,
    },
    Heal,
    LookForPeace,
}

/// The events to come.
#[derive(Debug, Default)]
pub struct Queue {
    events: BTreeMap<(Time, u64), Event>,
    number: u64,
}

impl Queue {
    /// Plans an event for this moment, behind those already planned for it.
    pub fn push(&mut self, at: Time, event: Event) {
        self.number += 1;
        self.events.insert((at, self.number), event);
    }

    /// Takes the next event.
    pub fn pop(&mut self) -> Option<(Time, Event)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}

/// The kind of an event as a small number, for the run's hash.
#[must_use]
pub fn kind(event: &Event) -> u64 {
    match event {
        Event::At(node, _, at) => 1 + *node as u64 * 32 + at_kind(at),
        Event::Fault(number) => 1_000 + *number as u64,
        Event::Restart(node) => 300 + *node as u64,
        Event::Deliver(conn, side) => 10_000 + *conn as u64 * 2 + u64::from(*side == Side::Peer),
        Event::Linked(conn) => 2_000_000 + *conn as u64,
        Event::Idle(conn, side) => 3_000_000 + *conn as u64 * 2 + u64::from(*side == Side::Peer),
        Event::CloseSeen(conn, side) => 4_000_000 + *conn as u64 * 2 + u64::from(*side == Side::Peer),
        Event::Propose(node, ..) => 400 + *node as u64,
        Event::Commit => 500,
        Event::Campaign => 501,
        Event::Produce(producer) => 600 + *producer as u64,
        Event::Answered(request, _) => 5_000_000 + u64::from(*request),
        Event::GiveUp(request) => 6_000_000 + u64::from(*request),
        Event::Resend(producer, part, _) => 700 + *producer as u64 * 8 + *part as u64,
        Event::Consume => 502,
        Event::Admin(_) => 503,
        Event::CreateTopics => 506,
        Event::Stale { node, .. } => 510 + *node as u64,
        Event::Heal => 504,
        Event::LookForPeace => 505,
    }
}

fn at_kind(at: &AtNode) -> u64 {
    match at {
        AtNode::Tick(_) => 0,
        AtNode::Wrote => 1,
        AtNode::Synced => 2,
        AtNode::BackgroundSync => 3,
        AtNode::Notice(_) => 4,
        AtNode::Rebuilt(..) => 5,
        AtNode::Settle => 6,
        AtNode::Dial(_) => 7,
        AtNode::FlushAcks(_) => 8,
        AtNode::FeedTurn(_) => 9,
        AtNode::SlowRead(..) => 10,
        AtNode::Heartbeat => 11,
        AtNode::Apply => 12,
        AtNode::LeadsTooEarly(_) => 13,
        AtNode::Proposed(..) => 14,
        AtNode::Control(_) => 15,
        AtNode::AskTimedOut(_) => 16,
        AtNode::Register => 17,
        AtNode::Request(_) => 18,
        AtNode::ApplyAgain => 19,
        AtNode::Stop => 20,
    }
}
