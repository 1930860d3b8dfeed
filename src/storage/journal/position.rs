//! Positions in a shard's stream, with the checksum that proves what lies there.
//!
//! A bare position says where something should be. These two also say what has to be found there, so that stale bytes of
//! an overwritten segment are not taken for new ones.

use callboard_core::Lsn;

/// Up to where the journal is synced, and the checksum of the last group there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncedTo {
    pub lsn: Lsn,
    pub crc: u32,
}

/// Where a stretch of whole batches lies in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First position of the segment.
    pub segment: Lsn,
    /// Position of the stretch's first byte.
    pub at: Lsn,
    /// CRC32C over the bytes that the batches' own checksums skip: the first 21 of each.
    pub heads: u32,
}
