//! The thread that owns every write of the file.
//!
//! Callers queue changes; the thread takes all that wait, writes them in order in one transaction,
//! commits once, and then answers each in the same order. A crash therefore keeps a prefix of the queue.
//! The committed position forces no commit: it travels with the next change. It is taken under the lock
//! that takes the changes, else it could reach the disk before the entry it names and the
//! node could not start again.
//! The first failure ends the writer: every later change is refused, as redb itself would.

use std::{
    io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use redb::{Database, Durability, Table};
use tokio::sync::oneshot;

use super::{COMMITTED, LOG, META, PURGED, SNAPSHOT, VOTE, other};

/// One change, already encoded.
pub enum Change {
    Vote(Vec<u8>),
    Append(Vec<(u64, Vec<u8>)>),
    /// Removes every entry at or above the index.
    TruncateFrom(u64),
    /// Removes every entry up to the index, and stores the marker in the same transaction.
    PurgeTo(u64, Vec<u8>),
    Snapshot(Vec<u8>),
}

/// Called after the commit, on the writer's thread.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

type Job = (Change, Done);

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    committed: Option<Vec<u8>>,
    broken: Option<String>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle; dropping it lets the thread finish what is queued, and waits for it.
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start(db: Arc<Database>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        let thread = thread::Builder::new().name("raft-writer".into()).spawn(move || run(&db, &of_thread))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Queues a change; `done` is called exactly once.
    pub fn queue(&self, change: Change, done: Done) {
        let mut queue = self.shared.lock();
        match queue.broken.clone() {
            Some(why) => {
                drop(queue);
                done(Err(io::Error::other(why)));
            }
            None => {
                queue.jobs.push((change, done));
                self.shared.wake.notify_one();
            }
        }
    }

    /// Queues a change and waits until it is durable.
    pub async fn write(&self, change: Change) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        self.queue(change, Box::new(move |result| drop(sender.send(result))));
        receiver.await.map_err(other)?
    }

    /// Leaves the committed position for the next change to carry.
    pub fn note_committed(&self, row: Vec<u8>) {
        self.shared.lock().committed = Some(row);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
        // A callback may hold the last handle, and a thread cannot join itself.
        if let Some(thread) = self.thread.take().filter(|t| t.thread().id() != thread::current().id()) {
            drop(thread.join());
        }
    }
}

fn run(db: &Database, shared: &Shared) {
    while let Some((jobs, committed)) = take(shared) {
        let (changes, answers): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        match commit(db, &changes, committed.as_deref()) {
            Ok(()) => answers.into_iter().for_each(|done| done(Ok(()))),
            Err(error) => {
                let why = error.to_string();
                // Jobs queued meanwhile wait in the queue: they fail too, after those before them.
                let later = {
                    let mut queue = shared.lock();
                    queue.broken = Some(why.clone());
                    mem::take(&mut queue.jobs)
                };
                for done in answers.into_iter().chain(later.into_iter().map(|(_, done)| done)) {
                    done(Err(io::Error::other(why.clone())));
                }
                return;
            }
        }
    }
}

/// The jobs that wait and the committed position of the same instant, or `None` at the end.
fn take(shared: &Shared) -> Option<(Vec<Job>, Option<Vec<u8>>)> {
    let mut queue = shared.lock();
    loop {
        if !queue.jobs.is_empty() {
            return Some((mem::take(&mut queue.jobs), queue.committed.take()));
        }
        if queue.closed {
            return None;
        }
        queue = shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
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
        Change::PurgeTo(index, marker) => {
            log.retain_in(..=*index, |_, _| false)?;
            meta.insert(PURGED, marker.as_slice())?;
        }
        Change::Snapshot(row) => drop(meta.insert(SNAPSHOT, row.as_slice())?),
    }
    Ok(())
}
