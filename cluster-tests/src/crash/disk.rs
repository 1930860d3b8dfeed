//! The store's disk port over an [`Image`], with a hook before every change. The hook may keep the image of that moment,
//! and so cut the run there. The image decides what survives a cut, not this module.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use callboard::storage::disk::{Disk, DiskFile};
use parking_lot::Mutex;

use super::image::Image;

/// Called before each change, with the image as it is and the change that is about to happen.
pub type Watch = Box<dyn FnMut(&Image, Step<'_>) + Send>;

/// A change that is about to happen.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Bytes of a file, or its length.
    Write,
    /// A sync of a file.
    Sync,
    /// A name made, moved or removed.
    Name(&'a Path),
    SyncDirectory,
}

struct Shared {
    image: Mutex<Image>,
    watch: Mutex<Option<Watch>>,
    /// Syncs before the one that fails; `None` if none is to fail.
    fail_sync: Mutex<Option<u64>>,
    /// Writes and lengths before the one that fails; `None` if none is to fail.
    fail_write: Mutex<Option<u64>>,
    /// Times that a file may still grow before there is no space; `None` sets no bound.
    space: Mutex<Option<u64>>,
    /// Times that a file found no space.
    refused: AtomicU64,
    /// End of the written part of each file. Holes lie beyond it, which take no space.
    allocated: Mutex<BTreeMap<u64, u64>>,
    /// Files whose room was promised before anything was written.
    promised: Mutex<BTreeSet<u64>>,
}

/// A disk that can be cut anywhere.
#[derive(Clone)]
pub struct CrashDisk {
    shared: Arc<Shared>,
    /// The journal position that each shard has told the outside (R46), by shard.
    pub told: Arc<Mutex<Vec<u64>>>,
}

/// Counts down to the one call that fails, and says whether this is it.
fn due(left: &Mutex<Option<u64>>) -> bool {
    let mut left = left.lock();
    let now = *left == Some(0);
    *left = left.and_then(|n| n.checked_sub(1));
    now
}

fn planted() -> io::Error {
    io::Error::other("input/output error, planted")
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl CrashDisk {
    /// A disk that holds this image.
    #[must_use]
    pub fn new(image: Image) -> CrashDisk {
        let (image, watch) = (Mutex::new(image), Mutex::new(None));
        let (fail_sync, fail_write, space) = (Mutex::new(None), Mutex::new(None), Mutex::new(None));
        let (refused, allocated, promised) = (AtomicU64::new(0), Mutex::default(), Mutex::default());
        CrashDisk {
            shared: Arc::new(Shared {
                image,
                watch,
                fail_sync,
                fail_write,
                space,
                refused,
                allocated,
                promised,
            }),
            told: Arc::default(),
        }
    }

    /// Watches every change from here on.
    pub fn watch(&self, watch: Watch) {
        *self.shared.watch.lock() = Some(watch);
    }

    /// Ends the watch of changes.
    pub fn unwatch(&self) {
        *self.shared.watch.lock() = None;
    }

    /// Makes the n-th sync of a file from now on fail, once.
    pub fn fail_sync(&self, n: u64) {
        *self.shared.fail_sync.lock() = Some(n);
    }

    /// Makes the n-th write of a file from now on fail, once. A new length counts as a write. Nothing of it is written.
    pub fn fail_write(&self, n: u64) {
        *self.shared.fail_write.lock() = Some(n);
    }

    /// Whether the sync or write that was to fail has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.shared.fail_sync.lock().is_none() && self.shared.fail_write.lock().is_none()
    }

    /// Lets files grow `n` more times; then the disk is full, until [`CrashDisk::give_space`].
    pub fn full_after(&self, n: u64) {
        *self.shared.space.lock() = Some(n);
    }

    /// Lets files grow again, without a bound.
    pub fn give_space(&self) {
        *self.shared.space.lock() = None;
    }

    /// How often a file could not grow.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Acquire)
    }

    /// Whether the file system was asked to promise room for this file.
    #[must_use]
    pub fn promised(&self, inode: u64) -> bool {
        self.shared.promised.lock().contains(&inode)
    }

    /// Whether a write up to `end` finds space. Only a write beyond the written part takes some.
    fn finds_space(&self, inode: u64, length: u64, end: u64) -> bool {
        let mut allocated = self.shared.allocated.lock();
        let reached = allocated.entry(inode).or_insert(length);
        if end <= *reached {
            return true;
        }
        let may = self.may_grow();
        if may {
            *reached = end;
        }
        may
    }

    fn open_file(&self, path: &Path, create: bool) -> io::Result<CrashFile> {
        let found = self.shared.image.lock().find(path);
        let inode = match found {
            Some(inode) => inode,
            None if create => self.change(Step::Name(path), |image| Ok(image.create(path)))?,
            None => return Err(missing()),
        };
        Ok(CrashFile { disk: self.clone(), inode, locked: Mutex::new(false) })
    }

    /// Whether a file may grow once more.
    fn may_grow(&self) -> bool {
        match &mut *self.shared.space.lock() {
            None => true,
            Some(0) => {
                self.shared.refused.fetch_add(1, Ordering::AcqRel);
                false
            }
            Some(n) => {
                *n -= 1;
                true
            }
        }
    }

    /// A copy of the image at this moment.
    #[must_use]
    pub fn image(&self) -> Image {
        self.shared.image.lock().clone()
    }

    fn change<T>(&self, step: Step<'_>, change: impl FnOnce(&mut Image) -> io::Result<T>) -> io::Result<T> {
        if let Some(watch) = &mut *self.shared.watch.lock() {
            let before = self.image();
            watch(&before, step);
        }
        change(&mut self.shared.image.lock())
    }
}

impl Disk for CrashDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.shared.image.lock().make_directory(path);
        Ok(())
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(self.open_file(path, create)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.shared.image.lock().names(dir).ok_or_else(missing)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(Step::Name(to), |image| {
            image.find(from).ok_or_else(missing)?;
            image.rename(from, to);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(Step::Name(path), |image| {
            image.find(path).ok_or_else(missing)?;
            image.remove(path);
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(Step::SyncDirectory, |image| {
            image.sync_directory(dir);
            Ok(())
        })
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let image = self.shared.image.lock();
        Ok(image.find(path).is_some() || image.is_directory(path))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }

    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = self.open_file(path, true)?;
        if !self.finds_space(file.inode, file.len()?, bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.shared.promised.lock().insert(file.inode);
        self.change(Step::Write, |image| {
            image.set_len(file.inode, bytes);
            Ok(())
        })
    }
}

struct CrashFile {
    disk: CrashDisk,
    inode: u64,
    locked: Mutex<bool>,
}

impl DiskFile for CrashFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.shared.image.lock().inode(self.inode).live.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if due(&self.disk.shared.fail_write) {
            return Err(planted());
        }
        let now = self.len()?;
        {
            // New bytes are a hole; bytes that are cut off are free.
            let mut allocated = self.disk.shared.allocated.lock();
            let reached = allocated.entry(self.inode).or_insert(now);
            *reached = (*reached).min(len);
        }
        self.disk.change(Step::Write, |image| {
            image.set_len(self.inode, len);
            Ok(())
        })
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let mut image = self.disk.shared.image.lock();
        let whole = image.inode(self.inode).live.read(at, buf);
        if whole { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn write_all_at(&self, bufs: &[&[u8]], at: u64) -> io::Result<()> {
        if due(&self.disk.shared.fail_write) {
            return Err(planted());
        }
        let bytes = bufs.concat();
        if !self.disk.finds_space(self.inode, self.len()?, at + bytes.len() as u64) {
            // The disk has room for a part of the bytes.
            let some = &bytes[..bytes.len() / 2];
            return self.disk.change(Step::Write, |image| {
                image.write(self.inode, at, some);
                Err(io::ErrorKind::StorageFull.into())
            });
        }
        self.disk.change(Step::Write, |image| {
            image.write(self.inode, at, &bytes);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let failing = due(&self.disk.shared.fail_sync);
        self.disk.change(Step::Sync, |image| {
            if failing {
                image.fail_sync(self.inode);
                return Err(planted());
            }
            image.sync(self.inode);
            Ok(())
        })
    }

    fn try_lock(&self) -> io::Result<()> {
        let mut image = self.disk.shared.image.lock();
        let inode = image.inode(self.inode);
        if inode.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        inode.locked = true;
        *self.locked.lock() = true;
        Ok(())
    }
}

impl Drop for CrashFile {
    fn drop(&mut self) {
        if *self.locked.lock() {
            self.disk.shared.image.lock().inode(self.inode).locked = false;
        }
    }
}
