//! A disk that hangs: its age is told from the moment on at which it holds the writer, in a write as in a sync.

use crate::storage::disk::port::{Disk, DiskFile};
use crate::storage::tests::{Seen, append, open_on, read_all, submission};
use crate::storage::*;
use callboard_core::storage::Entry;
use callboard_core::{TopicId, TopicPartition};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The calls that the disk holds now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    Nothing,
    Writes,
    Syncs,
}

/// The real disk behind a door that holds who comes.
struct Door {
    held: Mutex<Held>,
    opens: Condvar,
}

impl Door {
    fn pass(&self, what: Held) {
        let mut held = self.held.lock();
        while *held == what {
            self.opens.wait(&mut held);
        }
    }

    fn hold(&self, what: Held) {
        *self.held.lock() = what;
        self.opens.notify_all();
    }
}

struct Hanging(Arc<Door>);

struct File(Arc<dyn DiskFile>, Arc<Door>);

impl Disk for Hanging {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(File(RealDisk.open(path, create)?, Arc::clone(&self.0))))
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
        RealDisk.allocate(path, bytes)
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, at)
    }
    fn write_all_at(&self, bufs: &[&[u8]], at: u64) -> io::Result<()> {
        self.1.pass(Held::Writes);
        self.0.write_all_at(bufs, at)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.1.pass(Held::Syncs);
        self.0.sync_data()
    }
    fn try_lock(&self) -> io::Result<()> {
        self.0.try_lock()
    }
}

#[test]
fn a_disk_that_holds_a_write_or_a_sync_is_seen_to_hang_until_it_goes_on() {
    for what in [Held::Writes, Held::Syncs] {
        let dir = tempfile::tempdir().unwrap();
        let id = TopicPartition { topic: TopicId([1; 16]), partition: 0 };
        let door = Arc::new(Door { held: Mutex::new(Held::Nothing), opens: Condvar::new() });
        let (_store, engine) = open_on(Arc::new(Hanging(Arc::clone(&door))), dir.path());
        let replica = engine.mint(Arc::new(Seen::default())).unwrap();
        engine.write(vec![submission(replica, 1, Entry::Open { id }, vec![])]).unwrap();
        engine.sync().unwrap();
        assert_eq!(engine.stats().sync_age_ms, 0, "{what:?}");
        door.hold(what);
        let writer = {
            let engine = Arc::clone(&engine);
            std::thread::spawn(move || {
                engine.write(vec![append(replica, 0, 2, 100)]).unwrap();
                engine.sync().unwrap();
            })
        };
        let until = Instant::now() + Duration::from_secs(20);
        while engine.stats().sync_age_ms == 0 {
            assert!(Instant::now() < until, "{what:?}: nobody sees that the disk hangs");
            std::thread::yield_now();
        }
        door.hold(Held::Nothing);
        writer.join().unwrap();
        assert_eq!(engine.stats().sync_age_ms, 0, "{what:?}: it goes on");
        assert_eq!(read_all(&engine, replica, 0), [0]);
    }
}
