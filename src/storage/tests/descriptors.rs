//! A process without descriptors: no segment can be made, so what needs one waits; given some, all goes on.

use crate::storage::disk::port::{Disk, DiskFile};
use crate::storage::tests::{Seen, append, open_on, read_all, submission};
use crate::storage::*;
use callboard_core::storage::Entry;
use callboard_core::{TopicId, TopicPartition};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The real disk, for a process that may open so many more things; below 0: any number.
struct Few(AtomicI64);

impl Few {
    fn open_one(&self) -> io::Result<()> {
        let one = |left: i64| if left > 0 { Some(left - 1) } else { None };
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one) {
            Err(0) => Err(rustix::io::Errno::MFILE.into()),
            _ => Ok(()),
        }
    }
}

impl Disk for Few {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.open_one().and_then(|()| RealDisk.open(path, create))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.open_one().and_then(|()| RealDisk.list(dir))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.open_one().and_then(|()| RealDisk.sync_dir(dir))
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }
    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.open_one().and_then(|()| RealDisk.allocate(path, bytes))
    }
}

#[test]
fn without_descriptors_the_journal_waits_and_goes_on_when_there_are_some() {
    // Making a segment opens a file, perhaps twice, and its directory: it fails at each of them, and once at none.
    for left in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let id = TopicPartition { topic: TopicId([1; 16]), partition: 0 };
        let disk = Arc::new(Few(AtomicI64::new(-1)));
        let replica = {
            let (_store, engine) = open_on(disk.clone(), dir.path());
            let replica = engine.mint(Arc::new(Seen::default())).unwrap();
            engine.write(vec![submission(replica, 1, Entry::Open { id }, vec![])]).unwrap();
            disk.0.store(left, Ordering::Release);
            let (mut n, mut waited) = (0, 0);
            while n < 300 {
                let next = append(replica, n, n as u64 + 2, 2000);
                if engine.room_for(std::slice::from_ref(&next)).unwrap() {
                    engine.write(vec![next]).unwrap();
                    n += 1;
                    continue;
                }
                // Asked again it still waits; nothing of what it tried is left.
                assert!(!engine.prepare().unwrap());
                assert!(!dir.path().join("shard-0/journal/aside.tmp").exists());
                disk.0.store(-1, Ordering::Release);
                assert!(engine.prepare().unwrap(), "a segment can be made");
                waited += 1;
            }
            assert_eq!(waited, 1);
            assert_eq!(read_all(&engine, replica, 0), (0..300).collect::<Vec<_>>());
            replica
        };
        let (_store, engine) = open_on(disk, dir.path());
        assert_eq!(read_all(&engine, replica, 0), (0..300).collect::<Vec<_>>());
    }
}
