//! A leader whose node has had no contact with the controller for a session: what it may still promise.
//!
//! The controller may have fenced the node and let another replica lead. A client that waits here for a batch that cannot
//! be committed any more waits for nothing, so it is sent away to look for the leader anew.
//!
//! ```text
//!   CutOff(true) ─> every member of maxISR answers ─> goes on; acks=1 is answered at the high watermark, as acks=all is
//!              └──> one lacks something and has said nothing for SILENT_MS, or the ISR is below its minimum
//!                     └─> waiting requests and new batches end with Reject::CutOff, until it speaks or CutOff(false)
//! ```
//! A clean election picks a member of the ISR. So a batch that every member of maxISR has cannot be lost by it, whoever
//! leads, and an acknowledgement of such a batch is safe. acks=1 promises less than that while the node has contact.
//! Without contact the leader knows that its own end may be cut, and promises no batch by that end alone.
//!
//! The role stays: only an image ends it. Fetches are served up to the high watermark, as in Kafka. The decision whether
//! the node has contact stands in `node/contact.rs`.

use super::followers::Followers;
use super::log::LocalLog;
use super::progress::SILENT_MS;
use crate::ids::Offset;
use crate::time::Millis;

/// Whether a leader's node is cut off, and when its own log last came on.
#[derive(Clone, Copy, Debug)]
pub struct CutOff {
    on: bool,
    /// The durable end, and the moment at which it was reached or the log was last durable to its end.
    own: (Offset, Millis),
}

impl Default for CutOff {
    fn default() -> CutOff {
        CutOff { on: false, own: (-1, Millis(0)) }
    }
}

impl CutOff {
    /// Whether the node is cut off.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.on
    }

    /// Takes the node's word.
    pub fn set(&mut self, on: bool) {
        self.on = on;
    }

    /// Notes how far this replica's own log is durable.
    pub fn note(&mut self, now: Millis, log: &LocalLog) {
        let end = log.durable_end();
        if end > self.own.0 {
            self.own = (end, now);
        }
    }

    /// A batch is about to be appended. A log that was durable to its end begins to lag now.
    pub fn appends(&mut self, now: Millis, log: &LocalLog) {
        if log.durable_end() >= log.end() {
            self.own = (log.end(), now);
        }
    }

    /// The end below which acks=1 is answered.
    #[must_use]
    pub fn own_end(self, log: &LocalLog) -> Offset {
        if self.on { log.high_watermark() } else { log.durable_end() }
    }

    /// The moment from which on the first member of maxISR does not answer, this replica among them; none if all have
    /// everything.
    #[must_use]
    pub fn silent_at(self, log: &LocalLog, followers: &Followers) -> Option<Millis> {
        let lags = log.durable_end() < log.end();
        let own = lags.then(|| self.own.1.plus(SILENT_MS));
        own.into_iter().chain(followers.silent_at(log)).min()
    }
}
