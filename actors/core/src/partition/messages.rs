//! The leader's vocabulary: what it is told, what it wants done, what it starts from.

use super::producers::{Forgotten, ProducerTable};
use super::view::View;
use crate::Reject;
use crate::ids::{LeaderEpoch, Offset, Seq, Ticket};
use crate::limits;
use crate::records::{BatchHead, Rules, TimestampBounds};
use crate::storage::{Durability, Entry, Retention};
use crate::time::Millis;

/// What a topic's configuration says to its leaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderConfig {
    /// What an acknowledgement means.
    pub durability: Durability,
    /// `max.message.bytes`.
    pub max_message_bytes: usize,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: i64,
    /// Whether `message.timestamp.type` is `LogAppendTime`.
    pub log_append_time: bool,
    /// Whether `cleanup.policy` contains `compact`: without `delete` beside it records cannot be deleted.
    pub compact: bool,
    /// Whether `cleanup.policy` contains `delete`: without it nothing expires.
    pub delete: bool,
    /// `callboard.validate.records`: whether compressed batches are opened before they are stored.
    pub validate_records: bool,
    /// `retention.ms`; negative: never.
    pub retention_ms: i64,
    /// `retention.bytes`; negative: no bound.
    pub retention_bytes: i64,
    /// `log.retention.check.interval.ms`.
    pub retention_check_ms: u64,
}

impl LeaderConfig {
    /// The edge's rules for a producer's batch.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let bounds = TimestampBounds {
            before_max_ms: self.timestamp_before_max_ms,
            after_max_ms: self.timestamp_after_max_ms,
        };
        Rules {
            max_bytes: self.max_message_bytes,
            open: self.validate_records,
            timestamps: (!self.log_append_time).then_some(bounds),
        }
    }
}

impl Default for LeaderConfig {
    fn default() -> LeaderConfig {
        LeaderConfig {
            durability: Durability::Fsync,
            max_message_bytes: limits::MESSAGE_MAX_BYTES_DEFAULT,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            producer_expiration_ms: 86_400_000,
            log_append_time: false,
            compact: false,
            delete: true,
            validate_records: true,
            retention_ms: 604_800_000,
            retention_bytes: -1,
            retention_check_ms: 300_000,
        }
    }
}

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

/// What can happen to a leader.
#[derive(Clone, Debug)]
pub enum Input {
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
    Configure(LeaderConfig),
    /// The log start is to move up (DeleteRecords). Answered when that is durable.
    Trim {
        /// Names its answer.
        ticket: Ticket,
        /// The new log start; −1: the high watermark.
        to: Offset,
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
    /// A deadline may have passed.
    Tick,
}

/// A batch's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// The broker's timestamp under `LogAppendTime`, else −1; of a batch that was stored before, like Kafka, the largest
    /// timestamp stored.
    pub log_append_time: i64,
    /// The partition's log start.
    pub log_start: Offset,
}

/// What a leader wants done.
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

/// What a leader starts from.
#[derive(Clone, Debug)]
pub struct LeaderStart {
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
    /// Number of the replica's last entry; all up to it are durable.
    pub seq: Seq,
    /// Log start offset.
    pub log_start: Offset,
    /// Log end offset; everything below it is durable.
    pub next: Offset,
    /// Leader epochs so far.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// Producers at `next`.
    pub producers: ProducerTable,
    /// The topic's configuration.
    pub config: LeaderConfig,
    /// Why the replica may not serve.
    pub offline: Option<String>,
}
