//! redb's storage over the disk port, so that the crash backend of the tests sees every byte that redb writes.
//!
//! Each call goes to the file as it is. Only a lack of space is noted on the way, because redb reports it in words.

use crate::storage::disk::fault::no_space;
use crate::storage::disk::port::DiskFile;
use redb::StorageBackend;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One file as redb's storage. The data directory is locked as a whole, so the file is not.
pub struct Backend {
    file: Arc<dyn DiskFile>,
    ran_out: Arc<AtomicBool>,
}

impl Backend {
    /// A backend over this file. `ran_out` is set when a write finds no space.
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
