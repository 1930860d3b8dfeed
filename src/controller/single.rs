//! The metadata log of a single node: `data/meta.redb`.
//!
//! ```text
//!   log       index → crc32c · version · records (JSON)         one row a batch, all or nothing, committed = durable
//!   snapshot  "image" → crc32c · version · image (JSON)          every SNAPSHOT_EVERY batches; older rows go with it
//! ```
//!
//! One thread proposes: redb's commit blocks. Every commit is `Immediate` with quick repair, apart from the shards'
//! files. Nobody else can lead: the term is always 1.

use crate::storage::{Backend, ShardFault, disk::Disk};
use callboard_actors::ports::{Committed, MetadataLog, MetadataRole, ProposeResult};
use callboard_core::metadata::{Image, MetadataRecord};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, TableDefinition};
use std::path::{Path, PathBuf};
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
        let open = || -> Result<Database, String> {
            let file = disk.open(&path, true).map_err(|e| e.to_string())?;
            let builder = &mut Database::builder();
            builder.set_cache_size(4 << 20).create_with_backend(Backend::new(file)).map_err(|e| e.to_string())
        };
        let db = match open() {
            // Half made when the first start was killed; nothing was served before `identity` knew the cluster.
            Err(why) if !fresh && cluster.is_none() => {
                tracing::warn!(
                    "{}: {why}; no cluster was served from it yet, it is made anew",
                    path.display()
                );
                disk.remove(&path).map_err(|e| failed(e.to_string()))?;
                open()
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
        let worker = Worker { db, image, since_snapshot, committed: committed_tx };
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

struct Worker {
    db: Database,
    image: Image,
    since_snapshot: u64,
    committed: mpsc::UnboundedSender<Committed>,
}

impl Worker {
    fn run(mut self, incoming: &std_mpsc::Receiver<Proposal>) {
        let mut broken: Option<String> = None;
        while let Ok(Proposal { records, answer }) = incoming.recv() {
            let result = match &broken {
                Some(why) => ProposeResult::Unknown(why.clone()),
                None => self.commit(records),
            };
            if let ProposeResult::Unknown(why) = &result {
                // redb refuses writes after an I/O error; what was committed is known again after a restart.
                tracing::error!(
                    "the metadata log takes no more: {why}; restart the node after mending the disk"
                );
                broken = Some(why.clone());
            }
            let _ = answer.send(result);
        }
    }

    fn commit(&mut self, records: Vec<MetadataRecord>) -> ProposeResult {
        let index = self.image.applied + 1;
        self.since_snapshot += 1;
        // The snapshot is that before this batch: rows up to it may go in the same transaction.
        let snapshot = (self.since_snapshot > SNAPSHOT_EVERY).then_some(&self.image);
        if let Err(fault) = append(&self.db, index, &records, snapshot) {
            return ProposeResult::Unknown(format!("meta.redb: {}", fault.0));
        }
        if self.since_snapshot > SNAPSHOT_EVERY {
            self.since_snapshot = 1;
        }
        records.iter().for_each(|record| self.image.apply(record));
        self.image.applied = index;
        let _ = self.committed.send(Committed::Batch { index, records: Arc::new(records) });
        ProposeResult::Committed(index)
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
