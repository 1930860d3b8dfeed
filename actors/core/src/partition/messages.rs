//! The replica's vocabulary: inputs that tell it something, and effects that it wants done.
//!
//! The vocabulary carries no bytes. A ticket names the bytes and the waiting answer, which the shell keeps.

use super::config::ReplicaConfig;
use super::feed::Cursor;
use super::log::LogStart;
use super::producers::Forgotten;
use super::replication::{Ack, Answer, Group, Part, Position, PositionNumber};
use super::view::View;
use crate::Reject;
use crate::ids::{BrokerId, LeaderEpoch, Offset, Peer, Seq, Ticket};
use crate::metadata::IsrOutcome;
use crate::records::BatchHead;
use crate::storage::{Durability, Entry, Retention};
use crate::time::Millis;

/// The acknowledgement that a produce request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// The client waits for no answer.
    None,
    /// The batch is durable at the leader.
    Leader,
    /// The batch is durable on every in-sync replica.
    All,
}

impl Acks {
    /// Reads the wire's number: 0, 1 or −1.
    pub fn of(acks: i16) -> Result<Acks, Reject> {
        match acks {
            0 => Ok(Acks::None),
            1 => Ok(Acks::Leader),
            -1 => Ok(Acks::All),
            _ => Err(Reject::InvalidAcks),
        }
    }
}

/// The role that the image gives a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignedRole {
    /// No node leads the partition.
    Idle,
    /// This node leads it, with these replicas.
    Leader(Group),
    Follower {
        leader: BrokerId,
    },
}

/// The image's assignment for one replica, all of it from one image (R7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub role: AssignedRole,
    pub leader_epoch: LeaderEpoch,
    /// The last leader epoch that was elected uncleanly. A follower whose log is older truncates below its high
    /// watermark (R10).
    pub unclean_epoch: Option<LeaderEpoch>,
}

/// How the life of a machine begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The number of the first Position, and the log's first id. It rises over all lives of all replicas of a process, with
    /// room between two.
    pub first_n: PositionNumber,
    /// A former life in this process failed. It may have led, so this one does not lead in the same epoch (R7).
    pub rebuilt: bool,
}

/// The offset to which DeleteRecords moves the log start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// −1 on the wire.
    HighWatermark,
    Offset(Offset),
}

impl TrimTo {
    /// Reads the wire's number. An offset below −1 is refused later, like any that is out of range.
    #[must_use]
    pub fn of(offset: i64) -> TrimTo {
        if offset == -1 { TrimTo::HighWatermark } else { TrimTo::Offset(offset) }
    }
}

/// An event in the life of a replica.
#[derive(Clone, Debug)]
pub enum Input {
    /// The image gives the replica this role.
    Assign(Assigned),
    /// A produce request brings a batch for the log.
    Append {
        /// Another leadership than this one refuses the batch.
        leader_epoch: Option<LeaderEpoch>,
        /// The shell keeps the bytes and the answer under this ticket.
        ticket: Ticket,
        /// The head's offsets and epoch are still the client's.
        head: BatchHead,
        acks: Acks,
        /// The moment at which the request stops waiting.
        deadline: Millis,
    },
    /// A notice of the journal about this replica's entries.
    Persisted {
        /// Last entry in the page cache.
        written: Seq,
        /// Last entry on disk.
        synced: Seq,
    },
    /// The topic's configuration changed.
    Configure(ReplicaConfig),
    /// DeleteRecords wants to move the log start up. The answer goes out when the move is durable.
    Trim {
        /// The shell keeps the answer under this ticket.
        ticket: Ticket,
        to: TrimTo,
        /// The broker has written the live records anew, and so the topic's cleanup policy does not count.
        own: bool,
        /// The moment at which the request stops waiting.
        deadline: Millis,
    },
    /// The answer to `Retain`.
    Expired {
        /// The offset behind the expired records; none if no record has expired or the store could not look.
        to: Option<Offset>,
    },
    /// A follower says where its log ends. The connection's hello says who it is.
    Position { from: Peer, position: Position },
    /// A follower says how far its log is durable.
    Acked { from: Peer, ack: Ack },
    /// A new data connection to this node is up.
    Linked(BrokerId),
    /// The data connection to this node is gone.
    Unlinked(BrokerId),
    /// The node that leads sent a part.
    Part {
        from: BrokerId,
        part: Part,
        /// The shell keeps the bytes of each batch under its ticket.
        batches: Vec<(Ticket, BatchHead)>,
    },
    /// The node that leads did not accept the Position.
    Told { from: BrokerId, answer: Answer },
    /// The controller has judged the ISR that was proposed for this partition epoch.
    IsrSaid { partition_epoch: i32, outcome: IsrOutcome },
    /// The answer to `Rebuild`: the log as the store holds it now.
    Rebuilt(Box<LogStart>),
    /// This node has had no contact with the controller for a session, or has it again.
    CutOff(bool),
    /// The storage under the replica has failed for good.
    ShardFailed(String),
    /// The topic was deleted.
    Delete,
    /// The image no longer lists this node among the partition's replicas.
    Leave,
    /// A deadline may have passed.
    Tick,
}

/// The outcome of a produce request or of DeleteRecords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the batch's first record; for DeleteRecords the log start that was asked for.
    pub base_offset: Offset,
    /// The broker's timestamp under `LogAppendTime`. For a duplicate it is the largest timestamp of the stored batch,
    /// as in Kafka.
    pub log_append_time: Option<i64>,
    pub log_start: Offset,
}

/// An action that a replica wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Journal this entry. For `Append`, the shell sends the bytes kept under `ticket`, with base offset and epoch
    /// written in.
    Journal {
        seq: Seq,
        entry: Entry,
        durability: Durability,
        /// Names the batch of an `Append`; none for other entries.
        ticket: Option<Ticket>,
        /// Under `LogAppendTime`, the Unix milliseconds that all records of the batch get.
        log_append_time: Option<i64>,
    },
    /// The replica's `Open` is durable, and the image may say that the replica exists. Said once.
    Opened,
    /// The replica is offline before its `Open` was durable, and will never say `Opened`.
    Unopened,
    /// Show the new boundaries, and wake the fetches that wait for them.
    Publish(View),
    Answer {
        ticket: Ticket,
        result: Result<Appended, Reject>,
    },
    /// Ask the store how far these rules let the log start go; `Expired` brings the answer.
    Retain {
        /// The log start at this moment.
        from: Offset,
        /// No record at or above this offset may expire.
        until: Offset,
        rules: Retention,
    },
    /// Tell the store which producers are forgotten, so that its next snapshot is without them.
    Forget(Forgotten),
    /// Count this event in the metrics.
    Note(Event),
    /// Keep a data connection to this node. `Linked` answers at once if it is up.
    Follow(BrokerId),
    /// The data connection to this node is not needed any more.
    Unfollow(BrokerId),
    Position {
        to: BrokerId,
        position: Position,
    },
    Ack {
        to: BrokerId,
        ack: Ack,
    },
    /// Answer a Position that is not accepted.
    Reply {
        to: Peer,
        answer: Answer,
    },
    /// A Position is accepted: send from this cursor on, the first part at once.
    Feed(Cursor),
    /// End the feed to this node.
    Unfeed(BrokerId),
    /// Propose this ISR to the controller. `IsrSaid` brings the end.
    ProposeIsr {
        leader_epoch: LeaderEpoch,
        partition_epoch: i32,
        isr: Vec<Peer>,
    },
    /// Ask the controller for a leader epoch above this one, because a former life led in it (R7).
    AskEpoch {
        leader_epoch: LeaderEpoch,
    },
    /// Read the log again, behind the `Truncate` entry. `Rebuilt` answers (R38).
    Rebuild,
    /// The replica cannot serve for some time, or can again: the heartbeat says so.
    Unable(bool),
    /// End the actor by an error. The replica has to go while its log is being read again, and the number of its last
    /// entry is not known here; the supervisor reads the log to its end.
    Abandon,
    /// Warn the operator: acknowledged records may be lost.
    Alarm(String),
}

/// An event worth counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The batch was stored already.
    Duplicate,
    /// The batch was refused.
    Refused,
    /// A request stopped waiting at its deadline.
    TimedOut,
    /// A request ended or was refused, because this node is cut off from the controller.
    CutOff,
    /// Retention moved the log start.
    Expired,
    /// A follower's log differed from its leader's and was cut.
    Truncated,
    /// The leader proposed to take members out of the ISR.
    IsrShrinks,
    /// The leader proposed to take followers into the ISR.
    IsrGrows,
}
