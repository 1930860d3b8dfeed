//! The guard rails round openraft (RELIABILITY §8): its settings, compaction by our own trigger, and a watch on its end.
//!
//! openraft panics when a purge overtakes `apply` (#2116). So it never takes a snapshot or purges by itself. A snapshot is
//! asked for when nothing committed waits for `apply`, and a purge stays far behind what is applied.
//!
//! openraft catches the panics of its core, and a core that died answers nothing for ever. The process must end then,
//! which its owner does: this file only sees it.

use super::machine::Raft;
use super::types::LogId;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use openraft::{Config, SnapshotPolicy};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks of compaction, at least.
const LOOK: Duration = Duration::from_millis(500);

/// When the log is compacted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// A snapshot comes after that many entries, and a purge after that many that may go.
    pub snapshot_every: u64,
    /// A purge leaves that many applied entries.
    pub keep: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { snapshot_every: 5_000, keep: 100_000 }
    }
}

/// The settings of openraft. Its times were measured on two busy cores: the smaller limit of an election without cause is
/// 2.5 times the longest silence.
pub fn config() -> Result<Arc<Config>, String> {
    let config = Config {
        heartbeat_interval: 150,
        election_timeout_min: 500,
        election_timeout_max: 1_000,
        enable_pre_vote: Some(true),
        // A restarted leader would lead on without an election, and without the empty entry of R35.
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        // A voter that is only behind in entries gets entries, however many.
        replication_lag_threshold: u64::MAX,
        install_snapshot_timeout: 10_000,
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|e| e.to_string())
}

fn index(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index)
}

/// Takes snapshots and purges until openraft ends.
pub async fn compact(raft: Raft, limits: Limits) {
    let mut metrics = raft.data_metrics();
    loop {
        let (applied, committed, snapshot, purged) = {
            let m = metrics.borrow_watched();
            (index(m.last_applied), index(m.local_committed), index(m.snapshot), index(m.purged))
        };
        let mut asked = Ok(());
        if applied == committed && applied >= snapshot.saturating_add(limits.snapshot_every) {
            asked = raft.trigger().snapshot().await;
        }
        let upto = applied.saturating_sub(limits.keep).min(snapshot);
        if asked.is_ok() && upto >= purged.saturating_add(limits.snapshot_every) {
            asked = raft.trigger().purge_log(upto).await;
        }
        if asked.is_err() || metrics.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits for the end of openraft's core, and tells why unless it was wanted.
pub async fn watch_core(raft: Raft, ending: Arc<AtomicBool>, broken: watch::Sender<Option<String>>) {
    let mut metrics = raft.metrics();
    let why = loop {
        let state = metrics.borrow_watched().running_state.clone();
        match state {
            Err(Fatal::Stopped) => break "it stopped".to_owned(),
            Err(fatal) => break fatal.to_string(),
            Ok(()) if metrics.changed().await.is_err() => break "it is gone".to_owned(),
            Ok(()) => {}
        }
    };
    if !ending.load(Ordering::Acquire) {
        tracing::error!("the replicated metadata log has ended: {why}; this node cannot go on");
        broken.send_replace(Some(why));
    }
}
