//! The kinds of faults.
//!
//! Each fault is one event of the run, with its own end. So a failing run can be shortened by leaving faults out, and
//! what is left is the story to read. Faults only take away what the rules allow to be taken: a kill keeps what was
//! written, a power cut what was synced, a stream stays in order.

use std::fmt;

use crate::sim::options::{SECOND, Time};
use crate::sim::step::Step;

/// A node, counted from 0.
pub type NodeIx = usize;
/// A partition of the run, counted from 0.
pub type PartIx = usize;

/// The ends of a connection that hear of its reset at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Both,
    Dialler,
    Peer,
}

/// How the metadata log ends proposals while a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Committed, and the proposer hears nothing for long.
    Late,
    /// Told Unknown, and committed all the same.
    UnknownCommitted,
    /// Told Unknown, and never committed.
    UnknownLost,
    /// Told NotLeader, and never taken.
    NotLeader,
    /// Told that the log refuses it, as on a full disk, and the leadership goes on.
    Refused,
    /// Told Unknown and never taken, and the leadership goes on.
    UnknownSkipped,
}

/// A setting that is changed while load runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    MinIsr(u8),
    Os(bool),
}

/// A part of a node's disk that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    Directory,
    /// The journal of the shard that works. The directory stays.
    Shard,
}

/// How a sync fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncFault {
    /// It gets on record for the next start.
    pub recorded: bool,
    /// The process ends at once; else it goes on with its shard stopped.
    pub ends: bool,
    /// Of what is not synced, this many percent survive the process.
    pub keep: u64,
}

/// One misfortune that the plan of a seed may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process ends. With `host`, its peers see it only by silence.
    Kill {
        node: NodeIx,
        down: Time,
        host: bool,
    },
    /// The power of a node is cut; of what was written and not synced, this many percent survive.
    PowerCut {
        node: NodeIx,
        down: Time,
        keep: u64,
    },
    PowerCutAll {
        down: Time,
        keep: u64,
    },
    /// The process stands still; what comes for it waits.
    Pause {
        node: NodeIx,
        long: Time,
    },
    /// Nothing moves between two nodes.
    Cut {
        a: NodeIx,
        b: NodeIx,
        long: Time,
    },
    /// Nothing moves in one direction.
    OneWay {
        from: NodeIx,
        to: NodeIx,
        long: Time,
    },
    /// Data streams between two nodes stand still in one direction, while everything else flows.
    Stall {
        from: NodeIx,
        to: NodeIx,
        long: Time,
    },
    /// All data connections between two nodes end, and what is in flight is lost.
    Reset {
        a: NodeIx,
        b: NodeIx,
        seen: Seen,
    },
    /// The disk takes this long for each write and sync.
    SlowDisk {
        node: NodeIx,
        long: Time,
        each: Time,
    },
    /// The image stands still, while heartbeats flow.
    CursorStops {
        node: NodeIx,
        long: Time,
    },
    /// Another node leads the metadata log.
    Elect {
        node: NodeIx,
    },
    /// Proposals end otherwise than they should.
    Fates {
        fate: Fate,
        long: Time,
    },
    /// Questions to the controller come twice, and late.
    Repeat {
        long: Time,
    },
    /// Proposals of ISRs take up to ten seconds to the controller, each its own time.
    AsksLate {
        long: Time,
    },
    /// Answers of the controller are lost.
    AnswersLost {
        long: Time,
    },
    /// The actor of a replica fails and is rebuilt.
    ActorFails {
        node: NodeIx,
        part: PartIx,
    },
    /// A wall clock steps by these milliseconds.
    WallSteps {
        node: NodeIx,
        by: i64,
    },
    /// Time passes in which nothing happens anywhere, as if all machines had been suspended.
    Skip {
        long: Time,
    },
    /// An administrator changes a topic.
    Change {
        part: PartIx,
        setting: Setting,
    },
    /// No client writes, so leaderships may pass without a record.
    Quiet {
        long: Time,
    },
    /// The process ends as planned: its log is flushed, and a marker says so.
    Stop {
        node: NodeIx,
        down: Time,
    },
    /// The process ends, and its next start ends behind this durable step, perhaps with the power.
    StartCrash {
        node: NodeIx,
        step: Step,
        power: Option<u64>,
        down: Time,
    },
    /// The process ends, and a part of its disk is gone.
    Lose {
        node: NodeIx,
        what: Lost,
        down: Time,
    },
    /// The directory is copied, whether a process runs on it or not.
    Copy {
        node: NodeIx,
    },
    /// The process ends, and the last copy of its directory is put back.
    PutBack {
        node: NodeIx,
        down: Time,
    },
    /// The next sync fails.
    SyncFails {
        node: NodeIx,
        how: SyncFault,
    },
    /// Bytes of a replica are found to be rotten.
    Rot {
        node: NodeIx,
        part: PartIx,
    },
    /// The next start finds a replica that no image knows.
    Orphan {
        node: NodeIx,
    },
    /// DeleteRecords up to this percentage of the log.
    Delete {
        part: PartIx,
        percent: u64,
    },
}

/// A fault and its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub at: Time,
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} s  {:?}", self.at as f64 / SECOND as f64, self.fault)
    }
}
