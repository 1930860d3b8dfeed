//! The reserve: a file that only takes room, so that this room can be given back when it is needed most.
//!
//! The file system promises the room without a byte being written. `callboard_core::storage::RoomMachine` decides when the
//! file is made and when it is given back; `shard/room.rs` carries that out.

use crate::storage::disk::port::Disk;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The name of the reserve's file.
pub const RESERVE: &str = "reserve";

/// The reserve of one directory.
pub struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    bytes: u64,
    held: AtomicBool,
    /// The file system cannot promise room.
    cannot: AtomicBool,
}

impl Reserve {
    /// The reserve of this directory; a file that is there from a former life counts as held.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, bytes: u64) -> Reserve {
        let path = dir.join(RESERVE);
        let length = disk.open(&path, false).and_then(|file| file.len()).unwrap_or(0);
        let (held, cannot) = (AtomicBool::new(length > 0), AtomicBool::new(false));
        Reserve { disk, path, bytes, held, cannot }
    }

    /// Whether the file is there.
    #[must_use]
    pub fn held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Bytes that the file takes now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        if self.held() { self.bytes } else { 0 }
    }

    /// Makes the file, whole or not at all. On a file system that cannot promise room there is no reserve.
    pub fn make(&self) -> io::Result<()> {
        if self.cannot.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let made = self.disk.allocate(&self.path, self.bytes);
        if let Err(error) = &made {
            let _ = self.disk.remove(&self.path);
            self.cannot.store(error.kind() == io::ErrorKind::Unsupported, Ordering::Relaxed);
        }
        self.held.store(made.is_ok(), Ordering::Release);
        made
    }

    /// Removes the file. Returns whether it was there.
    pub fn release(&self) -> bool {
        if !self.held.swap(false, Ordering::AcqRel) {
            return false;
        }
        self.disk.remove(&self.path).is_ok()
    }
}
