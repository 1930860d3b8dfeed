//! Refusals: why a connection ended at its hello, in words on both sides, counted, and never a flood of lines.
//!
//! ```text
//!   this side refuses ──> answer { reason, words } and close "reason: words" ──> the other side logs and counts it too
//! ```
//! Words of a peer are text of a stranger: control characters go, and so does everything behind 300 characters. Whether
//! to refuse is not decided here.

use callboard_core::bootstrap::hello::HelloRefusal;
use parking_lot::Mutex;
use quinn::{Connection, ConnectionError, VarInt};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A connection ends with this code when a node goes, or needs it no longer.
pub(super) const DONE: u32 = 0;
/// A connection ends with this code when its hello is refused.
const REFUSED: u32 = 1;
/// One line for each address and reason in this time.
const QUIET: Duration = Duration::from_secs(60);
/// Lines that are remembered, and so lines of one `QUIET` at most.
const LINES: usize = 256;
const LONGEST: usize = 300;

/// The kind of a refusal: the label of its counter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Reason {
    Secret,
    Version,
    Cluster,
    Uuid,
    OldDirectory,
    Removed,
    /// A data connection of a node without a broker epoch or an id.
    Unregistered,
    /// This node does not take data connections yet.
    Starting,
    Malformed,
}

impl Reason {
    pub(super) const ALL: [Reason; 9] = [
        Reason::Secret,
        Reason::Version,
        Reason::Cluster,
        Reason::Uuid,
        Reason::OldDirectory,
        Reason::Removed,
        Reason::Unregistered,
        Reason::Starting,
        Reason::Malformed,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Reason::Secret => "secret",
            Reason::Version => "version",
            Reason::Cluster => "cluster",
            Reason::Uuid => "uuid",
            Reason::OldDirectory => "old_directory",
            Reason::Removed => "removed",
            Reason::Unregistered => "unregistered",
            Reason::Starting => "starting",
            Reason::Malformed => "malformed",
        }
    }

    /// Reads a peer's word. A newer release may know more reasons.
    pub(super) fn of(name: &str) -> Reason {
        Reason::ALL.into_iter().find(|reason| reason.name() == name).unwrap_or(Reason::Malformed)
    }
}

/// A refusal, of this side or of the other.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{words}")]
pub(super) struct Refusal {
    pub reason: Reason,
    pub words: String,
}

impl Refusal {
    pub(super) fn new(reason: Reason, words: &str) -> Refusal {
        Refusal { reason, words: plain(words) }
    }

    /// Ends the connection with the words.
    pub(super) fn close(&self, connection: &Connection) {
        let words = format!("{}: {}", self.reason.name(), self.words);
        connection.close(VarInt::from_u32(REFUSED), words.as_bytes());
    }

    /// The refusal that a peer closed the connection with.
    pub(super) fn told(error: &ConnectionError) -> Option<Refusal> {
        let ConnectionError::ApplicationClosed(close) = error else { return None };
        if close.error_code != VarInt::from_u32(REFUSED) {
            return None;
        }
        let text = String::from_utf8_lossy(&close.reason);
        let (reason, words) = text.split_once(": ").unwrap_or(("malformed", &text));
        Some(Refusal::new(Reason::of(reason), words))
    }
}

impl From<HelloRefusal> for Refusal {
    fn from(refusal: HelloRefusal) -> Refusal {
        let reason = match refusal {
            HelloRefusal::Version { .. } => Reason::Version,
            HelloRefusal::Cluster { .. } | HelloRefusal::ClusterEpoch { .. } => Reason::Cluster,
            HelloRefusal::OtherNode { .. } | HelloRefusal::OtherKey => Reason::Uuid,
            HelloRefusal::OldDirectory => Reason::OldDirectory,
            HelloRefusal::Removed => Reason::Removed,
        };
        Refusal::new(reason, &refusal.to_string())
    }
}

/// Text of a peer, fit for a line.
pub(super) fn plain(words: &str) -> String {
    words.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The side that refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum By {
    Us,
    Peer,
}

/// All refusals of the process: counted each, told seldom.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    counts: [AtomicU64; Reason::ALL.len()],
    lines: Mutex<HashMap<(SocketAddr, Reason), Instant>>,
    last: Mutex<Option<(Instant, String)>>,
}

impl Refusals {
    /// Counts a refusal, and says it unless it was said a short while ago.
    pub(super) fn note(&self, by: By, address: SocketAddr, refusal: &Refusal) {
        if let Some(count) = self.counts.get(refusal.reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let (now, words) = (Instant::now(), &refusal.words);
        let line = match by {
            By::Us => format!("refused the node at {address}: {words}"),
            By::Peer => format!("the node at {address} refuses this one: {words}"),
        };
        if self.speaks(address, refusal.reason, now) {
            tracing::warn!("{line}");
        }
        *self.last.lock() = Some((now, line));
    }

    /// The last refusal of either side, unless it was long ago.
    pub(super) fn last(&self, now: Instant) -> Option<String> {
        let last = self.last.lock();
        let (_, line) = last.as_ref().filter(|(at, _)| now.saturating_duration_since(*at) < QUIET)?;
        Some(line.clone())
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().zip(&self.counts).map(|(reason, n)| (reason, n.load(Ordering::Relaxed)))
    }

    fn speaks(&self, address: SocketAddr, reason: Reason, now: Instant) -> bool {
        let mut lines = self.lines.lock();
        lines.retain(|_, said| now.saturating_duration_since(*said) < QUIET);
        if lines.len() >= LINES || lines.contains_key(&(address, reason)) {
            return false;
        }
        lines.insert((address, reason), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_place_and_its_name() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
            assert_eq!(Reason::of(reason.name()), reason);
        }
        assert_eq!(Reason::of("newer"), Reason::Malformed);
    }

    #[test]
    fn a_line_is_said_once_a_minute_for_each_address_and_reason() {
        let refusals = Refusals::default();
        let now = Instant::now();
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert!(refusals.speaks(at(1), Reason::Secret, now));
        assert!(!refusals.speaks(at(1), Reason::Secret, now + Duration::from_secs(59)));
        assert!(refusals.speaks(at(1), Reason::Cluster, now));
        assert!(refusals.speaks(at(2), Reason::Secret, now));
        assert!(refusals.speaks(at(1), Reason::Secret, now + QUIET));
        let later = now + QUIET * 3;
        let said = (0..1000).filter(|port| refusals.speaks(at(*port), Reason::Secret, later)).count();
        assert_eq!(said, LINES);
    }

    #[test]
    fn the_last_refusal_is_told_for_a_minute() {
        let refusals = Refusals::default();
        assert_eq!(refusals.last(Instant::now()), None);
        let at = SocketAddr::from(([127, 0, 0, 1], 7));
        for words in ["first", "second"] {
            refusals.note(By::Peer, at, &Refusal::new(Reason::OldDirectory, words));
        }
        let told = "the node at 127.0.0.1:7 refuses this one: second";
        assert_eq!(refusals.last(Instant::now()).as_deref(), Some(told));
        assert_eq!(refusals.last(Instant::now() + QUIET), None);
    }

    #[test]
    fn words_of_a_peer_become_one_short_line() {
        let words = plain(&format!("a\nb\u{1b}[31m{}", "x".repeat(1000)));
        assert!(words.starts_with("a b [31mx") && words.chars().count() == LONGEST, "{words}");
    }
}
