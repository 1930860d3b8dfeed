//! The words of fetch sessions: what a request asks, which partitions to fetch for it, what was found, what is answered.

use crate::error::ErrorCode;
use crate::ids::{LeaderEpoch, Offset, TopicId};
use std::sync::Arc;

/// A topic as a request names it: all of a session's topics are named in one way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TopicKey {
    /// By its name, before Fetch version 13.
    Name(Arc<str>),
    /// By its id.
    Id(TopicId),
}

/// A partition as a request names it; it need not exist.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Key {
    /// Its topic.
    pub topic: TopicKey,
    /// Its number.
    pub partition: i32,
}

/// What is asked of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// The leader epoch that the client knows; -1: none.
    pub current_leader_epoch: LeaderEpoch,
    /// Where to read from.
    pub fetch_offset: Offset,
    /// The epoch of the last record that it has; -1: not told.
    pub last_fetched_epoch: LeaderEpoch,
    /// Bytes at most.
    pub max_bytes: i32,
}

/// What a client knows of a partition's boundaries; -1: nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its high watermark.
    pub high_watermark: Offset,
    /// Its first offset.
    pub log_start: Offset,
}

impl Default for Known {
    fn default() -> Known {
        Known { high_watermark: -1, log_start: -1 }
    }
}

/// A request, as far as sessions care.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Session it names; 0: none.
    pub session_id: i32,
    /// 0: begin one, if it may; -1: end one, or never have one; else the session's epoch.
    pub epoch: i32,
    /// Whether topics are named by ids (Fetch from version 13).
    pub by_id: bool,
    /// Partitions that are new, or asked for in another way.
    pub parts: Vec<(Key, Wanted)>,
    /// Partitions that are no longer wanted.
    pub forgotten: Vec<Key>,
}

/// What a request turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// No session, and none is to be made.
    Sessionless,
    /// Everything it wants is in it; a session is made of it if there is room.
    Full {
        /// Whether topics are named by ids.
        by_id: bool,
    },
    /// The next step of a session.
    Incremental {
        /// Which.
        id: i32,
        /// The epoch that the next request must name.
        next: i32,
    },
}

/// One partition to be fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Which.
    pub key: Key,
    /// What is asked of it.
    pub wanted: Wanted,
    /// What the client was told of it last.
    pub known: Known,
}

/// What was found out about a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Said {
    /// Its high watermark and log start, as answered.
    pub known: Known,
    /// Bytes of records in the answer.
    pub bytes: usize,
    /// Whether it is an error.
    pub failed: bool,
    /// Whether the client's log parts from this one.
    pub diverges: bool,
}

impl Said {
    /// Whether the client has to be told, and what it knows then.
    pub(super) fn against(&self, known: Known) -> (bool, Known) {
        let news = self.bytes > 0 || self.failed || self.diverges || self.known != known;
        // A high watermark that no partition has: when the error is over, the client is told.
        let high_watermark = if self.failed { -1 } else { self.known.high_watermark };
        (news, Known { high_watermark, ..self.known })
    }
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The session that the client goes on with; 0: none.
    pub session_id: i32,
    /// Which partitions stay in the answer, in the order they were fetched; or the error instead of all of them.
    pub result: Result<Vec<bool>, ErrorCode>,
}

/// The epoch after this one. After the last comes 1: 0 begins a session.
pub(super) fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}
