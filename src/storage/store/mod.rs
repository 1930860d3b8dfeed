//! The data directory: who it is, how it is recovered, how it is opened.

pub(in crate::storage) mod identity;
pub(in crate::storage) mod open;
pub(in crate::storage) mod recovery;
