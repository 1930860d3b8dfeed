//! The open file: one writer, many readers, and what both do while a full disk keeps it closed.
//!
//! redb refuses everything after one failed write, until the file is opened again. Readers wait for that, because
//! openraft takes a failed read for the end of the node. Any other error is final.
//!
//! A reader that fails must tell a full disk from a broken one. The backend marks the full disk before redb fails, and
//! the writer marks the mending before it takes the first mark away. So one of the marks is always seen.

use super::super::super::file::{Place, tables};
use super::super::super::rows::RAFT_LOG;
use parking_lot::RwLock;
use redb::Database;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Between two looks of a reader at a file that is being opened again.
const AGAIN: Duration = Duration::from_millis(50);

/// Why a change is not stored.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// The disk is full. The change may be tried again, as often as is needed.
    Full(String),
    /// A write failed, so the disk's content is unknown; the file takes no more.
    Broken(String),
}

/// The file of one voter.
pub struct File {
    place: Place,
    /// None while the file could not be opened again.
    db: RwLock<Option<Database>>,
    opened: AtomicU64,
    mending: AtomicBool,
}

impl File {
    /// A file that was opened at this place.
    pub(in crate::controller::raft) fn new(place: Place, db: Database) -> File {
        let db = RwLock::new(Some(db));
        File { place, db, opened: AtomicU64::new(0), mending: AtomicBool::new(false) }
    }

    /// Bytes free on the file's disk.
    pub fn free_bytes(&self) -> u64 {
        self.place.disk.free_bytes(&self.place.path).unwrap_or(0)
    }

    /// Reads from the file, once it is open.
    pub async fn read<T>(&self, read: impl Fn(&Database) -> io::Result<T> + Send) -> io::Result<T> {
        loop {
            let before = self.opened.load(Ordering::Acquire);
            let result = match &*self.db.read() {
                Some(db) => read(db),
                None => Err(io::Error::other("meta.redb is closed")),
            };
            if result.is_ok() || !self.mended_since(before) {
                return result;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn mended_since(&self, before: u64) -> bool {
        self.place.ran_out_now()
            || self.mending.load(Ordering::Acquire)
            || self.opened.load(Ordering::Acquire) != before
    }

    /// Commits a change, in a file that is opened again if the last change failed.
    pub fn change(&self, commit: impl FnOnce(&Database) -> io::Result<()>) -> Result<(), Failed> {
        let done = self.open_again().and_then(|()| match &*self.db.read() {
            Some(db) => commit(db).map_err(|e| e.to_string()),
            None => Err("it is closed".to_owned()),
        });
        let Err(why) = done else {
            self.mending.store(false, Ordering::Release);
            return Ok(());
        };
        let why = format!("meta.redb: {why}");
        self.mending.store(true, Ordering::Release);
        *self.db.write() = None;
        if self.place.ran_out() {
            return Err(Failed::Full(why));
        }
        self.mending.store(false, Ordering::Release);
        Err(Failed::Broken(why))
    }

    fn open_again(&self) -> Result<(), String> {
        let mut db = self.db.write();
        if db.is_none() {
            let again = self.place.open()?;
            // A file that vanished would be made anew, without the votes of this node.
            if !tables(&again)?.contains(RAFT_LOG) {
                return Err("its tables are gone: restore the file from a backup".to_owned());
            }
            *db = Some(again);
            self.opened.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// No change comes any more: readers need not wait for one to mend the file.
    pub fn give_up(&self) {
        self.mending.store(false, Ordering::Release);
        self.place.ran_out();
    }
}
