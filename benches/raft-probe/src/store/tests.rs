//! openraft's own suite, and what the suite leaves out: reopening.

use openraft::{
    StorageError,
    storage::{IOFlushed, RaftLogReader, RaftLogStorage, RaftStateMachine},
    testing::{
        blank_ent,
        log::{StoreBuilder, Suite},
    },
    type_config::TypeConfigExt,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{LogStore, open};
use crate::{
    machine::Machine,
    types::{Entry, Lead, LogId, TypeConfig, Vote},
};

struct Build;

impl StoreBuilder<TypeConfig, LogStore, Machine, TempDir> for Build {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().expect("a directory");
        let (log, snapshots) = open(&dir.path().join("raft.redb")).expect("a store");
        let (leads, _) = mpsc::unbounded_channel();
        Ok((dir, log, Machine::new(snapshots, leads)))
    }
}

#[test]
fn openraft_suite() {
    TypeConfig::run(async { Suite::test_all(Build).await }).expect("the suite");
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(Lead { term, node_id: 1 }, index)
}

async fn append(log: &mut LogStore, entries: impl IntoIterator<Item = Entry> + Send) {
    let (sender, receiver) = TypeConfig::oneshot();
    let entries: Vec<Entry> = entries.into_iter().collect();
    log.append(entries, IOFlushed::signal(sender)).await.expect("append");
    receiver.await.expect("an answer").expect("durable");
}

#[tokio::test]
async fn everything_survives_a_reopen() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("raft.redb");
    {
        let (mut log, _snapshots) = open(&path).expect("a store");
        append(&mut log, (0..10).map(|i| blank_ent::<TypeConfig>(1, 1, i))).await;
        log.truncate_after(Some(id(1, 7))).await.expect("truncate");
        log.purge(id(1, 2)).await.expect("purge");
        log.save_committed(Some(id(1, 5))).await.expect("committed");
        log.save_vote(&Vote::new(3, 2)).await.expect("vote");
    }
    let (mut log, snapshots) = open(&path).expect("the store again");
    let state = log.get_log_state().await.expect("state");
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(1, 2)), Some(id(1, 7))));
    assert_eq!(log.read_vote().await.expect("vote"), Some(Vote::new(3, 2)));
    assert_eq!(log.read_committed().await.expect("committed"), Some(id(1, 5)));
    let entries = log.try_get_log_entries(0..100).await.expect("entries");
    assert_eq!(entries.iter().map(|e| e.log_id.index).collect::<Vec<_>>(), vec![3, 4, 5, 6, 7]);
    assert!(snapshots.read().expect("no snapshot").is_none());
}

/// Alone it reaches no disk, so an entry that was never written is never called committed.
#[tokio::test]
async fn the_committed_position_waits_for_a_change() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("raft.redb");
    {
        let (mut log, _snapshots) = open(&path).expect("a store");
        append(&mut log, (0..3).map(|i| blank_ent::<TypeConfig>(1, 1, i))).await;
        log.save_committed(Some(id(1, 2))).await.expect("committed");
        assert_eq!(log.read_committed().await.expect("committed"), Some(id(1, 2)));
    }
    let (mut log, _snapshots) = open(&path).expect("the store again");
    assert_eq!(log.read_committed().await.expect("committed"), None);
}

#[tokio::test]
async fn an_older_snapshot_does_not_replace_a_newer_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_log, snapshots) = open(&dir.path().join("raft.redb")).expect("a store");
    let (leads, _) = mpsc::unbounded_channel();
    let mut machine = Machine::new(snapshots.clone(), leads);
    let meta = |index| crate::types::SnapshotMeta { last_log_id: Some(id(1, index)), ..Default::default() };
    let state = serde_json::to_string(&crate::machine::State::default()).expect("a state");
    machine.install_snapshot(&meta(9), state.clone()).await.expect("install");
    snapshots.replace(&meta(4), &state).await.expect("an older one");
    let row = snapshots.read().expect("read").expect("a snapshot");
    assert_eq!(row.meta, meta(9));
}
