//! The metadata log of a single node: `data/meta.redb`.
//!
//! A batch is one row, written in one durable transaction. So it is committed as a whole or not at all.
//!
//! Every 256 batches the image goes in with the batch, as a snapshot, and older rows go out.
//!
//! One thread commits, because redb's commit blocks. Every commit is `Immediate` with quick repair. No other node can
//! lead, so this node leads in term 1 for ever: the stream begins with the snapshot and this leadership.
//!
//! Rows hold no ids of proposals. The thread adds the id when it commits, and the batches of former processes come as
//! the snapshot.
//!
//! `rows.rs` has the bytes, `worker.rs` the thread and what a full or broken disk means.

use super::file::{OpenError, Place, RESERVE_BYTES, first_proposal, foreign, missing, tables};
use super::rows::{RAFT_LOG, Recovered, load};
use super::worker::{Proposal, Worker};
use crate::storage::{Reserve, disk::Disk};
use callboard_actors::ports::{MetadataLog, OpenLog};
use callboard_core::BrokerId;
use callboard_core::metadata::{Committed, Leadership, MetadataRecord, ProposalId, ProposeResult};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// The term in which the only node leads, for ever.
pub const SINGLE_TERM: u64 = 1;

/// The words of a file that a voter of a cluster has written.
const OF_A_CLUSTER: &str = "this directory is of a node of a cluster: start the node with the seeds of its cluster; \
                            alone it would lose what the others committed";

/// A single node's metadata log, with the thread that commits to it.
pub struct SingleLog {
    leadership: Leadership,
    proposals: Mutex<Option<std_mpsc::Sender<Proposal>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
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
            return Err(failed(missing(cluster)));
        }
        let place = Place::new(disk, &path);
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
        if tables(&db).map_err(failed)?.contains(RAFT_LOG) {
            return Err(failed(OF_A_CLUSTER.into()));
        }
        let Recovered { image, since_snapshot } = load(&db).map_err(failed)?;
        if let (Some(cluster), found) = (cluster, image.cluster_id.as_deref())
            && found != Some(cluster)
        {
            return Err(failed(foreign(found, cluster)));
        }
        let leadership = Leadership { term: SINGLE_TERM, node };
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
    use crate::controller::rows::{LOG, SNAPSHOT, seal};
    use crate::controller::worker::SNAPSHOT_EVERY;
    use crate::storage::RealDisk;

    const LEAD: Leadership = Leadership { term: SINGLE_TERM, node: 7 };

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
            let db = redb::Database::create(dir.path().join("meta.redb")).unwrap();
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

    #[tokio::test]
    async fn a_snapshot_and_rows_of_a_build_without_clusters_are_read() {
        const IMAGE: &str = include_str!("../../actors/core/src/metadata/samples/image-6.json");
        const ROWS: &str = include_str!("../../actors/core/src/metadata/samples/log.jsonl");
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).log.close();
        {
            let db = redb::Database::create(dir.path().join("meta.redb")).unwrap();
            let tx = db.begin_write().unwrap();
            let mut snapshot = tx.open_table(SNAPSHOT).unwrap();
            snapshot.insert("image", &seal(IMAGE.trim_end().as_bytes().to_vec())[..]).unwrap();
            drop(snapshot);
            let mut log = tx.open_table(LOG).unwrap();
            for (index, row) in (1..).zip(ROWS.lines()).skip(6) {
                log.insert(index, &seal(row.as_bytes().to_vec())[..]).unwrap();
            }
            drop(log);
            tx.commit().unwrap();
        }
        let OpenLog { log, mut committed, first } = open(dir.path());
        let Some(Committed::Snapshot { image, index: 8 }) = committed.recv().await else { panic!() };
        assert_eq!((image.brokers[&1].epoch, image.brokers[&1].address()), (8, ("localhost", 9092)));
        assert_eq!(image.topic("orders").unwrap().partitions.len(), 4);
        assert_eq!(log.propose(LEAD, first, ids_until(5000)).await, ProposeResult::Committed(9));
        log.close();
    }
}
