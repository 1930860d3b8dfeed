//! `RaftLog`: the port `MetadataLog` over openraft, and what the composition root asks of a voter.
//!
//! Proposals reach openraft in the order in which `propose` was called, whoever polls the futures: the controller decides
//! each on those before it (R43). Every proposal names its leadership, so a decision of term 5 is never appended in
//! term 7 (R35).
//!
//! An answer says only what is certain. openraft refuses before it appends: that is `NotLeader`. After that a lost
//! leadership, a dead core and a closed log all mean `Unknown`, because the entry may yet be committed (R44).

use super::super::file::{OpenError, first_proposal};
use super::caught_up::CaughtUp;
use super::guard::Limits;
use super::machine::Raft;
use super::open::{Life, Proposal, known, live, look, open_store};
use super::serve::answer;
use super::types::{Batch, Lead, TypeConfig, broker, node_id};
use crate::storage::disk::Disk;
use bytes::Bytes;
use callboard_actors::ports::{Calls, MetadataLog, OpenLog};
use callboard_core::BrokerId;
use callboard_core::metadata::{Leadership, MetadataRecord, ProposalId, ProposeResult};
use futures_util::future::BoxFuture;
use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, InitializeError, RaftError};
use openraft::impls::{EmptyNode, ProgressResponder};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// A voter's view of the metadata log, for `DescribeQuorum`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RaftStatus {
    pub leader: Option<BrokerId>,
    pub term: u64,
    pub voters: Vec<BrokerId>,
    pub learners: Vec<BrokerId>,
    /// The index of this node's last entry.
    pub end: Option<u64>,
    pub committed: Option<u64>,
    pub applied: Option<u64>,
    /// Entries up to this index are only in the snapshot.
    pub purged: Option<u64>,
    /// Up to which index each voter and learner holds the log. Only the leader knows.
    pub matched: Option<BTreeMap<BrokerId, Option<u64>>>,
    /// Milliseconds since each of them answered last. Only the leader knows.
    pub silent_ms: BTreeMap<BrokerId, u64>,
    /// Milliseconds since each of them last held all that the leader had. Only the leader knows.
    pub behind_ms: BTreeMap<BrokerId, u64>,
}

/// The metadata log of a node of a cluster.
pub struct RaftLog {
    node: BrokerId,
    raft: Raft,
    caught_up: Arc<Mutex<CaughtUp>>,
    proposals: Mutex<Option<mpsc::UnboundedSender<Proposal>>>,
    holds: watch::Receiver<bool>,
    broken: watch::Receiver<Option<String>>,
    thread: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl RaftLog {
    /// Opens or makes the log of a node in its data directory.
    ///
    /// `cluster` is the id of the cluster whose record `Cluster` this directory has applied. With an id, the file must
    /// hold entries of that cluster. A node that still joins or founds gives none.
    pub async fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        node: BrokerId,
        calls: Arc<dyn Calls>,
        cluster: Option<&str>,
    ) -> Result<(OpenLog, Arc<RaftLog>), OpenError> {
        RaftLog::open_with(disk, dir, node, calls, cluster, Limits::default()).await
    }

    /// The same, with other limits of compaction.
    pub(super) async fn open_with(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        node: BrokerId,
        calls: Arc<dyn Calls>,
        cluster: Option<&str>,
        limits: Limits,
    ) -> Result<(OpenLog, Arc<RaftLog>), OpenError> {
        let id = known(dir, node)?;
        let failed = |why: String| OpenError { path: dir.join("meta.redb"), why };
        let (stream, committed) = mpsc::unbounded_channel();
        let (holding, holds) = watch::channel(false);
        let parts = open_store(disk, dir, node, cluster, stream, &holding)?;
        let (proposals, incoming) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let (breaking, broken) = watch::channel(None);
        let (started, starting) = oneshot::channel();
        let caught_up = Arc::default();
        let notes = Arc::clone(&caught_up);
        let life = Life { node: id, calls, limits, proposals: incoming, end: ended, broken: breaking, notes };
        let thread = std::thread::Builder::new()
            .name("raft".into())
            .spawn(move || live(parts, life, started))
            .map_err(|e| failed(e.to_string()))?;
        let raft = match starting.await {
            Ok(Ok(raft)) => raft,
            Ok(Err(why)) => return Err(failed(why)),
            Err(_) => return Err(failed("the thread of the metadata log has ended".to_owned())),
        };
        let log = Arc::new(RaftLog {
            node,
            raft,
            caught_up,
            proposals: Mutex::new(Some(proposals)),
            holds,
            broken,
            thread: Mutex::new(Some((end, thread))),
        });
        let opened = OpenLog { log: log.clone(), committed, first: first_proposal(node) };
        Ok((opened, log))
    }

    /// Whether the log in a data directory has had an entry. The file is opened, checked and closed.
    pub fn holds(disk: &Arc<dyn Disk>, dir: &Path, node: BrokerId) -> Result<bool, OpenError> {
        Ok(look(disk, dir, node)?.is_some_and(|loaded| loaded.holds_entries()))
    }

    /// The cluster epoch of the snapshot in a data directory, before the log is opened. Only a recovery raises it, and a
    /// recovery leaves a snapshot.
    pub fn cluster_epoch(disk: &Arc<dyn Disk>, dir: &Path, node: BrokerId) -> Result<u32, OpenError> {
        Ok(look(disk, dir, node)?.map_or(0, |loaded| loaded.cluster_epoch))
    }

    /// Whether this node's log has had an entry.
    #[must_use]
    pub fn holds_entries(&self) -> bool {
        *self.holds.borrow()
    }

    /// Becomes true when the first entry is durable in this node's log.
    #[must_use]
    pub fn first_entry(&self) -> watch::Receiver<bool> {
        self.holds.clone()
    }

    /// Becomes a text when openraft has ended by itself. The process must end then, because its log answers nothing. A
    /// log that was closed ends the watch without a text.
    #[must_use]
    pub fn broken(&self) -> watch::Receiver<Option<String>> {
        self.broken.clone()
    }

    /// Whether this node has neither entries nor a vote.
    pub async fn is_pristine(&self) -> Result<bool, String> {
        self.raft.is_initialized().await.map(|known| !known).map_err(|fatal| fatal.to_string())
    }

    /// Founds the cluster with these voters, unless this node has entries or a vote already. Returns whether it did.
    /// Only one node of a cluster may do so.
    pub async fn initialise(&self, voters: &[BrokerId]) -> Result<bool, String> {
        if !self.is_pristine().await? {
            return Ok(false);
        }
        let nodes = voters.iter().map(|voter| {
            let id = node_id(*voter).ok_or_else(|| format!("{voter} is no id of a node"))?;
            Ok((id, EmptyNode {}))
        });
        let nodes: BTreeMap<u64, EmptyNode> = nodes.collect::<Result<_, String>>()?;
        match self.raft.initialize(nodes).await {
            Ok(()) => Ok(true),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Gives the log to one more node, which does not vote. Only the leader can.
    pub async fn add_learner(&self, node: BrokerId) -> Result<(), String> {
        let id = node_id(node).ok_or_else(|| format!("{node} is no id of a node"))?;
        self.raft.add_learner(id, EmptyNode {}, false).await.map(drop).map_err(|error| error.to_string())
    }

    /// Answers a question of another voter. `from` is the id that its connection proved.
    pub async fn serve(&self, from: BrokerId, question: Bytes) -> Result<Bytes, String> {
        answer(&self.raft, from, &question).await
    }

    pub(super) fn raft(&self) -> &Raft {
        &self.raft
    }

    /// This node's view of the log.
    #[must_use]
    pub fn status(&self) -> RaftStatus {
        let metrics = self.raft.metrics();
        let m = metrics.borrow_watched();
        let voters = m.membership_config.membership();
        let matched = m.replication.as_ref().map(|replicas| {
            replicas.iter().map(|(node, id)| (broker(*node), id.as_ref().map(|id| id.index))).collect()
        });
        let silent = m.heartbeat.iter().flatten();
        let silent = silent.filter_map(|(node, heard)| Some((*node, heard.as_ref()?.elapsed())));
        let ms = |(node, time): (u64, Duration)| {
            (broker(node), u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
        };
        RaftStatus {
            silent_ms: silent.map(ms).collect(),
            behind_ms: self.caught_up.lock().since(Instant::now()).map(ms).collect(),
            leader: m.current_leader.map(broker),
            term: m.current_term,
            voters: voters.voter_ids().map(broker).collect(),
            learners: voters.learner_ids().map(broker).collect(),
            end: m.last_log_index,
            committed: m.local_committed.map(|id| id.index),
            applied: m.last_applied.map(|id| id.index),
            purged: m.purged.map(|id| id.index),
            matched,
        }
    }

    fn hand_over(&self, leadership: Leadership, batch: Batch) -> Option<Written> {
        let node = node_id(leadership.node).filter(|_| leadership.node == self.node)?;
        let (answer, written) = ProgressResponder::<TypeConfig, _>::complete_only();
        let lead = Lead { term: leadership.term, node_id: node };
        let proposals = self.proposals.lock();
        proposals.as_ref()?.send(Proposal { batch, lead, answer }).ok()?;
        Some(Box::pin(async move {
            match written.await {
                Ok(Ok(response)) => ProposeResult::Committed(response.log_id.index),
                Ok(Err(ClientWriteError::ForwardToLeader(_))) => ProposeResult::NotLeader,
                Ok(Err(error)) => ProposeResult::Unknown(error.to_string()),
                Err(_) => ProposeResult::Unknown("the metadata log is ending".to_owned()),
            }
        }))
    }
}

type Written = BoxFuture<'static, ProposeResult>;

impl MetadataLog for RaftLog {
    fn propose(
        &self,
        leadership: Leadership,
        id: ProposalId,
        records: Vec<MetadataRecord>,
    ) -> BoxFuture<'static, ProposeResult> {
        let batch = Batch { id, records: Arc::new(records) };
        self.hand_over(leadership, batch).unwrap_or_else(|| Box::pin(async { ProposeResult::NotLeader }))
    }

    fn close(&self) {
        drop(self.proposals.lock().take());
        let thread = self.thread.lock().take();
        if let Some((end, thread)) = thread {
            let _ = end.send(());
            let _ = thread.join();
        }
    }
}
