//! A disk for tests that can be full, or broken, from one moment to the next.
//!
//! Everything else goes to the real disk. It counts what it refused, so a test can wait for that.

use crate::storage::RealDisk;
use crate::storage::disk::{Disk, DiskFile};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

const SOUND: u8 = 0;
const FULL: u8 = 1;
const BROKEN: u8 = 2;

/// The faults that the disk shows to writes now.
#[derive(Default)]
pub struct Fault {
    mode: AtomicU8,
    refused: AtomicUsize,
}

impl Fault {
    pub fn sound(&self) {
        self.mode.store(SOUND, Ordering::SeqCst);
    }

    pub fn full(&self) {
        self.mode.store(FULL, Ordering::SeqCst);
    }

    pub fn broken(&self) {
        self.mode.store(BROKEN, Ordering::SeqCst);
    }

    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    fn check(&self) -> io::Result<()> {
        let kind = match self.mode.load(Ordering::SeqCst) {
            SOUND => return Ok(()),
            FULL => io::ErrorKind::StorageFull,
            _ => io::ErrorKind::Other,
        };
        self.refused.fetch_add(1, Ordering::SeqCst);
        Err(kind.into())
    }
}

/// The real disk with a fault.
pub struct FaultyDisk(pub Arc<Fault>);

struct FaultyFile {
    file: Arc<dyn DiskFile>,
    fault: Arc<Fault>,
}

impl Disk for FaultyDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = RealDisk.open(path, create)?;
        Ok(Arc::new(FaultyFile { file, fault: Arc::clone(&self.0) }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        RealDisk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }

    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.0.check()?;
        RealDisk.allocate(path, bytes)
    }
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fault.check()?;
        self.file.set_len(len)
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, at)
    }

    fn write_all_at(&self, bufs: &[&[u8]], at: u64) -> io::Result<()> {
        self.fault.check()?;
        self.file.write_all_at(bufs, at)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fault.check()?;
        self.file.sync_data()
    }

    fn try_lock(&self) -> io::Result<()> {
        self.file.try_lock()
    }
}
