//! Why a data directory cannot be opened. Each message names the file and what to do about it.
//!
//! These errors end a start. A fault of one shard is no such error: the others are served without it (`ShardFault`).

use crate::storage::disk::fault::no_space;
use std::io;
use std::path::{Path, PathBuf};

/// Why the data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused a call.
    #[error("{path}: {error}; mend the disk or its permissions and start again")]
    Io { path: PathBuf, error: io::Error },
    /// The file system has no space for a start.
    #[error(
        "{path}: the disk is full: {why}; nothing that was stored is lost: free some space there, or enlarge the disk, and start again"
    )]
    Full { path: PathBuf, why: String },
    /// Another process holds the lock of the directory.
    #[error("{0} is in use by another process: stop that one, or give this one another --data")]
    InUse(PathBuf),
    /// The directory is not one of ours, or not whole.
    #[error("{path} is not a usable data directory: {why}")]
    Foreign { path: PathBuf, why: String },
    /// A newer build wrote it.
    #[error(
        "{path} has format {found}, this build reads up to {reads}: run the newer build again, or restore a backup"
    )]
    Format { path: PathBuf, found: u32, reads: u32 },
    /// The number of shards is fixed at the first start.
    #[error(
        "{path} was made with --shards {stored}, not {asked}: the number is fixed at the first start; leave the flag out"
    )]
    Shards { path: PathBuf, stored: usize, asked: usize },
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
