//! The start of a voter: the file is checked, then openraft lives on a thread of its own until it is ended.
//!
//! ```text
//!   file ── load, refuse in words ──> store ──> thread "raft": runtime { openraft, guards, proposals } ──> files closed
//! ```
//! openraft's tasks, timers and reads run on a runtime of that thread alone. Ending therefore needs no other runtime: the
//! thread hands over the proposals made so far, stops openraft, and goes; with its runtime go all handles of the file.

use super::super::file::{OpenError, Place, RESERVE_BYTES, foreign, missing};
use super::caught_up::{self, CaughtUp};
use super::guard::{Limits, compact, config, watch_core};
use super::machine::{Machine, Raft};
use super::network::Network;
use super::store::{File, Loaded, LogStore, SnapshotStore, View, Writer, load, make};
use super::types::{Batch, Lead, TypeConfig, node_id};
use crate::storage::{Reserve, disk::Disk};
use callboard_actors::ports::Calls;
use callboard_core::BrokerId;
use callboard_core::metadata::Committed;
use openraft::type_config::alias::WriteResponderOf;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How long openraft may take to stop, before its tasks are dropped as they are.
const STOP: Duration = Duration::from_secs(5);

/// The name of the file in the data directory.
const FILE: &str = "meta.redb";

/// A proposal on its way to openraft. Without an answer, dropping it tells the proposer.
pub struct Proposal {
    pub batch: Batch,
    pub lead: Lead,
    pub answer: WriteResponderOf<TypeConfig>,
}

/// The parts of a store that was opened and checked.
pub struct Parts {
    pub log: LogStore,
    pub machine: Machine,
    pub writer: Arc<Writer>,
}

/// The thread's end of everything that `RaftLog` holds.
pub struct Life {
    pub node: u64,
    pub calls: Arc<dyn Calls>,
    pub limits: Limits,
    pub proposals: mpsc::UnboundedReceiver<Proposal>,
    pub end: oneshot::Receiver<()>,
    pub broken: watch::Sender<Option<String>>,
    pub notes: Arc<Mutex<CaughtUp>>,
}

/// Reads a directory's file; none if there is no file. The file is opened and closed.
pub fn look(disk: &Arc<dyn Disk>, dir: &Path, node: BrokerId) -> Result<Option<Loaded>, OpenError> {
    let path = dir.join(FILE);
    let failed = |why: String| OpenError { path: path.clone(), why };
    if !disk.exists(&path).map_err(|e| failed(e.to_string()))? {
        return Ok(None);
    }
    let place = Place::new(disk, &path);
    let db = open_file(&place).map_err(failed)?;
    load(&db, node).map(Some).map_err(failed)
}

/// A file without bytes would be made anew.
fn open_file(place: &Place) -> Result<redb::Database, String> {
    let file = place.disk.open(&place.path, false).map_err(|e| e.to_string())?;
    if file.is_empty().map_err(|e| e.to_string())? {
        return Err("it is empty: restore the file from a backup, or empty the directory".to_owned());
    }
    drop(file);
    place.open()
}

/// Opens or makes the file of a node, and refuses what does not belong to it.
pub fn open_store(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    node: BrokerId,
    cluster: Option<&str>,
    stream: mpsc::UnboundedSender<Committed>,
    holds: &watch::Sender<bool>,
) -> Result<Parts, OpenError> {
    let path = dir.join(FILE);
    let failed = |why: String| OpenError { path: path.clone(), why };
    let place = Place::new(disk, &path);
    if !disk.exists(&path).map_err(|e| failed(e.to_string()))? {
        if let Some(cluster) = cluster {
            return Err(failed(missing(cluster)));
        }
        make(&place, dir, node).map_err(failed)?;
    }
    let db = open_file(&place).map_err(failed)?;
    let loaded = load(&db, node).map_err(failed)?;
    match cluster {
        Some(cluster) if !loaded.holds_entries() => return Err(failed(missing(cluster))),
        Some(cluster) if loaded.cluster.as_deref() != Some(cluster) => {
            return Err(failed(foreign(loaded.cluster.as_deref(), cluster)));
        }
        _ => {}
    }
    holds.send_replace(loaded.holds_entries());
    let reserve = Reserve::new(Arc::clone(disk), dir, RESERVE_BYTES);
    let file = Arc::new(File::new(place, db));
    let writer = Writer::start(Arc::clone(&file), reserve).map_err(|e| failed(e.to_string()))?;
    let (writer, view) = (Arc::new(writer), Arc::new(Mutex::new(View::new(&loaded))));
    let of = || (Arc::clone(&file), Arc::clone(&writer), Arc::clone(&view));
    let (a, b, c) = of();
    let snapshots = SnapshotStore::new(&loaded, a, b, c, holds.clone());
    let (a, b, c) = of();
    let log = LogStore::new(node, a, b, c, holds.clone());
    let machine = Machine::new(node, loaded.snapshot, snapshots, log.leading(), stream);
    Ok(Parts { log, machine, writer })
}

/// Runs openraft until `end`, and closes the file. Says first whether openraft has started.
pub fn live(parts: Parts, life: Life, started: oneshot::Sender<Result<Raft, String>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(parts, life, started)),
        Err(error) => drop(started.send(Err(error.to_string()))),
    }
}

async fn run(parts: Parts, life: Life, started: oneshot::Sender<Result<Raft, String>>) {
    let Parts { log, machine, writer } = parts;
    let Life { node, calls, limits, proposals, end, broken, notes } = life;
    let raft = match config() {
        Ok(config) => {
            let network = Network { me: node, calls };
            Raft::new(node, config, network, log, machine).await.map_err(|fatal| fatal.to_string())
        }
        Err(why) => Err(why),
    };
    let raft = match raft {
        Ok(raft) => raft,
        Err(why) => return drop(started.send(Err(why))),
    };
    let ending = Arc::new(AtomicBool::new(false));
    tokio::spawn(watch_core(raft.clone(), Arc::clone(&ending), broken));
    tokio::spawn(compact(raft.clone(), limits));
    tokio::spawn(caught_up::watch(raft.clone(), notes));
    let forward = tokio::spawn(forward(raft.clone(), proposals));
    if started.send(Ok(raft.clone())).is_ok() {
        // Its other side is sent to by `close`, or dropped with the log.
        let _ = end.await;
    }
    ending.store(true, Ordering::Release);
    writer.ending();
    let stop = async {
        let _ = forward.await;
        raft.shutdown().await
    };
    if !matches!(tokio::time::timeout(STOP, stop).await, Ok(Ok(()))) {
        tracing::warn!("the replicated metadata log did not stop in time; it is ended as it is");
    }
}

/// Hands proposals to openraft in the order in which they were made.
async fn forward(raft: Raft, mut proposals: mpsc::UnboundedReceiver<Proposal>) {
    while let Some(Proposal { batch, lead, answer }) = proposals.recv().await {
        if let Err(fatal) = raft.write(batch).with_leader(lead).responder(answer).await {
            tracing::warn!("a change of metadata has an unknown end: {fatal}");
        }
    }
}

/// The node's id, as openraft takes it.
pub fn known(dir: &Path, node: BrokerId) -> Result<u64, OpenError> {
    let why = || format!("a node of a cluster has an id from 0 up, not {node}");
    node_id(node).ok_or_else(|| OpenError { path: dir.join(FILE), why: why() })
}
