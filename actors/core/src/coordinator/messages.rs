//! The words of a coordinator's machine: its settings, what happens to it, what it wants done.
//!
//! ```text
//!   Marked ──> Read ──> Loaded ──> Serve          Store ──> Append ──> Appended ──> Stored
//!   Rewrite ──> Rewritten ──> Trim ──> Trimmed    Close ──> Close     (a refusal that says so) ──> Retire
//! ```

use crate::Reject;
use crate::ids::{Offset, Ticket};

/// Bounds and times of a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoordinatorConfig {
    /// While a batch is in flight, records wait at most this long for company.
    pub gather_ms: u64,
    /// This many waiting bytes end the wait.
    pub gather_bytes: usize,
    /// A rewrite begins when the log has more bytes than this and more than `rewrite_factor` times what was live.
    pub rewrite_bytes: u64,
    pub rewrite_factor: u64,
}

impl Default for CoordinatorConfig {
    fn default() -> CoordinatorConfig {
        CoordinatorConfig {
            gather_ms: 5,
            gather_bytes: 64 * 1024,
            rewrite_bytes: 64 * 1024 * 1024,
            rewrite_factor: 4,
        }
    }
}

/// What happens to a coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The replica told its log end, behind everything that a former coordinator appended, and its high watermark.
    Marked {
        end: Offset,
        high_watermark: Offset,
    },
    /// The high watermark moved here.
    Advanced(Offset),
    /// The log was loaded: its bytes up to the mark, and how many of them are the newest record of a key.
    Loaded {
        bytes: u64,
        live: u64,
    },
    /// The log was not read, because this node does not lead the partition now.
    NotLed,
    /// An entity has records to store. They are kept under the ticket, in parts of these bytes.
    Store(Ticket, Vec<usize>),
    /// A batch of this many bytes is committed, at this offset, or was refused.
    Appended {
        batch: u64,
        bytes: u64,
        result: Result<Offset, Reject>,
    },
    /// Whether every entity has written its live state again.
    Rewritten(bool),
    /// Whether the log start has moved.
    Trimmed(bool),
    Close,
    /// A deadline may have passed.
    Tick,
}

/// What a coordinator wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Read the log up to this offset; answered by `Loaded` or `NotLed`.
    Read(Offset),
    /// Take requests from now on, because the log is loaded.
    Serve,
    /// Append these parts (a ticket, and the number of the part) as one batch.
    Append(u64, Vec<(Ticket, usize)>),
    /// Tell the entity that its store is committed, or why the partition's leader refused it.
    Stored(Ticket, Result<(), Reject>),
    /// Ask every entity to write its live state again.
    Rewrite,
    /// Move the log start here.
    Trim(Offset),
    /// Take no more requests and tell those that wait: this node does not lead the partition any more.
    Retire,
    /// The same, because the node ends.
    Close,
}
