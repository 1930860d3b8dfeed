//! The metadata log of a single node: `data/meta.redb`.
//!
//! A batch is one row, written in one durable transaction. So it is committed as a whole or not at all.
//!
//! ```text
//!   log       index → crc32c · version · records (JSON)
//!   snapshot  "image" → crc32c · version · image (JSON)          every SNAPSHOT_EVERY batches; older rows go with it
//! ```
//!
//! One thread commits, because redb's commit blocks. Every commit is `Immediate` with quick repair. No other node can
//! lead, so this node leads in term 1 for ever: the stream begins with the snapshot and this leadership.
//!
//! Rows hold no ids of proposals. The thread adds the id when it commits, and the batches of former processes come as
//! the snapshot.
//!
//! A full disk does not end the log. The thread gives back a small reserve, opens the file again, and tries the batch
//! once more. Without room the batch is refused, and the next one is tried. Any other fault of the disk ends the log
//! until the node is started again.

use crate::storage::{Backend, Reserve, ShardFault, disk::Disk};
use callboard_actors::ports::{MetadataLog, OpenLog};
use callboard_core::BrokerId;
use callboard_core::metadata::{Committed, Image, Leadership, MetadataRecord, ProposalId, ProposeResult};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, TableDefinition};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

const LOG: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("log");
const SNAPSHOT: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("snapshot");

/// Format version of the rows.
const VERSION: u8 = 1;
/// Batches between two snapshots.
const SNAPSHOT_EVERY: u64 = 256;
const TERM: u64 = 1;
/// Bytes held back in a file. On a full disk they give room to a few batches, so that deletes can be committed.
const RESERVE_BYTES: u64 = 2 << 20;

/// The reason why the metadata log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct OpenError {
    path: PathBuf,
    why: String,
}

struct Proposal {
    id: ProposalId,
    records: Vec<MetadataRecord>,
    answer: oneshot::Sender<ProposeResult>,
}

/// A single node's metadata log, with the thread that commits to it.
pub struct SingleLog {
    leadership: Leadership,
    proposals: Mutex<Option<std_mpsc::Sender<Proposal>>>,
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

/// The image of the stored batches.
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
        // A record of an unknown kind stops this build, because no record may be skipped.
        let records: Vec<MetadataRecord> = serde_json::from_slice(unseal(row.value())?)
            .map_err(|e| format!("batch {}: {e}: run the build that wrote it", index.value()))?;
        if index.value() != image.applied + 1 {
            return Err(format!("batch {} is missing", image.applied + 1));
        }
        image.apply_batch(index.value(), &records);
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
    /// Opens or makes the log of a node in its data directory.
    ///
    /// `cluster` is the id that the data directory knows. With an id, the file must exist and belong to that cluster.
    /// A new file in its place would know none of the replicas, and all of them would be strays.
    pub fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        node: BrokerId,
        cluster: Option<&str>,
    ) -> Result<OpenLog, OpenError> {
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
            // A kill during the first start leaves the file half made. No request was served from it, because the
            // data directory knows no cluster yet.
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
        let leadership = Leadership { term: TERM, node };
        let (stream, committed) = mpsc::unbounded_channel();
        let snapshot = Committed::Snapshot { index: image.applied, image: Arc::new(image.clone()) };
        let _ = stream.send(snapshot);
        let _ = stream.send(Committed::Lead(leadership));
        let (proposals, incoming) = std_mpsc::channel();
        let reserve = Reserve::new(Arc::clone(disk), dir, RESERVE_BYTES);
        let worker = Worker { place, reserve, db: Some(db), image, since_snapshot, stream };
        let thread = std::thread::Builder::new()
            .name("metadata".into())
            .spawn(move || worker.run(&incoming))
            .map_err(|e| failed(e.to_string()))?;
        let log = SingleLog {
            leadership,
            proposals: Mutex::new(Some(proposals)),
            thread: Mutex::new(Some(thread)),
        };
        Ok(OpenLog { log: Arc::new(log), committed, first: first_proposal(node) })
    }
}

/// The id of a process's first proposal. Its number is 62 random bits, so that no number of a former process comes
/// again.
fn first_proposal(node: BrokerId) -> ProposalId {
    let [.., a, b, c, d, e, f, g, h] = *uuid::Uuid::new_v4().as_bytes();
    ProposalId { node, number: u64::from_be_bytes([a, b, c, d, e, f, g, h]) }
}

/// The place of the file, so that it can be opened again.
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

    /// Whether a write has found the disk full since the last call.
    fn ran_out(&self) -> bool {
        self.ran_out.swap(false, Ordering::AcqRel)
    }
}

/// The reason why a batch is not committed.
enum Failed {
    /// The disk is full, and the batch is not stored.
    Full(String),
    /// The batch may be stored or not, and the file takes no more.
    Broken(String),
}

struct Worker {
    place: Place,
    reserve: Reserve,
    /// None while the file could not be opened again.
    db: Option<Database>,
    image: Image,
    since_snapshot: u64,
    stream: mpsc::UnboundedSender<Committed>,
}

impl Worker {
    fn run(mut self, incoming: &std_mpsc::Receiver<Proposal>) {
        let mut broken: Option<String> = None;
        while let Ok(Proposal { id, records, answer }) = incoming.recv() {
            let result = match &broken {
                Some(why) => ProposeResult::Refused(why.clone()),
                None => match self.commit(id, records) {
                    Ok(index) => ProposeResult::Committed(index),
                    Err(Failed::Full(why)) => {
                        tracing::warn!(
                            "the metadata log is not written: {why}; it is tried again with the next change"
                        );
                        ProposeResult::Refused(why)
                    }
                    Err(Failed::Broken(why)) => {
                        // redb refuses writes after an I/O error. The next start finds out which batches were
                        // committed.
                        tracing::error!(
                            "the metadata log takes no more: {why}; restart the node after mending the disk"
                        );
                        broken = Some(why.clone());
                        ProposeResult::Unknown(why)
                    }
                },
            };
            let _ = answer.send(result);
        }
    }

    /// Commits a batch. On a full disk it tries once more, with the room of the reserve.
    fn commit(&mut self, id: ProposalId, records: Vec<MetadataRecord>) -> Result<u64, Failed> {
        let index = self.image.applied + 1;
        let mut stored = self.append(index, &records);
        if let Err(Failed::Full(_)) = &stored {
            self.reserve.release();
            stored = match self.open_again() {
                // The file holds the batch, although the commit failed.
                Ok(true) => Ok(()),
                Ok(false) => self.append(index, &records),
                Err(failed) => Err(failed),
            };
        }
        match stored {
            Ok(()) => Ok(self.committed(index, id, records)),
            // The next batch needs an open file.
            Err(Failed::Full(why)) => match self.open_again() {
                Ok(true) => Ok(self.committed(index, id, records)),
                Ok(false) | Err(Failed::Full(_)) => Err(Failed::Full(why)),
                Err(broken) => Err(broken),
            },
            Err(broken) => Err(broken),
        }
    }

    fn committed(&mut self, index: u64, id: ProposalId, records: Vec<MetadataRecord>) -> u64 {
        let free = || self.place.disk.free_bytes(&self.place.path).unwrap_or(0);
        if !self.reserve.held() && free() >= 8 * RESERVE_BYTES {
            // A failure here does no harm, because the next change tries again.
            let _ = self.reserve.make();
        }
        self.since_snapshot += 1;
        if self.since_snapshot > SNAPSHOT_EVERY {
            self.since_snapshot = 1;
        }
        self.image.apply_batch(index, &records);
        let (proposal, records) = (Some(id), Arc::new(records));
        let _ = self.stream.send(Committed::Batch { index, proposal, records });
        index
    }

    fn append(&mut self, index: u64, records: &[MetadataRecord]) -> Result<(), Failed> {
        if self.db.is_none() {
            self.open_again()?;
        }
        let Some(db) = &self.db else { return Err(Failed::Full("meta.redb is closed".into())) };
        // The snapshot is the image before this batch. The rows that it covers go in the same transaction.
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

    /// Opens the file again, and says whether it holds one batch more than is known.
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
    fn propose(
        &self,
        leadership: Leadership,
        id: ProposalId,
        records: Vec<MetadataRecord>,
    ) -> BoxFuture<'static, ProposeResult> {
        let (answer, result) = oneshot::channel();
        let proposal = Proposal { id, records, answer };
        let sent = leadership == self.leadership
            && self.proposals.lock().as_ref().is_some_and(|to| to.send(proposal).is_ok());
        Box::pin(async move {
            if !sent {
                return ProposeResult::NotLeader;
            }
            result.await.unwrap_or_else(|_| ProposeResult::Unknown("the node is ending".into()))
        })
    }

    fn close(&self) {
        drop(self.proposals.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::RealDisk;

    const LEAD: Leadership = Leadership { term: TERM, node: 7 };

    fn open(dir: &Path) -> OpenLog {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        SingleLog::open(&disk, dir, LEAD.node, None).unwrap()
    }

    fn ids_until(next: u64) -> Vec<MetadataRecord> {
        vec![MetadataRecord::ProducerIds { next: next as i64 }]
    }

    #[tokio::test]
    async fn a_committed_batch_is_there_after_a_restart_snapshots_included() {
        let dir = tempfile::tempdir().unwrap();
        let total = SNAPSHOT_EVERY * 2 + 7;
        {
            let OpenLog { log, first, .. } = open(dir.path());
            for n in 1..=total {
                let result = log.propose(LEAD, first, ids_until(n)).await;
                assert_eq!(result, ProposeResult::Committed(n));
            }
            log.close();
            let closed = log.propose(LEAD, first, ids_until(0)).await;
            assert_eq!(closed, ProposeResult::NotLeader, "a closed log takes nothing");
            log.close();
        }
        let OpenLog { log, mut committed, .. } = open(dir.path());
        let Some(Committed::Snapshot { image, index }) = committed.recv().await else { panic!() };
        assert_eq!((index, image.next_producer_id), (total, total as i64));
        log.close();
    }

    #[tokio::test]
    async fn the_stream_is_a_snapshot_a_leadership_and_each_batch_with_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let OpenLog { log, mut committed, first } = open(dir.path());
        assert_eq!(first.node, LEAD.node);
        assert!(matches!(committed.recv().await, Some(Committed::Snapshot { index: 0, .. })));
        assert!(matches!(committed.recv().await, Some(Committed::Lead(LEAD))));
        for other in [Leadership { term: 2, ..LEAD }, Leadership { node: 8, ..LEAD }] {
            assert_eq!(log.propose(other, first, ids_until(9)).await, ProposeResult::NotLeader, "{other:?}");
        }
        for (index, id) in [(1, first), (2, first.next())] {
            assert_eq!(log.propose(LEAD, id, ids_until(5)).await, ProposeResult::Committed(index));
            let Some(Committed::Batch { index: at, proposal, records }) = committed.recv().await else {
                panic!()
            };
            assert_eq!((at, proposal, &*records), (index, Some(id), &ids_until(5)));
        }
        log.close();
        assert!(committed.recv().await.is_none(), "a closed log ends its stream");
    }

    #[tokio::test]
    async fn rows_of_the_first_format_are_read() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).log.close();
        let rows = [
            r#"[{"Cluster":{"cluster_id":"c"}},{"Configs":{"of":"Cluster","changes":{"min.insync.replicas":"1"}}},
                {"Broker":{"broker_id":1,"host":"h","port":9,"rack":null}}]"#,
            r#"[{"Topic":{"id":"07070707-0707-0707-0707-070707070707","name":"t","replicas":[[1]],"configs":{}}}]"#,
            r#"[{"Broker":{"broker_id":1,"host":"h","port":9,"rack":null}},{"PartitionChange":{"topic":
                "07070707-0707-0707-0707-070707070707","partition":0,"leader":1,"leader_epoch":1,"isr":[1],
                "partition_epoch":1}}]"#,
        ];
        {
            let db = Database::create(dir.path().join("meta.redb")).unwrap();
            let tx = db.begin_write().unwrap();
            let mut log = tx.open_table(LOG).unwrap();
            for (index, row) in (1..).zip(rows) {
                log.insert(index, &seal(row.as_bytes().to_vec())[..]).unwrap();
            }
            drop(log);
            tx.commit().unwrap();
        }
        let OpenLog { log, mut committed, .. } = open(dir.path());
        let Some(Committed::Snapshot { image, index: 3 }) = committed.recv().await else { panic!() };
        assert_eq!((image.cluster_id.as_deref(), image.brokers[&1].epoch), (Some("c"), 3));
        assert_eq!(image.topic("t").unwrap().partitions[0].leader_epoch, 1);
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
