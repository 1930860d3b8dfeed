//! The thread that owns every write of the file.
//!
//! Callers queue changes. The thread takes all that wait, writes them in order in one transaction, commits once, and
//! answers each in the same order. So a crash keeps a prefix of the queue.
//!
//! The committed position forces no commit, because it travels with the next change. It is taken under the lock that
//! takes the changes. Else it could reach the disk before the entry it names, and the node could not start again.
//!
//! A full disk answers nothing: openraft takes a failed write for the end of the node. The thread gives back the
//! reserve, opens the file again and repeats the transaction. The same changes in the same order lead to the same rows,
//! whether or not the failed commit reached the disk. Any other failure ends the thread, and every later change.

use super::super::super::file::RESERVE_BYTES;
use super::file::{Failed, File};
use super::rows::{COMMITTED, LOG, META, PURGED, SNAPSHOT, VOTE, other};
use crate::storage::Reserve;
use parking_lot::{Condvar, Mutex};
use redb::{Database, Durability, Table};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, mem};
use tokio::sync::oneshot;

/// Between two tries on a full disk.
const AGAIN: Duration = Duration::from_millis(500);
/// Bytes that may wait for room on a full disk. A node that leads goes on with the others' disks meanwhile.
const WAITING_BYTES: usize = 64 << 20;

/// One change, already in bytes.
pub enum Change {
    Vote(Vec<u8>),
    Append(Vec<(u64, Vec<u8>)>),
    /// Removes every entry at or above the index.
    TruncateFrom(u64),
    /// Removes every entry up to the index, and stores the marker in the same transaction.
    PurgeTo(u64, Vec<u8>),
    /// Stores a snapshot that this node built.
    Snapshot(Vec<u8>),
    /// Stores a leader's snapshot in place of everything up to the index.
    Install {
        row: Vec<u8>,
        upto: u64,
        marker: Vec<u8>,
    },
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Change::Vote(row) | Change::PurgeTo(_, row) | Change::Snapshot(row) => row.len(),
            Change::Append(rows) => rows.iter().map(|(_, row)| row.len()).sum(),
            Change::TruncateFrom(_) => 0,
            Change::Install { row, marker, .. } => row.len() + marker.len(),
        }
    }
}

/// Called after the commit, on the writer's thread.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

type Job = (Change, Done);

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    bytes: usize,
    committed: Option<Vec<u8>>,
    /// The thread waits for room on the disk.
    full: bool,
    broken: Option<String>,
    /// The node ends: a full disk is not waited for.
    ending: bool,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

/// The handle. Its drop lets the thread finish what is queued, and waits for it.
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread of this file.
    pub fn start(file: Arc<File>, reserve: Reserve) -> io::Result<Writer> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let run = move || Thread { file, reserve, shared: of_thread }.run();
        let thread = thread::Builder::new().name("raft-writer".into()).spawn(run)?;
        Ok(Writer { shared, thread: Some(thread) })
    }

    /// Queues a change; `done` is called exactly once.
    pub fn queue(&self, change: Change, done: Done) {
        let mut queue = self.shared.queue.lock();
        if queue.full && queue.bytes + change.bytes() > WAITING_BYTES {
            queue.broken.get_or_insert("the disk has been full for too long".to_owned());
            self.shared.wake.notify_one();
        }
        if let Some(why) = queue.broken.clone() {
            drop(queue);
            return done(Err(io::Error::other(why)));
        }
        queue.bytes += change.bytes();
        queue.jobs.push((change, done));
        self.shared.wake.notify_one();
    }

    /// Queues a change and waits until it is durable.
    pub async fn write(&self, change: Change) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        self.queue(change, Box::new(move |result| drop(sender.send(result))));
        receiver.await.map_err(io::Error::other)?
    }

    /// Leaves the committed position for the next change to carry.
    pub fn note_committed(&self, row: Vec<u8>) {
        self.shared.queue.lock().committed = Some(row);
    }

    /// Whether every further change is refused.
    pub fn is_broken(&self) -> bool {
        self.shared.queue.lock().broken.is_some()
    }

    /// The node ends, so a full disk is not waited for.
    pub fn ending(&self) {
        self.shared.queue.lock().ending = true;
        self.shared.wake.notify_one();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        {
            let mut queue = self.shared.queue.lock();
            (queue.closed, queue.ending) = (true, true);
        }
        self.shared.wake.notify_one();
        // A callback may hold the last handle, and a thread cannot join itself.
        if let Some(thread) = self.thread.take().filter(|t| t.thread().id() != thread::current().id()) {
            drop(thread.join());
        }
    }
}

struct Thread {
    file: Arc<File>,
    reserve: Reserve,
    shared: Arc<Shared>,
}

impl Drop for Thread {
    /// The thread is gone, be it by a panic: nothing may wait for it.
    fn drop(&mut self) {
        self.fail("the writer of the metadata log has ended");
    }
}

impl Thread {
    fn run(self) {
        while let Some((jobs, committed)) = self.take() {
            let (changes, answers): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
            match self.store(&changes, committed.as_deref()) {
                Ok(()) => answers.into_iter().for_each(|done| done(Ok(()))),
                Err(why) => {
                    tracing::error!(
                        "the metadata log takes no more: {why}; restart the node after mending the disk"
                    );
                    answers.into_iter().for_each(|done| done(Err(io::Error::other(why.clone()))));
                    return self.fail(&why);
                }
            }
        }
    }

    /// Refuses what waits, in order, and everything later.
    fn fail(&self, why: &str) {
        let later = {
            let mut queue = self.shared.queue.lock();
            queue.broken.get_or_insert_with(|| why.to_owned());
            (queue.full, queue.bytes) = (false, 0);
            mem::take(&mut queue.jobs)
        };
        self.file.give_up();
        later.into_iter().for_each(|(_, done)| done(Err(io::Error::other(why.to_owned()))));
    }

    /// The changes that wait and the committed position of the same instant, or `None` at the end.
    fn take(&self) -> Option<(Vec<Job>, Option<Vec<u8>>)> {
        let mut queue = self.shared.queue.lock();
        loop {
            if queue.broken.is_some() {
                return None;
            }
            if !queue.jobs.is_empty() {
                queue.bytes = 0;
                return Some((mem::take(&mut queue.jobs), queue.committed.take()));
            }
            if queue.closed {
                return None;
            }
            self.shared.wake.wait(&mut queue);
        }
    }

    /// Commits the changes; on a full disk again and again, until there is room or the node ends.
    fn store(&self, changes: &[Change], committed: Option<&[u8]>) -> Result<(), String> {
        let mut warned = false;
        loop {
            let why = match self.file.change(|db| commit(db, changes, committed)) {
                Ok(()) => break,
                Err(Failed::Broken(why)) => return Err(why),
                Err(Failed::Full(why)) => why,
            };
            let gave = self.reserve.release();
            if !mem::replace(&mut warned, true) {
                tracing::warn!("the metadata log waits for room: the disk is full: {why}");
            }
            if !gave && !self.pause() {
                return Err(format!("the disk is full: {why}"));
            }
        }
        self.shared.queue.lock().full = false;
        if warned {
            tracing::info!("the metadata log is written again");
        }
        if !self.reserve.held() && self.file.free_bytes() >= 8 * RESERVE_BYTES {
            // A failure here does no harm, because the next change tries again.
            let _ = self.reserve.make();
        }
        Ok(())
    }

    /// Waits before the next try. Returns false if there is to be none.
    fn pause(&self) -> bool {
        let mut queue = self.shared.queue.lock();
        queue.full = true;
        let until = Instant::now() + AGAIN;
        // Changes that are queued meanwhile wake the thread, and do not shorten the wait.
        while !queue.ending && queue.broken.is_none() {
            if self.shared.wake.wait_until(&mut queue, until).timed_out() {
                return true;
            }
        }
        false
    }
}

fn commit(db: &Database, changes: &[Change], committed: Option<&[u8]>) -> io::Result<()> {
    let mut tx = db.begin_write().map_err(other)?;
    tx.set_durability(Durability::Immediate).map_err(other)?;
    tx.set_quick_repair(true);
    {
        let mut log = tx.open_table(LOG).map_err(other)?;
        let mut meta = tx.open_table(META).map_err(other)?;
        for change in changes {
            write(&mut log, &mut meta, change).map_err(other)?;
        }
        if let Some(row) = committed {
            meta.insert(COMMITTED, row).map_err(other)?;
        }
    }
    tx.commit().map_err(other)
}

fn write(
    log: &mut Table<'_, u64, &'static [u8]>,
    meta: &mut Table<'_, &'static str, &'static [u8]>,
    change: &Change,
) -> Result<(), redb::StorageError> {
    match change {
        Change::Vote(row) => drop(meta.insert(VOTE, row.as_slice())?),
        Change::Append(rows) => {
            for (index, row) in rows {
                log.insert(index, row.as_slice())?;
            }
        }
        Change::TruncateFrom(index) => log.retain_in(*index.., |_, _| false)?,
        Change::PurgeTo(upto, marker) => purge(log, meta, *upto, marker)?,
        Change::Snapshot(row) => drop(meta.insert(SNAPSHOT, row.as_slice())?),
        Change::Install { row, upto, marker } => {
            meta.insert(SNAPSHOT, row.as_slice())?;
            purge(log, meta, *upto, marker)?;
        }
    }
    Ok(())
}

fn purge(
    log: &mut Table<'_, u64, &'static [u8]>,
    meta: &mut Table<'_, &'static str, &'static [u8]>,
    upto: u64,
    marker: &[u8],
) -> Result<(), redb::StorageError> {
    log.retain_in(..=upto, |_, _| false)?;
    meta.insert(PURGED, marker)?;
    Ok(())
}
