//! The disk: a port, so that a test can crash it, and the real one behind it.

pub(in crate::storage) mod fault;
pub(in crate::storage) mod port;
pub(in crate::storage) mod real;
pub(in crate::storage) mod reserve;

pub use port::{Disk, DiskFile};
