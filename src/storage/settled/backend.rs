//! redb's storage over the [`Disk`](crate::storage::disk::port::Disk) port, so that the crash backend sees every byte redb writes.

use crate::storage::disk::port::DiskFile;
use crate::storage::shard::room::no_space;
use redb::StorageBackend;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One file as redb's storage. Locking is the data directory's business, not the file's.
pub struct Backend {
    file: Arc<dyn DiskFile>,
    /// Set when the file system had no space: redb's own errors tell it in words only.
    ran_out: Arc<AtomicBool>,
}

impl Backend {
    /// Over this file; `ran_out` is set when a write finds no space.
    #[must_use]
    pub fn new(file: Arc<dyn DiskFile>, ran_out: Arc<AtomicBool>) -> Backend {
        Backend { file, ran_out }
    }

    fn noted<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| {
            if no_space(error) {
                self.ran_out.store(true, Ordering::Release);
            }
        })
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.noted(self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.noted(self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.noted(self.file.write_all_at(&[data], offset))
    }
}
