//! What an error of the disk means: a shard that stops, a disk that is full, a process without descriptors.
//!
//! Most errors are final, because a failed write or sync leaves the state of a file unknown. Lack of space and lack of
//! descriptors are not, because they pass. Whether a shard waits or stops is decided by the callers.

use std::io;

/// Why a shard stopped, or never started. It is final: the shard's replicas are offline until the node restarts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ShardFault(pub String);

impl ShardFault {
    /// No segment holds this position of the journal.
    #[must_use]
    pub fn no_segment(at: callboard_core::Lsn) -> ShardFault {
        ShardFault(format!("no journal segment holds {}", at.0))
    }
}

impl From<io::Error> for ShardFault {
    fn from(error: io::Error) -> ShardFault {
        ShardFault(in_words(&error))
    }
}

/// Whether an error says that there is no space left (or no quota).
#[must_use]
pub fn no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether an error says that the process, or the machine, has no descriptor left.
#[must_use]
pub fn no_descriptor(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    matches!(errno, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}

/// An error's own words, and a remedy where those do not name one.
#[must_use]
pub fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => format!(
            "{error}: the kernel makes a file system read-only after an error of its disk, and says which in its log"
        ),
        _ => error.to_string(),
    }
}
