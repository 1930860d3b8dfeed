//! What the metadata log of a stopped node holds, whichever kind of log it is.
//!
//! Both readers fill it, the one of a single node's rows and the one of a voter's; commands over the directory show it. It
//! says how far the log is known to be committed, and judges nothing.

use callboard_core::BrokerId;
use callboard_core::metadata::Image;

/// The metadata that a directory holds.
#[derive(Clone, Debug)]
pub struct Kept {
    /// With every entry of the log, whether or not it is known to be committed.
    pub image: Image,
    /// The index of the last entry that is known to be committed; of a single node the last one.
    pub committed: Option<u64>,
    /// The index of the last entry.
    pub last: u64,
    pub term: u64,
    /// The voters by the last membership in the log; none for a single node.
    pub voters: Vec<BrokerId>,
}
