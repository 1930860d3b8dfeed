//! Why a store cannot be opened, or a shard cannot go on.

use crate::storage::shard::room::no_space;
use std::io;
use std::path::{Path, PathBuf};

/// Why the data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("{path}: {error}; mend the disk or its permissions and start again")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file system has no space for a start.
    #[error(
        "{path}: the disk is full: {why}; nothing that was stored is lost: free some space there, or enlarge the disk, and start again"
    )]
    Full {
        /// Which file or directory.
        path: PathBuf,
        /// What there was no space for.
        why: String,
    },
    /// Another process has it.
    #[error("{0} is in use by another process: stop that one, or give this one another --data")]
    InUse(PathBuf),
    /// Not a data directory of ours.
    #[error("{path} is not a usable data directory: {why}")]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Written by a newer build.
    #[error(
        "{path} has format {found}, this build reads up to {reads}: run the newer build again, or restore a backup"
    )]
    Format {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest this build knows.
        reads: u32,
    },
    /// S is fixed at the first start.
    #[error(
        "{path} was made with --shards {stored}, not {asked}: the number is fixed at the first start; leave the flag out"
    )]
    Shards {
        /// Which directory.
        path: PathBuf,
        /// As stored.
        stored: usize,
        /// As asked.
        asked: usize,
    },
}

impl StoreError {
    /// An I/O error with its path.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
        move |error| match no_space(&error) {
            true => StoreError::Full { path: path.to_owned(), why: error.to_string() },
            false => StoreError::Io { path: path.to_owned(), error },
        }
    }
}

/// Why a shard stopped, or never started. Final: its replicas are offline until the node restarts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ShardFault(pub String);

impl ShardFault {
    /// Nothing holds this position of the stream.
    #[must_use]
    pub fn no_segment(at: callboard_core::Lsn) -> ShardFault {
        ShardFault(format!("no journal segment holds {}", at.0))
    }
}

/// An error, and what to do where its own words do not say.
pub fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => format!(
            "{error}: the kernel makes a file system read-only after an error of its disk, and says which in its log"
        ),
        _ => error.to_string(),
    }
}

impl From<io::Error> for ShardFault {
    fn from(error: io::Error) -> ShardFault {
        ShardFault(in_words(&error))
    }
}

macro_rules! from_redb {
    ($($kind:ty),*) => {$(
        impl From<$kind> for ShardFault {
            fn from(error: $kind) -> ShardFault {
                ShardFault(format!("store.redb: {error}"))
            }
        }
    )*};
}
from_redb!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::SetDurabilityError
);
