//! A voter of the metadata log: the entries on its disk, and whether it votes.
//!
//! `voters.rs` says who is elected by that.

use crate::sim::options::NODES_MAX;

/// One voter's disk, as far as the metadata log goes.
#[derive(Clone, Copy, Debug)]
pub struct Voter {
    /// Entries from the first on that it holds.
    pub holds: usize,
    pub votes: bool,
}

/// All nodes are voters at the start.
pub const FOUNDERS: [Voter; NODES_MAX] = [Voter { holds: 0, votes: true }; NODES_MAX];
