//! The replica's vocabulary: what it is told, and what it wants done.

use super::config::ReplicaConfig;
use super::producers::Forgotten;
use super::view::View;
use crate::Reject;
use crate::ids::{LeaderEpoch, Offset, Seq, Ticket};
use crate::records::BatchHead;
use crate::storage::{Durability, Entry, Retention};
use crate::time::Millis;

/// Which acknowledgement a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// None: the client does not wait.
    None,
    /// Durable at the leader.
    Leader,
    /// Durable on every in-sync replica.
    All,
}

impl Acks {
    /// From the wire.
    pub fn of(acks: i16) -> Result<Acks, Reject> {
        match acks {
            0 => Ok(Acks::None),
            1 => Ok(Acks::Leader),
            -1 => Ok(Acks::All),
            _ => Err(Reject::InvalidAcks),
        }
    }
}

/// The role that the image gives a replica. A follower's comes with replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignedRole {
    /// Another node leads, or none does.
    Idle,
    Leader,
}

/// What the image says of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub role: AssignedRole,
    pub leader_epoch: LeaderEpoch,
}

/// Where DeleteRecords moves the log start to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// −1 on the wire.
    HighWatermark,
    Offset(Offset),
}

impl TrimTo {
    /// From the wire. An offset below −1 is refused later, like any that is out of range.
    #[must_use]
    pub fn of(offset: i64) -> TrimTo {
        if offset == -1 { TrimTo::HighWatermark } else { TrimTo::Offset(offset) }
    }
}

/// What can happen to a replica.
#[derive(Clone, Debug)]
pub enum Input {
    /// The image gives it this role.
    Assign(Assigned),
    /// A batch wants in.
    Append {
        /// Names its bytes and its answer.
        ticket: Ticket,
        /// What it is; its offsets and epoch are still the client's.
        head: BatchHead,
        /// When to answer.
        acks: Acks,
        /// When to give up waiting.
        deadline: Millis,
    },
    /// Entries have come this far.
    Persisted {
        /// Last entry in the page cache.
        written: Seq,
        /// Last entry on disk.
        synced: Seq,
    },
    /// The topic's configuration changed.
    Configure(ReplicaConfig),
    /// The log start is to move up (DeleteRecords). Answered when that is durable.
    Trim {
        /// Names its answer.
        ticket: Ticket,
        to: TrimTo,
        /// The broker has written anew what is live: the topic's policy is not asked.
        own: bool,
    },
    /// The answer to `Retain`.
    Expired {
        /// Behind what has expired; none if nothing has, or nobody knows.
        to: Option<Offset>,
    },
    /// The storage under it has failed for good.
    ShardFailed(String),
    /// The topic was deleted.
    Delete,
    /// The image lists this node among the partition's replicas no more.
    Leave,
    /// A deadline may have passed.
    Tick,
}

/// A batch's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// The broker's timestamp under `LogAppendTime`; of a batch that was stored before, like Kafka, the largest timestamp
    /// stored.
    pub log_append_time: Option<i64>,
    /// The partition's log start.
    pub log_start: Offset,
}

/// What a replica wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Journal this entry; for `Append`, the bytes kept under `ticket` go with it, base offset, epoch and, if it has one,
    /// the broker's time written in.
    Journal {
        /// Its number.
        seq: Seq,
        /// The change.
        entry: Entry,
        /// Whether it waits for a sync.
        durability: Durability,
        /// Whose bytes.
        ticket: Option<Ticket>,
        /// Under `LogAppendTime`: the time of all its records.
        log_append_time: Option<i64>,
    },
    /// The replica's `Open` is durable: the image may say that it exists. Said once.
    Opened,
    /// Show the new boundaries and wake who waits for them.
    Publish(View),
    /// Answer this ticket.
    Answer {
        /// Which.
        ticket: Ticket,
        /// With what.
        result: Result<Appended, Reject>,
    },
    /// Ask the store how far these rules let the log start go; `Expired` brings the answer.
    Retain {
        /// The log start now.
        from: Offset,
        /// Nothing at or above goes.
        until: Offset,
        /// The rules.
        rules: Retention,
    },
    /// Tell the store which producers are forgotten: its snapshots need them no more.
    Forget(Forgotten),
    /// Count and log.
    Note(Event),
}

/// What is worth counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A batch was stored already.
    Duplicate,
    /// A batch was refused.
    Refused,
    /// A wait ended at its deadline.
    TimedOut,
    /// Retention moved the log start.
    Expired,
}
