//! The metadata log as machines see it: one ordered stream of commits and leaderships.
//!
//! ```text
//!   Snapshot ─> Lead(term 5, node 1) ─> Batch 18 ─> Batch 19 ─> Lead(term 7, node 2) ─> Batch 21 ─> …
//! ```
//!
//! Leadership travels in the stream itself. A controller that hears it anywhere else may decide on an image that
//! lacks the last commits of its predecessor (R35). A new leadership also ends every proposal of an earlier one,
//! because the log takes no entry of an earlier term behind it.
//!
//! This file holds only the vocabulary. The port in `callboard-actors` says how a log behaves, and adapters move the
//! bytes.

use super::image::Image;
use super::record::MetadataRecord;
use crate::ids::BrokerId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One leadership of the metadata log. A term alone does not name it: two nodes may each lead in the same term (R45).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Leadership {
    pub term: u64,
    pub node: BrokerId,
}

/// Names one proposal for ever: the node that proposed it, and that node's own number for it.
///
/// Numbers count up from a start that the process draws at random from 2^62 values. The start is neither stored nor
/// derived from a clock, because a restored disk or a clock that was set back would repeat it. A replicated log may
/// commit a batch of a former life after the restart, and its number then matches no proposal of the new life.
/// A log that stores no ids gives `None` for the batches that it read from its disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ProposalId {
    pub node: BrokerId,
    pub number: u64,
}

impl ProposalId {
    /// The id that the same node gives to its next proposal.
    #[must_use]
    pub fn next(self) -> ProposalId {
        ProposalId { number: self.number.wrapping_add(1), ..self }
    }
}

/// One event of the stream.
#[derive(Clone, Debug)]
pub enum Committed {
    /// Everything up to an index. It begins the stream, and comes again where a log skips ahead.
    Snapshot { image: Arc<Image>, index: u64 },
    /// A node leads from here on. All that was committed under earlier leaderships stands before this event.
    Lead(Leadership),
    /// One committed batch. `proposal` is `None` where a former process proposed it.
    Batch { index: u64, proposal: Option<ProposalId>, records: Arc<Vec<MetadataRecord>> },
}

/// How a proposal ended, as far as the log can tell its proposer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProposeResult {
    /// The batch is committed at this index.
    Committed(u64),
    /// The log never took the batch: another leadership holds, or the log is closed.
    NotLeader,
    /// The log certainly does not hold the batch and goes on, for instance on a full disk. The text says why.
    Refused(String),
    /// The batch may or may not be committed; only the stream can tell. The text says why.
    Unknown(String),
}
