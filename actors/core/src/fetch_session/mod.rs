//! Fetch sessions (KIP-227): a consumer names its partitions once, then only what changes; the answer leaves out what
//! has not changed.
//!
//! ```text
//!   request ─> begin ─┬ Sessionless, Full ─────────> the request's own partitions ─┐
//!                     ├ Incremental ─> partitions of the session, in its order ────┤  the caller fetches them
//!                     └ an error code                                              v
//!   response <── which partitions stay in it, the session's id <──────────────── finish
//! ```
//!
//! A session is its partitions (what was asked of each, what was said of each) and an epoch that both sides count. A
//! partition that brought records goes to the end of the order, so that a response limit starves none. The cache is
//! bounded by slots and by bytes (`cache.rs`). It does not fetch, and never looks at a clock: `now` and a number for new
//! ids come with the calls.

mod cache;
mod session;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

pub use cache::{FetchSessions, Limits};
pub use session::{Key, Known, TopicKey, Wanted};

use crate::error::ErrorCode;

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
    fn against(&self, known: Known) -> (bool, Known) {
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
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}
