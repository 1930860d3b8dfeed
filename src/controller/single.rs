//! The metadata log of a single node: `data/meta.redb`.
//!
//! ```text
//!   log       index → crc32c · version · records (JSON)         one row a batch, all or nothing, committed = durable
//!   snapshot  "image" → crc32c · version · image (JSON)          every SNAPSHOT_EVERY batches; older rows go with it
//! ```
//!
//! One thread proposes: redb's commit blocks. Every commit is `Immediate` with quick repair, apart from the shards'
//! files. Nobody else can lead: the term is always 1. A full disk is no end: a small reserve is given back, the file
//! is opened again, the batch tried once more; without room it is refused, and the next one is tried.

use crate::storage::{Backend, Reserve, ShardFault, disk::Disk};
use callboard_actors::ports::{Committed, MetadataLog, MetadataRole, ProposeResult};
use callboard_core::metadata::{Image, MetadataRecord};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, TableDefinition};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};

const LOG: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("log");
const SNAPSHOT: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("snapshot");

/// Format of rows.
const VERSION: u8 = 1;
/// Batches between two snapshots.
const SNAPSHOT_EVERY: u64 = 256;
const TERM: u64 = 1;
/// Held back in a file for batches on a full disk: deletes are such.
const RESERVE_BYTES: u64 = 2 << 20;

/// Why the metadata log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct OpenError {
    path: PathBuf,
    why: String,
}

struct Proposal {
    records: Vec<MetadataRecord>,
    answer: oneshot::Sender<ProposeResult>,
}

/// The log.
pub struct SingleLog {
    proposals: Mutex<Option<std_mpsc::Sender<Proposal>>>,
    committed: Mutex<Option<mpsc::UnboundedReceiver<Committed>>>,
    role: watch::Sender<MetadataRole>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn seal(json: Vec<u8>) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend(json);
    let mut row = crc32c::crc32c(&body).to_le_bytes().to_vec();
    row.extend(body);
    row
}

fn unseal(row: &[u8]) -> Result<&[u8], String> {
    let (crc, body) = row.split_first_chunk::<4>().ok_or("a row is cut short")?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err("a row's checksum does not match: restore the file from a backup".into());
    }
    match body.split_first() {
        Some((&VERSION, json)) => Ok(json),
        Some((version, _)) => {
            Err(format!("a row has version {version}, this build reads {VERSION}: run the newer build again"))
        }
        None => Err("a row is empty".into()),
    }
}

/// Everything stored, folded.
struct Recovered {
    image: Image,
    since_snapshot: u64,
}

fn load(db: &Database) -> Result<Recovered, String> {
    let text = |e: redb::Error| e.to_string();
    let tx = db.begin_read().map_err(|e| text(e.into()))?;
    let mut image = match tx.open_table(SNAPSHOT) {
        Ok(table) => match table.get("image").map_err(|e| text(e.into()))? {
            Some(row) => serde_json::from_slice(unseal(row.value())?)
                .map_err(|e| format!("the snapshot does not parse: {e}"))?,
            None => Image::default(),
        },
        Err(redb::TableError::TableDoesNotExist(_)) => Image::default(),
        Err(e) => return Err(text(e.into())),
    };
    let mut since_snapshot = 0;
    let log = match tx.open_table(LOG) {
        Ok(log) => log,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Recovered { image, since_snapshot }),
        Err(e) => return Err(text(e.into())),
    };
    for row in log.range(image.applied + 1..).map_err(|e| text(e.into()))? {
        let (index, row) = row.map_err(|e| text(e.into()))?;
        // A record of a kind this build does not know stops it here: it is never skipped.
        let records: Vec<MetadataRecord> = serde_json::from_slice(unseal(row.value())?)
            .map_err(|e| format!("batch {}: {e}: run the build that wrote it", index.value()))?;
        if index.value() != image.applied + 1 {
            return Err(format!("batch {} is missing", image.applied + 1));
        }
        records.iter().for_each(|record| image.apply(record));
        image.applied = index.value();
        since_snapshot += 1;
    }
    Ok(Recovered { image, since_snapshot })
}

fn append(
    db: &Database,
    index: u64,
    records: &[MetadataRecord],
    snapshot: Option<&Image>,
) -> Result<(), ShardFault> {
    let json = serde_json::to_vec(records).map_err(|e| ShardFault(e.to_string()))?;
    let mut tx = db.begin_write()?;
    tx.set_durability(redb::Durability::Immediate)?;
    tx.set_quick_repair(true);
    {
        let mut log = tx.open_table(LOG)?;
        log.insert(index, &seal(json)[..])?;
        if let Some(image) = snapshot {
            let json = serde_json::to_vec(image).map_err(|e| ShardFault(e.to_string()))?;
            tx.open_table(SNAPSHOT)?.insert("image", &seal(json)[..])?;
            log.retain_in(..=image.applied, |_, _| false)?;
        }
    }
    tx.commit()?;
    Ok(())
}

impl SingleLog {
    /// Opens, or makes, the log in a data directory.
    ///
    /// `cluster`: the id that the data directory knows. Then the file must be there and be that cluster's: a new one in
    /// its place would take every replica for a stranger.
    pub fn open(disk: &Arc<dyn Disk>, dir: &Path, cluster: Option<&str>) -> Result<SingleLog, OpenError> {
        let path = dir.join("meta.redb");
        let failed = |why: String| OpenError { path: path.clone(), why };
        let fresh = !disk.exists(&path).map_err(|e| failed(e.to_string()))?;
        if let (true, Some(cluster)) = (fresh, cluster) {
            return Err(failed(format!(
                "the metadata of cluster {cluster} is missing: restore the file from a backup; nothing is created in \
                 its place"
            )));
        }
        let place = Place { disk: Arc::clone(disk), path: path.clone(), ran_out: Arc::default() };
        let db = match place.open() {
            // Half made when the first start was killed; nothing was served before `identity` knew the cluster.
            Err(why) if !fresh && cluster.is_none() => {
                tracing::warn!(
                    "{}: {why}; no cluster was served from it yet, it is made anew",
                    path.display()
                );
                disk.remove(&path).map_err(|e| failed(e.to_string()))?;
                place.open()
            }
            opened => opened,
        };
        let db = db.map_err(failed)?;
        if fresh {
            disk.sync_dir(dir).map_err(|e| failed(e.to_string()))?;
        }
        let Recovered { image, since_snapshot } = load(&db).map_err(failed)?;
        if let (Some(cluster), found) = (cluster, image.cluster_id.as_deref())
            && found != Some(cluster)
        {
            let found = found.unwrap_or("no cluster");
            return Err(failed(format!(
                "it is of {found}, the data directory of cluster {cluster}: restore the file from its own backup"
            )));
        }
        let (committed_tx, committed) = mpsc::unbounded_channel();
        let snapshot = Committed::Snapshot { index: image.applied, image: Arc::new(image.clone()) };
        let _ = committed_tx.send(snapshot);
        let (proposals, incoming) = std_mpsc::channel();
        let reserve = Reserve::new(Arc::clone(disk), dir, RESERVE_BYTES);
        let worker = Worker { place, reserve, db: Some(db), image, since_snapshot, committed: committed_tx };
        let thread = std::thread::Builder::new()
            .name("metadata".into())
            .spawn(move || worker.run(&incoming))
            .map_err(|e| failed(e.to_string()))?;
        Ok(SingleLog {
            proposals: Mutex::new(Some(proposals)),
            committed: Mutex::new(Some(committed)),
            role: watch::Sender::new(MetadataRole::Leader { term: TERM }),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Ends the thread after what is proposed.
    pub fn close(&self) {
        drop(self.proposals.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

/// The file, so that it can be opened again.
struct Place {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    ran_out: Arc<AtomicBool>,
}

impl Place {
    fn open(&self) -> Result<Database, String> {
        let file = self.disk.open(&self.path, true).map_err(|e| e.to_string())?;
        let backend = Backend::new(file, Arc::clone(&self.ran_out));
        let builder = &mut Database::builder();
        builder.set_cache_size(4 << 20).create_with_backend(backend).map_err(|e| e.to_string())
    }

    /// Whether there was no space since this was asked last.
    fn ran_out(&self) -> bool {
        self.ran_out.swap(false, Ordering::AcqRel)
    }
}

/// Why a batch is not committed.
enum Failed {
    /// The disk is full, and the batch is certainly not stored.
    Full(String),
    /// Nothing is known, and nothing more is taken.
    Broken(String),
}

struct Worker {
    place: Place,
    reserve: Reserve,
    /// None, while it could not be opened again.
    db: Option<Database>,
    image: Image,
    since_snapshot: u64,
    committed: mpsc::UnboundedSender<Committed>,
}

impl Worker {
    fn run(mut self, incoming: &std_mpsc::Receiver<Proposal>) {
        let mut broken: Option<String> = None;
        while let Ok(Proposal { records, answer }) = incoming.recv() {
            let result = match &broken {
                Some(why) => Err(Failed::Broken(why.clone())),
                None => self.commit(records),
            };
            let _ = answer.send(match result {
                Ok(index) => ProposeResult::Committed(index),
                Err(Failed::Full(why)) => {
                    tracing::warn!(
                        "the metadata log is not written: {why}; it is tried again with the next change"
                    );
                    ProposeResult::Unknown(why)
                }
                Err(Failed::Broken(why)) => {
                    if broken.is_none() {
                        // redb refuses writes after an I/O error; what was committed is known again after a restart.
                        tracing::error!(
                            "the metadata log takes no more: {why}; restart the node after mending the disk"
                        );
                        broken = Some(why.clone());
                    }
                    ProposeResult::Unknown(why)
                }
            });
        }
    }

    /// Commits a batch; on a full disk once more, on what the reserve gives.
    fn commit(&mut self, records: Vec<MetadataRecord>) -> Result<u64, Failed> {
        let index = self.image.applied + 1;
        let mut stored = self.append(index, &records);
        if let Err(Failed::Full(_)) = &stored {
            self.reserve.release();
            stored = match self.open_again() {
                // Its fate was not known: it is stored.
                Ok(true) => Ok(()),
                Ok(false) => self.append(index, &records),
                Err(failed) => Err(failed),
            };
        }
        match stored {
            Ok(()) => Ok(self.committed(index, records)),
            // For whoever comes next.
            Err(Failed::Full(why)) => match self.open_again() {
                Ok(true) => Ok(self.committed(index, records)),
                Ok(false) | Err(Failed::Full(_)) => Err(Failed::Full(why)),
                Err(broken) => Err(broken),
            },
            Err(broken) => Err(broken),
        }
    }

    fn committed(&mut self, index: u64, records: Vec<MetadataRecord>) -> u64 {
        let free = || self.place.disk.free_bytes(&self.place.path).unwrap_or(0);
        if !self.reserve.held() && free() >= 8 * RESERVE_BYTES {
            // Where it fails the next change tries again.
            let _ = self.reserve.make();
        }
        self.since_snapshot += 1;
        if self.since_snapshot > SNAPSHOT_EVERY {
            self.since_snapshot = 1;
        }
        records.iter().for_each(|record| self.image.apply(record));
        self.image.applied = index;
        let _ = self.committed.send(Committed::Batch { index, records: Arc::new(records) });
        index
    }

    fn append(&mut self, index: u64, records: &[MetadataRecord]) -> Result<(), Failed> {
        if self.db.is_none() {
            self.open_again()?;
        }
        let Some(db) = &self.db else { return Err(Failed::Full("meta.redb is closed".into())) };
        // The snapshot is that before this batch: rows up to it may go in the same transaction.
        let snapshot = (self.since_snapshot >= SNAPSHOT_EVERY).then_some(&self.image);
        let stored = append(db, index, records, snapshot);
        stored.map_err(|fault| self.failed(format!("meta.redb: {fault}")))
    }

    fn failed(&self, why: String) -> Failed {
        if self.place.ran_out() {
            Failed::Full(format!("the disk is full: {why}"))
        } else {
            Failed::Broken(why)
        }
    }

    /// Opens the file again. Whether it holds one batch more than is known.
    fn open_again(&mut self) -> Result<bool, Failed> {
        self.db = None;
        let db = self.place.open().map_err(|why| self.failed(why))?;
        let found = load(&db).map_err(Failed::Broken)?.image.applied;
        self.db = Some(db);
        match found.checked_sub(self.image.applied) {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(Failed::Broken(format!("it holds {found} batches, {} are known", self.image.applied))),
        }
    }
}

impl MetadataLog for SingleLog {
    fn propose(&self, term: u64, records: Vec<MetadataRecord>) -> BoxFuture<'static, ProposeResult> {
        let (answer, result) = oneshot::channel();
        let sent = term == TERM
            && self.proposals.lock().as_ref().is_some_and(|to| to.send(Proposal { records, answer }).is_ok());
        Box::pin(async move {
            if !sent {
                return ProposeResult::NotLeader;
            }
            result.await.unwrap_or_else(|_| ProposeResult::Unknown("the node is ending".into()))
        })
    }

    fn committed(&self) -> mpsc::UnboundedReceiver<Committed> {
        // Called once; a second caller hears nothing.
        self.committed.lock().take().unwrap_or_else(|| mpsc::unbounded_channel().1)
    }

    fn role(&self) -> watch::Receiver<MetadataRole> {
        self.role.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::RealDisk;

    #[tokio::test]
    async fn what_is_committed_is_there_after_a_restart_snapshots_included() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let total = SNAPSHOT_EVERY * 2 + 7;
        {
            let log = SingleLog::open(&disk, dir.path(), None).unwrap();
            for n in 1..=total {
                let records = vec![MetadataRecord::ProducerIds { next: n as i64 }];
                assert_eq!(log.propose(1, records).await, ProposeResult::Committed(n));
            }
            assert_eq!(log.propose(2, vec![]).await, ProposeResult::NotLeader);
            log.close();
        }
        let log = SingleLog::open(&disk, dir.path(), None).unwrap();
        let Some(Committed::Snapshot { image, index }) = log.committed().recv().await else { panic!() };
        assert_eq!((index, image.next_producer_id), (total, total as i64));
        log.close();
    }

    #[test]
    fn a_rotten_row_is_refused() {
        let mut row = seal(b"{}".to_vec());
        assert_eq!(unseal(&row), Ok(&b"{}"[..]));
        row[6] ^= 1;
        assert!(unseal(&row).is_err());
    }
}
