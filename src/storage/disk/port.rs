//! The disk as the store sees it: a port, so that a test can crash it.
//!
//! `RealDisk` moves bytes through the kernel. The crash backend of `cluster-tests` keeps a live and a durable image apart and
//! cuts at any write or sync. The journal does its I/O through this port, and redb does so through a `StorageBackend` over
//! a [`DiskFile`].

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory tree that can be synced.
pub trait Disk: Send + Sync + 'static {
    /// Creates a directory and its parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Opens a file for reading and writing; `create` makes it if it is missing.
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>>;
    /// Names of a directory's entries, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Renames a file, replacing any at the new name. Durable only after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Unlinks a file. Durable only after [`Disk::sync_dir`].
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory's entries durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Whether there is a file or directory at `path`.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Bytes free on the file system that holds `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Makes a file of so many bytes, which read as zeros. The file system promises room for them, whatever other files
    /// take later. An error of kind `Unsupported` says that it cannot promise that.
    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<()>;
    /// Bytes of the file system that holds `path`; 0 if that is not known.
    fn volume_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(0)
    }
}

/// One open file. All positions are absolute; methods may be called from several threads.
pub trait DiskFile: Send + Sync + 'static {
    /// Length of the file in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Bytes that the file takes of the file system; holes take none.
    fn allocated(&self) -> io::Result<u64> {
        self.len()
    }
    /// Sets the length; new bytes read as zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reads exactly `buf.len()` bytes.
    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()>;
    /// Reads exactly `len` bytes into new memory.
    fn read_vec(&self, len: usize, at: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
    /// Writes all of `bufs`, one after the other, from `at`.
    fn write_all_at(&self, bufs: &[&[u8]], at: u64) -> io::Result<()>;
    /// Makes written bytes (and the length) durable: `fdatasync`.
    fn sync_data(&self) -> io::Result<()>;
    /// The file itself, where the kernel may send from it. None means that its bytes have to be read.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Brings bytes into the page cache, so that sending them waits for no disk.
    fn warm(&self, _len: usize, _at: u64) -> io::Result<()> {
        Ok(())
    }
    /// Takes an exclusive advisory lock; an error of kind `WouldBlock` means another process holds it.
    fn try_lock(&self) -> io::Result<()>;
}

/// Makes a file of so many zeros; a file that is there is overwritten.
pub fn zeros(disk: &dyn Disk, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.open(path, true)?;
    let chunk = vec![0u8; 1 << 20];
    let mut at = 0;
    while at < bytes {
        let now = (bytes - at).min(chunk.len() as u64) as usize;
        file.write_all_at(&[&chunk[..now]], at)?;
        at += now as u64;
    }
    Ok(file)
}
