//! The words of replication as items of a frame, and back.
//!
//! An item names its partition, the leader epoch and the number of a Position; the rest is the word's own. Numbers that no
//! node can mean (a negative offset, an epoch below none) are refused here, so core sees sound words only.
//!
//! ```text
//!   place of a part         previous epoch   previous offset
//!   Nothing                       -2               -2
//!   Restart                       -1               -1
//!   After, epoch unknown          -1            0 and above
//!   After                     0 and above      0 and above
//! ```
//!
//! Batches are no words: a frame carries them behind its items.

use super::frame::{
    self, ArchivedAck, ArchivedDiverge, ArchivedLogEnd, ArchivedPart, ArchivedPosition, ArchivedRefused,
    ArchivedSubject, LogEnd, Subject,
};
use callboard_core::partition::{Ack, Answer, Continuity, Part, Position, RefusedFor};
use callboard_core::{LeaderEpoch, Offset, TopicId, TopicPartition};

/// The place of a part without bytes, which is never matched.
const NOTHING: LogEnd = LogEnd { epoch: -2, offset: -2 };

/// A number that no node can mean. Whoever sent it is not to be trusted with the stream's rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {value}, which no node sends: the connection is closed")]
pub struct WordError {
    what: &'static str,
    value: i64,
}

type Word<T> = Result<(TopicPartition, T), WordError>;

fn refuse<T>(what: &'static str, value: impl Into<i64>) -> Result<T, WordError> {
    Err(WordError { what, value: value.into() })
}

fn offset(what: &'static str, value: i64) -> Result<Offset, WordError> {
    if value < 0 { refuse(what, value) } else { Ok(value) }
}

/// An epoch, or none for -1.
fn epoch(what: &'static str, value: i32) -> Result<Option<LeaderEpoch>, WordError> {
    match value {
        -1 => Ok(None),
        0.. => Ok(Some(value)),
        _ => refuse(what, value),
    }
}

fn subject(id: TopicPartition, leader_epoch: LeaderEpoch, n: u64) -> Subject {
    Subject { topic: id.topic.0, partition: id.partition, leader_epoch, n }
}

fn named(subject: &ArchivedSubject) -> Result<(TopicPartition, LeaderEpoch, u64), WordError> {
    let Subject { topic, partition, leader_epoch, n } = subject.to_native();
    if partition < 0 {
        return refuse("a partition", partition);
    }
    if leader_epoch < 0 {
        return refuse("a leader epoch", leader_epoch);
    }
    Ok((TopicPartition { topic: TopicId(topic), partition }, leader_epoch, n))
}

/// A part as an item. Its bytes are counted as batches are added.
#[must_use]
pub fn part(id: TopicPartition, part: &Part) -> frame::Part {
    let previous = match part.place {
        Continuity::Nothing => NOTHING,
        Continuity::Restart => LogEnd::NONE,
        Continuity::After { epoch, end } => LogEnd { epoch: epoch.unwrap_or(-1), offset: end },
    };
    frame::Part {
        subject: subject(id, part.leader_epoch, part.n),
        previous,
        high_watermark: part.high_watermark,
        log_start: part.log_start,
        bytes: 0,
    }
}

/// The part that an item tells of.
pub fn read_part(item: &ArchivedPart) -> Word<Part> {
    let (id, leader_epoch, n) = named(&item.subject)?;
    let place = match item.previous.to_native() {
        NOTHING => Continuity::Nothing,
        LogEnd::NONE => Continuity::Restart,
        LogEnd { epoch: last, offset: end } => {
            Continuity::After { epoch: epoch("a previous epoch", last)?, end: offset("a previous end", end)? }
        }
    };
    let high_watermark = offset("a high watermark", item.high_watermark.to_native())?;
    let log_start = offset("a log start", item.log_start.to_native())?;
    Ok((id, Part { leader_epoch, n, place, high_watermark, log_start }))
}

/// A Position as an item.
#[must_use]
pub fn position(id: TopicPartition, position: &Position) -> frame::Position {
    frame::Position {
        subject: subject(id, position.leader_epoch, position.n),
        end: LogEnd { epoch: position.last_epoch.unwrap_or(-1), offset: position.end },
        written: position.written,
        synced: position.synced,
        log_start: position.log_start,
    }
}

/// The Position that an item tells of.
pub fn read_position(item: &ArchivedPosition) -> Word<Position> {
    let (id, leader_epoch, n) = named(&item.subject)?;
    let (last_epoch, end) = log_end(&item.end)?;
    let position = Position {
        leader_epoch,
        n,
        end,
        last_epoch,
        written: offset("a written end", item.written.to_native())?,
        synced: offset("a synced end", item.synced.to_native())?,
        log_start: offset("a log start", item.log_start.to_native())?,
    };
    Ok((id, position))
}

/// An acknowledgement as an item.
#[must_use]
pub fn ack(id: TopicPartition, ack: &Ack) -> frame::Ack {
    frame::Ack {
        subject: subject(id, ack.leader_epoch, ack.n),
        written: ack.written,
        synced: ack.synced,
        log_start: ack.log_start,
    }
}

/// The acknowledgement that an item tells of.
pub fn read_ack(item: &ArchivedAck) -> Word<Ack> {
    let (id, leader_epoch, n) = named(&item.subject)?;
    let ack = Ack {
        leader_epoch,
        n,
        written: offset("a written end", item.written.to_native())?,
        synced: offset("a synced end", item.synced.to_native())?,
        log_start: offset("a log start", item.log_start.to_native())?,
    };
    Ok((id, ack))
}

/// An answer as an item of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Diverge(frame::Diverge),
    Refused(frame::Refused),
}

/// A leader's answer as an item.
#[must_use]
pub fn answer(id: TopicPartition, answer: &Answer) -> Answered {
    match *answer {
        Answer::Diverge { leader_epoch, n, epoch, end } => Answered::Diverge(frame::Diverge {
            subject: subject(id, leader_epoch, n),
            end: LogEnd { epoch: epoch.unwrap_or(-1), offset: end },
        }),
        Answer::Refused { leader_epoch, n, why } => {
            Answered::Refused(frame::Refused { subject: subject(id, leader_epoch, n), why: code(why) })
        }
    }
}

/// The answer that an item tells of: the logs part.
pub fn read_diverge(item: &ArchivedDiverge) -> Word<Answer> {
    let (id, leader_epoch, n) = named(&item.subject)?;
    let (epoch, end) = log_end(&item.end)?;
    Ok((id, Answer::Diverge { leader_epoch, n, epoch, end }))
}

/// The answer that an item tells of: a refusal. A reason of a later version says no more than that the follower asks again.
pub fn read_refused(item: &ArchivedRefused) -> Word<Answer> {
    let (id, leader_epoch, n) = named(&item.subject)?;
    let why = match item.why.to_native() {
        1 => RefusedFor::OldEpoch,
        2 => RefusedFor::NotLeading,
        _ => RefusedFor::Behind,
    };
    Ok((id, Answer::Refused { leader_epoch, n, why }))
}

fn code(why: RefusedFor) -> u16 {
    match why {
        RefusedFor::Behind => 0,
        RefusedFor::OldEpoch => 1,
        RefusedFor::NotLeading => 2,
    }
}

fn log_end(end: &ArchivedLogEnd) -> Result<(Option<LeaderEpoch>, Offset), WordError> {
    let LogEnd { epoch: last, offset: end } = end.to_native();
    Ok((epoch("a last epoch", last)?, offset("an end", end)?))
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
