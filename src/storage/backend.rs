//! redb's storage over the [`Disk`](super::disk::Disk) port, so that the crash backend sees every byte redb writes.

use super::disk::DiskFile;
use redb::StorageBackend;
use std::fmt;
use std::io;
use std::sync::Arc;

/// One file as redb's storage. Locking is the data directory's business, not the file's.
pub struct Backend {
    file: Arc<dyn DiskFile>,
}

impl Backend {
    /// Over this file.
    #[must_use]
    pub fn new(file: Arc<dyn DiskFile>) -> Backend {
        Backend { file }
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
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(&[data], offset)
    }
}
