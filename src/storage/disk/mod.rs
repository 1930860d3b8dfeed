//! The disk: a port, so that a test can crash it, and the real one behind it.
//!
//! The store does all its I/O through the port. This wing also says what an error of the disk means. It holds back
//! the reserve, a file that is removed when a disk is full. It knows nothing of journals and databases.

pub mod fault;
pub mod health;
pub mod overlay;
pub mod port;
pub mod real;
pub mod reserve;

pub use overlay::Overlay;
pub use port::{Disk, DiskFile};
