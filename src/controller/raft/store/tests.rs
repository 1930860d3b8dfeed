//! openraft's own suite, and what it leaves out: reopening, rotten rows, files of others, a full disk.

use super::super::faulty::{Fault, FaultyDisk};
use super::super::machine::Machine;
use super::super::open::{Parts, open_store};
use super::super::types::{Batch, Entry, Lead, LogId, SnapshotMeta, TypeConfig, Vote};
use super::rows::{LOG, META};
use super::{LogStore, Stored};
use crate::controller::SingleLog;
use crate::storage::RealDisk;
use crate::storage::disk::Disk;
use callboard_actors::ports::OpenLog;
use callboard_core::BrokerId;
use callboard_core::metadata::{Committed, Image, Leadership, MetadataRecord, ProposalId, ProposeResult};
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage, RaftStateMachine};
use openraft::testing::blank_ent;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use openraft::{EntryPayload, RaftSnapshotBuilder, StorageError};
use redb::ReadableTable;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

const ME: BrokerId = 1;
const PATIENCE: Duration = Duration::from_secs(30);

type Stream = mpsc::UnboundedReceiver<Committed>;

fn real() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

fn try_open(disk: &Arc<dyn Disk>, dir: &Path, cluster: Option<&str>) -> Result<(Parts, Stream), String> {
    let (stream, events) = mpsc::unbounded_channel();
    let (holds, _) = watch::channel(false);
    let parts = open_store(disk, dir, ME, cluster, stream, &holds).map_err(|e| e.to_string())?;
    Ok((parts, events))
}

fn open(dir: &Path) -> (Parts, Stream) {
    try_open(&real(), dir, None).unwrap()
}

struct Build;

impl StoreBuilder<TypeConfig, LogStore, Machine, (TempDir, Stream)> for Build {
    async fn build(&self) -> Result<((TempDir, Stream), LogStore, Machine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let (Parts { mut log, machine, .. }, events) = open(dir.path());
        log.begins_anywhere = true;
        Ok(((dir, events), log, machine))
    }
}

#[test]
fn openraft_suite() {
    TypeConfig::run(async { Suite::test_all(Build).await }).unwrap();
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(Lead { term, node_id: 1 }, index)
}

fn entry(term: u64, index: u64, records: Vec<MetadataRecord>) -> Entry {
    let batch = Batch { id: ProposalId { node: ME, number: index }, records: Arc::new(records) };
    Entry { payload: EntryPayload::Normal(batch), ..blank_ent::<TypeConfig>(term, 1, index) }
}

fn cluster(id: &str) -> Vec<MetadataRecord> {
    vec![MetadataRecord::Cluster { cluster_id: id.into(), cluster_epoch: 0, seats: Vec::new() }]
}

async fn begin_append(
    log: &mut LogStore,
    entries: Vec<Entry>,
) -> impl Future<Output = Result<(), String>> + use<> {
    let (sender, receiver) = TypeConfig::oneshot();
    log.append(entries, IOFlushed::signal(sender)).await.unwrap();
    async { receiver.await.map_err(|_| "no answer".to_owned())?.map_err(|e| e.to_string()) }
}

async fn append(log: &mut LogStore, entries: Vec<Entry>) {
    begin_append(log, entries).await.await.unwrap();
}

fn blanks(term: u64, range: std::ops::Range<u64>) -> Vec<Entry> {
    range.map(|index| blank_ent::<TypeConfig>(term, 1, index)).collect()
}

async fn terms(log: &mut LogStore) -> Vec<(u64, u64)> {
    let entries = log.try_get_log_entries(0..100).await.unwrap();
    entries.iter().map(|e| (e.log_id.index, e.log_id.leader_id.term)).collect()
}

#[tokio::test]
async fn each_kind_of_change_survives_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (Parts { mut log, .. }, _events) = open(dir.path());
        append(&mut log, blanks(1, 0..10)).await;
    }
    {
        let (Parts { mut log, .. }, _events) = open(dir.path());
        assert_eq!(terms(&mut log).await, (0..10).map(|i| (i, 1)).collect::<Vec<_>>());
        log.truncate_after(Some(id(1, 7))).await.unwrap();
    }
    {
        let (Parts { mut log, .. }, _events) = open(dir.path());
        assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(id(1, 7)));
        append(&mut log, blanks(2, 8..10)).await;
        log.save_vote(&Vote::new(3, 2)).await.unwrap();
    }
    {
        let (Parts { mut log, mut machine, .. }, _events) = open(dir.path());
        assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(3, 2)));
        assert_eq!(terms(&mut log).await[7..], [(7, 1), (8, 2), (9, 2)]);
        log.save_committed(Some(id(1, 5))).await.unwrap();
        let entries = log.try_get_log_entries(0..6).await.unwrap();
        let stream = entries.into_iter().map(|entry| Ok((entry, None)));
        machine.apply(futures_util::stream::iter(stream)).await.unwrap();
        machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        log.purge(id(1, 2)).await.unwrap();
    }
    let (Parts { mut log, mut machine, .. }, _events) = open(dir.path());
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(1, 2)), Some(id(2, 9))));
    assert_eq!(log.read_committed().await.unwrap(), Some(id(1, 5)), "it travelled with the snapshot");
    assert_eq!(terms(&mut log).await[0], (3, 1));
    assert_eq!(machine.applied_state().await.unwrap().0, Some(id(1, 5)));
}

/// Alone it reaches no disk, so an entry that was never written is never called committed.
#[tokio::test]
async fn the_committed_position_waits_for_a_change() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (Parts { mut log, .. }, _events) = open(dir.path());
        append(&mut log, blanks(1, 0..3)).await;
        log.save_committed(Some(id(1, 2))).await.unwrap();
        assert_eq!(log.read_committed().await.unwrap(), Some(id(1, 2)));
    }
    let (Parts { mut log, .. }, _events) = open(dir.path());
    assert_eq!(log.read_committed().await.unwrap(), None);
}

fn image(next_producer_id: i64) -> Arc<Image> {
    Arc::new(Image { next_producer_id, ..Image::default() })
}

fn meta(term: u64, index: u64) -> SnapshotMeta {
    SnapshotMeta { last_log_id: Some(id(term, index)), ..SnapshotMeta::default() }
}

#[tokio::test]
async fn an_installed_snapshot_replaces_everything_at_once() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (Parts { mut log, mut machine, .. }, mut events) = open(dir.path());
        append(&mut log, blanks(1, 0..5)).await;
        let builder = machine.get_snapshot_builder().await;
        machine.install_snapshot(&meta(2, 40), image(7)).await.unwrap();
        // Behind the snapshot there is no gap, and no older builder takes the row back.
        append(&mut log, blanks(2, 41..43)).await;
        { builder }.build_snapshot().await.unwrap();
        assert!(matches!(events.recv().await, Some(Committed::Snapshot { index: 0, .. })));
        let Some(Committed::Snapshot { index: 40, image }) = events.recv().await else { panic!() };
        assert_eq!(image.next_producer_id, 7);
    }
    let (Parts { mut log, mut machine, .. }, mut events) = open(dir.path());
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(2, 40)), Some(id(2, 42))));
    assert_eq!(terms(&mut log).await, [(41, 2), (42, 2)]);
    let Some(Committed::Snapshot { index: 40, image }) = events.recv().await else { panic!() };
    assert_eq!(image.next_producer_id, 7);
    assert!(events.try_recv().is_err(), "its last entry is of a former life of this node: no leadership");
    let snapshot = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!((snapshot.meta, snapshot.snapshot), (meta(2, 40), image));
}

#[tokio::test]
async fn an_append_behind_a_snapshot_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (Parts { mut log, mut machine, .. }, _events) = open(dir.path());
    let (began, begins) = oneshot::channel();
    let early = tokio::spawn(async move {
        began.send(()).unwrap();
        append(&mut log, blanks(2, 41..43)).await;
        log
    });
    begins.await.unwrap();
    tokio::task::yield_now().await;
    assert!(!early.is_finished());
    machine.install_snapshot(&meta(2, 40), image(7)).await.unwrap();
    let mut log = tokio::time::timeout(PATIENCE, early).await.unwrap().unwrap();
    assert_eq!(terms(&mut log).await, [(41, 2), (42, 2)]);
}

#[tokio::test]
async fn only_a_leadership_that_this_process_won_is_announced_as_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let apply = async |machine: &mut Machine, entries: Vec<Entry>| {
        let stream = entries.into_iter().map(|entry| Ok((entry, None)));
        machine.apply(futures_util::stream::iter(stream)).await.unwrap();
    };
    let led = |events: &mut Stream| {
        let all = std::iter::from_fn(|| events.try_recv().ok());
        all.filter_map(|e| match e {
            Committed::Lead(Leadership { term, .. }) => Some(term),
            _ => None,
        })
        .collect::<Vec<_>>()
    };
    {
        let (Parts { mut log, mut machine, .. }, mut events) = open(dir.path());
        log.save_vote(&Vote::new_committed(1, 1)).await.unwrap();
        append(&mut log, blanks(1, 0..1)).await;
        apply(&mut machine, blanks(1, 0..1)).await;
        assert_eq!(led(&mut events), [1]);
        // It wins term 3, and hears of a later candidate before its empty entry is applied.
        log.save_vote(&Vote::new_committed(3, 1)).await.unwrap();
        log.save_vote(&Vote::new(4, 2)).await.unwrap();
        apply(&mut machine, blanks(3, 1..2)).await;
        assert_eq!(led(&mut events), [0u64; 0]);
        log.save_vote(&Vote::new_committed(5, 1)).await.unwrap();
    }
    let (Parts { mut log, mut machine, .. }, mut events) = open(dir.path());
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new_committed(5, 1)));
    apply(&mut machine, blanks(1, 0..1)).await;
    apply(&mut machine, blanks(5, 1..2)).await;
    let other = Entry { log_id: LogId::new(Lead { term: 5, node_id: 2 }, 2), ..blanks(5, 2..3).remove(0) };
    apply(&mut machine, vec![other]).await;
    let leads: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).skip(1).collect();
    assert!(matches!(leads[..], [Committed::Lead(Leadership { term: 5, node: 2 })]), "{leads:?}");
}

/// Changes the file behind its back.
fn damage(dir: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let db = redb::Database::create(dir.join("meta.redb")).unwrap();
    let tx = db.begin_write().unwrap();
    change(&tx);
    tx.commit().unwrap();
}

fn flipped(row: &[u8]) -> Vec<u8> {
    let mut row = row.to_vec();
    let last = row.len() - 2;
    row[last] ^= 1;
    row
}

fn refused(dir: &Path, cluster: Option<&str>) -> String {
    try_open(&real(), dir, cluster).map(drop).unwrap_err()
}

#[tokio::test]
async fn a_rotten_row_or_a_gap_is_refused_in_words() {
    let written = async || {
        let dir = tempfile::tempdir().unwrap();
        let (Parts { mut log, mut machine, .. }, _events) = open(dir.path());
        append(&mut log, blanks(1, 0..9)).await;
        machine.install_snapshot(&meta(1, 3), image(7)).await.unwrap();
        log.save_vote(&Vote::new(3, 2)).await.unwrap();
        dir
    };
    for index in 4..9u64 {
        let dir = written().await;
        damage(dir.path(), |tx| {
            let mut log = tx.open_table(LOG).unwrap();
            let row = flipped(log.get(index).unwrap().unwrap().value());
            log.insert(index, row.as_slice()).unwrap();
        });
        let why = refused(dir.path(), None);
        assert!(why.contains(&format!("entry {index}")) && why.contains("checksum"), "{why}");
    }
    for key in ["node", "vote", "purged", "snapshot"] {
        let dir = written().await;
        damage(dir.path(), |tx| {
            let mut meta = tx.open_table(META).unwrap();
            let row = flipped(meta.get(key).unwrap().unwrap().value());
            meta.insert(key, row.as_slice()).unwrap();
        });
        let why = refused(dir.path(), None);
        assert!(why.contains(key) && why.contains("checksum"), "{why}");
    }
    for (index, words) in [(4u64, "entry 4 is missing"), (6, "entry 6 is missing")] {
        let dir = written().await;
        damage(dir.path(), |tx| drop(tx.open_table(LOG).unwrap().remove(index).unwrap()));
        let why = refused(dir.path(), None);
        assert!(why.contains(words), "{why}");
    }
    let dir = written().await;
    damage(dir.path(), |tx| drop(tx.open_table(META).unwrap().remove("snapshot").unwrap()));
    let why = refused(dir.path(), None);
    assert!(why.contains("the snapshot does not cover"), "{why}");
}

#[tokio::test]
async fn nothing_is_made_in_place_of_what_is_known() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refused(dir.path(), Some("c")).contains("nothing is created in its place"));
    assert!(!dir.path().join("meta.redb").exists());
    {
        let (Parts { mut log, .. }, _events) = open(dir.path());
        log.save_vote(&Vote::new(3, 2)).await.unwrap();
    }
    assert!(refused(dir.path(), Some("c")).contains("nothing is created in its place"), "a vote is no entry");
    {
        let (Parts { mut log, .. }, _events) = open(dir.path());
        append(&mut log, vec![entry(1, 0, Vec::new()), entry(1, 1, cluster("c"))]).await;
    }
    assert!(refused(dir.path(), Some("d")).contains("it is of c, the data directory of cluster d"));
    drop(try_open(&real(), dir.path(), Some("c")).unwrap());
    std::fs::write(dir.path().join("meta.redb"), b"").unwrap();
    assert!(refused(dir.path(), None).contains("it is empty"));
    std::fs::write(dir.path().join("meta.redb"), b"no database").unwrap();
    refused(dir.path(), None);
    assert_eq!(std::fs::read(dir.path().join("meta.redb")).unwrap(), b"no database");
}

#[tokio::test]
async fn a_half_made_file_is_made_anew_and_another_nodes_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("meta.redb.new"), b"half").unwrap();
    drop(open(dir.path()));
    let (stream, _events) = mpsc::unbounded_channel();
    let (holds, _) = watch::channel(false);
    let why = open_store(&real(), dir.path(), 2, None, stream, &holds).map(drop).unwrap_err().to_string();
    assert!(why.contains("the votes of node 1, this is node 2"), "{why}");
}

#[tokio::test]
async fn a_directory_that_was_founded_alone_is_refused_and_so_is_the_reverse() {
    let dir = tempfile::tempdir().unwrap();
    let single = |dir: &Path| SingleLog::open(&real(), dir, ME, None);
    let OpenLog { log, first, .. } = single(dir.path()).unwrap();
    let lead = Leadership { term: 1, node: ME };
    assert_eq!(log.propose(lead, first, cluster("c")).await, ProposeResult::Committed(1));
    log.close();
    assert!(refused(dir.path(), None).contains("founded alone"));

    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let why = single(dir.path()).map(drop).unwrap_err().to_string();
    assert!(why.contains("of a node of a cluster"), "{why}");
    assert!(dir.path().join("meta.redb").exists());

    // A first start alone that was killed before its first record holds nothing.
    let dir = tempfile::tempdir().unwrap();
    single(dir.path()).unwrap().log.close();
    let (Parts { mut log, .. }, _events) = open(dir.path());
    append(&mut log, blanks(1, 0..1)).await;
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_full_disk_delays_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let fault = Arc::new(Fault::default());
    let disk: Arc<dyn Disk> = Arc::new(FaultyDisk(Arc::clone(&fault)));
    {
        let (Parts { mut log, mut machine, .. }, _events) = try_open(&disk, dir.path(), None).unwrap();
        append(&mut log, blanks(1, 0..3)).await;
        machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        fault.full();
        let first = begin_append(&mut log, blanks(1, 3..5)).await;
        until("the first try and another", || fault.refused() >= 2).await;
        let second = begin_append(&mut log, blanks(1, 5..6)).await;
        assert_eq!(terms(&mut log).await.len(), 6, "it is readable before it is durable");
        let reader = tokio::spawn(async move { machine.get_current_snapshot().await });
        fault.sound();
        tokio::time::timeout(PATIENCE, first).await.unwrap().unwrap();
        tokio::time::timeout(PATIENCE, second).await.unwrap().unwrap();
        let read = tokio::time::timeout(PATIENCE, reader).await.unwrap().unwrap();
        assert!(read.unwrap().is_some(), "a reader waits for the file");
    }
    let (Parts { mut log, .. }, _events) = open(dir.path());
    assert_eq!(terms(&mut log).await.len(), 6);
}

#[tokio::test]
async fn a_node_that_ends_does_not_wait_for_room_and_a_broken_disk_is_final() {
    for broken in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let fault = Arc::new(Fault::default());
        let disk: Arc<dyn Disk> = Arc::new(FaultyDisk(Arc::clone(&fault)));
        let (Parts { mut log, writer, .. }, _events) = try_open(&disk, dir.path(), None).unwrap();
        append(&mut log, blanks(1, 0..3)).await;
        if broken {
            fault.broken()
        } else {
            fault.full()
        };
        let written = begin_append(&mut log, blanks(1, 3..4)).await;
        if !broken {
            until("a try", || fault.refused() >= 1).await;
            writer.ending();
        }
        tokio::time::timeout(PATIENCE, written).await.unwrap().unwrap_err();
        fault.sound();
        log.save_vote(&Vote::new(3, 2)).await.unwrap_err();
    }
}

#[test]
fn the_row_of_a_snapshot_reads_back() {
    let stored = Stored { meta: meta(2, 4), image: image(9) };
    let row = super::rows::encode(&stored).unwrap();
    let back: Stored = super::rows::decode(&row).unwrap();
    assert_eq!((back.meta, back.image), (stored.meta, stored.image));
}
