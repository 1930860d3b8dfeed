//! The real store of one voter on a modelled disk, and all that it shows.
//!
//! openraft is not above it: the script calls what openraft would call. Machine and log share one store, so a change may
//! run on one while the other is called, as openraft's tasks do it.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use callboard::controller::raft::bare::{
    Entry, LogId, LogStore, Machine, Parts, TypeConfig, next, open_store,
};
use callboard::storage::disk::Disk;
use callboard_core::metadata::Committed;
use futures_util::{FutureExt, stream};
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::TypeConfigExt;
use tokio::sync::{Mutex, mpsc, watch};

use super::super::disk::CrashDisk;
use super::model::{Op, State};

/// The data directory on every disk.
pub const DATA: &str = "/data";
/// The node whose store it is.
pub const ME: i32 = 1;
/// How long an answer may take. A store that never answers is an error.
const PATIENCE: Duration = Duration::from_secs(60);

/// The answer to a change.
pub type Answer = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A store that is open.
pub struct Voter {
    pub log: LogStore,
    machine: Arc<Mutex<Machine>>,
    _stream: mpsc::UnboundedReceiver<Committed>,
    runtime: tokio::runtime::Runtime,
}

impl Voter {
    /// Opens the store on this disk, as a start does.
    pub fn open(disk: &CrashDisk) -> Result<Voter, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|e| format!("no runtime: {e}"))?;
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        disk.create_dir_all(Path::new(DATA)).map_err(|e| e.to_string())?;
        let (stream, events) = mpsc::unbounded_channel();
        let (holds, _) = watch::channel(false);
        let Parts { log, machine, .. } =
            open_store(&disk, Path::new(DATA), ME, None, stream, &holds).map_err(|e| e.to_string())?;
        Ok(Voter { log, machine: Arc::new(Mutex::new(machine)), _stream: events, runtime })
    }

    /// Runs a future to its end, or to the end of all patience.
    pub fn wait<T>(&self, what: impl Future<Output = T>) -> Result<T, String> {
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, what).await })
            .map_err(|_| "the store never answered".to_owned())
    }

    /// Everything that openraft would read at a start.
    pub fn shown(&self) -> Result<State, String> {
        self.wait(async {
            let mut log = self.log.clone();
            let text = |e: std::io::Error| e.to_string();
            let ends = log.get_log_state().await.map_err(text)?;
            let entries = log.try_get_log_entries(0..).await.map_err(text)?;
            let snapshot = self.machine.lock().await.get_current_snapshot().await.map_err(text)?;
            for (expected, entry) in (next(ends.last_purged_log_id)..).zip(&entries) {
                if entry.log_id.index != expected {
                    return Err(format!("entry {expected} is missing, {} follows", entry.log_id));
                }
            }
            let shown = State {
                vote: log.read_vote().await.map_err(text)?,
                committed: log.read_committed().await.map_err(text)?,
                purged: ends.last_purged_log_id,
                entries: entries.into_iter().map(|e| (e.log_id.index, e)).collect::<BTreeMap<_, _>>(),
                snapshot: snapshot.map(|snapshot| (snapshot.meta, snapshot.snapshot)),
            };
            let last = shown.last();
            if last != ends.last_log_id {
                return Err(format!("its last entry is {last:?}, and it says {:?}", ends.last_log_id));
            }
            Ok(shown)
        })?
    }

    /// Begins a change. It is queued when its answer is polled, an append at once.
    pub fn begin(&self, op: Op) -> Result<Answer, String> {
        let (mut log, machine) = (self.log.clone(), Arc::clone(&self.machine));
        let text = |e: std::io::Error| e.to_string();
        Ok(match op {
            Op::Vote(vote) => async move { log.save_vote(&vote).await.map_err(text) }.boxed(),
            Op::Append(entries) => {
                let (sender, receiver) = TypeConfig::oneshot();
                self.wait(log.append(entries, IOFlushed::signal(sender)))?.map_err(text)?;
                async move { receiver.await.map_err(|_| "no answer".to_owned())?.map_err(text) }.boxed()
            }
            Op::Truncate(keep) => async move { log.truncate_after(keep).await.map_err(text) }.boxed(),
            Op::Purge(upto) => async move { log.purge(upto).await.map_err(text) }.boxed(),
            // The model knows the image already: the machine has applied the same entries.
            Op::Built(..) => async move {
                let mut builder = machine.lock().await.get_snapshot_builder().await;
                builder.build_snapshot().await.map(drop).map_err(text)
            }
            .boxed(),
            Op::Install(meta, image) => {
                async move { machine.lock().await.install_snapshot(&meta, image).await.map_err(text) }.boxed()
            }
        })
    }

    /// Applies entries to the machine.
    pub fn apply(&self, entries: Vec<Entry>) -> Result<(), String> {
        let entries = stream::iter(entries.into_iter().map(|entry| Ok((entry, None))));
        self.wait(async { self.machine.lock().await.apply(entries).await })?.map_err(|e| e.to_string())
    }

    /// Notes a committed position, which forces no write.
    pub fn note(&self, committed: Option<LogId>) -> Result<(), String> {
        let mut log = self.log.clone();
        self.wait(log.save_committed(committed))?.map_err(|e| e.to_string())
    }
}
