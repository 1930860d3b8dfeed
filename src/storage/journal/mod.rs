//! The journal: segments, groups of entries, and the runs of batches that are not settled yet.

pub(in crate::storage) mod batches;
pub(in crate::storage) mod gather;
pub(in crate::storage) mod index;
pub(in crate::storage) mod scan;
pub(in crate::storage) mod segment;
pub(in crate::storage) mod writer;
