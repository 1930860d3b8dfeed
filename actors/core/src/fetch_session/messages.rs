//! The vocabulary of fetch sessions: a request, the partitions to fetch for it, the findings, and the verdict.

use crate::error::ErrorCode;
use crate::ids::{LeaderEpoch, Offset, TopicId};
use std::sync::Arc;

/// A topic as a request names it; all topics of a session are named in the same way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TopicKey {
    /// By its name, before Fetch version 13.
    Name(Arc<str>),
    Id(TopicId),
}

/// A partition as a request names it; it need not exist.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Key {
    pub topic: TopicKey,
    pub partition: i32,
}

/// The wish of a client for one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// The leader epoch that the client knows; -1: none.
    pub current_leader_epoch: LeaderEpoch,
    pub fetch_offset: Offset,
    /// The epoch of the client's last record; -1: not told.
    pub last_fetched_epoch: LeaderEpoch,
    pub max_bytes: i32,
}

/// The boundaries of a partition that a client knows; -1: none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    pub high_watermark: Offset,
    pub log_start: Offset,
}

impl Default for Known {
    fn default() -> Known {
        Known { high_watermark: -1, log_start: -1 }
    }
}

/// The part of a Fetch request that sessions look at.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// 0 names no session.
    pub session_id: i32,
    /// 0 begins a session; -1 ends one, or wants none; else the epoch of the session.
    pub epoch: i32,
    /// Whether topics are named by ids (Fetch from version 13).
    pub by_id: bool,
    /// Partitions that are new, or have a new wish.
    pub parts: Vec<(Key, Wanted)>,
    /// Partitions that are no longer wanted.
    pub forgotten: Vec<Key>,
}

/// The kind of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It has no session and wants none.
    Sessionless,
    /// It names all that it wants; a session is made of it if there is room.
    Full {
        /// Whether topics are named by ids.
        by_id: bool,
    },
    /// It is the next step of a session.
    Incremental {
        id: i32,
        /// The epoch that the next request must name.
        next: i32,
    },
}

/// One partition to be fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    pub key: Key,
    pub wanted: Wanted,
    /// What the client heard of it last.
    pub known: Known,
}

/// The findings of a fetch of one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Said {
    /// As they are answered.
    pub known: Known,
    /// Bytes of records in the answer.
    pub bytes: usize,
    /// Whether it is an error.
    pub failed: bool,
    /// Whether the client's log diverges from this one.
    pub diverges: bool,
}

impl Said {
    /// Whether the client must hear of it, and what the client knows then.
    pub(super) fn against(&self, known: Known) -> (bool, Known) {
        let news = self.bytes > 0 || self.failed || self.diverges || self.known != known;
        // No partition has this high watermark, so the client hears when the error is over.
        let high_watermark = if self.failed { -1 } else { self.known.high_watermark };
        (news, Known { high_watermark, ..self.known })
    }
}

/// The outcome of a request for its session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The session that the client goes on with; 0: none.
    pub session_id: i32,
    /// Whether each partition stays in the answer, in the order of the fetch; or the error in place of all.
    pub result: Result<Vec<bool>, ErrorCode>,
}

/// The epoch after this one. The last is followed by 1, because 0 begins a session.
pub(super) fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}
