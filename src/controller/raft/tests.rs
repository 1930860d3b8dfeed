//! Three voters in one process: elections, one order of batches, restarts, a snapshot for a voter that was away.
//!
//! The voters call each other through a map instead of a network. Each has its own directory and its own thread.
//! A busy machine may change leaders at any time, so the tests ask for an order of events, never for a number of them.

use super::faulty::{Fault, FaultyDisk};
use super::guard::Limits;
use super::log::RaftLog;
use crate::storage::RealDisk;
use crate::storage::disk::Disk;
use bytes::Bytes;
use callboard_actors::ports::{CallError, Calls, Majority as _, MetadataLog, OpenLog, Service};
use callboard_core::BrokerId;
use callboard_core::metadata::{Committed, Leadership, MetadataRecord, ProposalId, ProposeResult};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// All voters that can be called.
#[derive(Default)]
struct Mesh(Mutex<BTreeMap<BrokerId, Arc<RaftLog>>>);

/// One voter's way to the others.
struct Line(Arc<Mesh>, BrokerId);

impl Calls for Line {
    fn call(
        &self,
        to: BrokerId,
        service: Service,
        question: Bytes,
        _within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        assert_eq!(service, Service::Raft);
        let (node, from) = (self.0.0.lock().get(&to).cloned(), self.1);
        Box::pin(async move {
            let node = node.ok_or_else(|| CallError::NotSent("it is down".into()))?;
            node.serve(from, question).await.map_err(CallError::Refused)
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    /// Index and next producer id.
    Snapshot(u64, i64),
    Lead(Leadership),
    /// Index, proposal and next producer id.
    Batch(u64, Option<ProposalId>, i64),
}

fn seen(event: Committed) -> Seen {
    match event {
        Committed::Snapshot { image, index } => Seen::Snapshot(index, image.next_producer_id),
        Committed::Lead(leadership) => Seen::Lead(leadership),
        Committed::Batch { index, proposal, records } => match records[..] {
            [MetadataRecord::ProducerIds { next }] => Seen::Batch(index, proposal, next),
            ref other => panic!("{other:?}"),
        },
    }
}

fn ids_until(next: i64) -> Vec<MetadataRecord> {
    vec![MetadataRecord::ProducerIds { next }]
}

type Heard = Arc<Mutex<Vec<Seen>>>;

struct Voter {
    log: Arc<RaftLog>,
    heard: Heard,
    next: ProposalId,
}

impl Voter {
    async fn open(disk: Arc<dyn Disk>, mesh: &Arc<Mesh>, id: BrokerId, dir: &Path, limits: Limits) -> Voter {
        let calls = Arc::new(Line(Arc::clone(mesh), id));
        let (opened, log) = RaftLog::open_with(&disk, dir, id, calls, None, limits).await.unwrap();
        let OpenLog { mut committed, first, .. } = opened;
        mesh.0.lock().insert(id, Arc::clone(&log));
        let heard = Heard::default();
        let to = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Some(event) = committed.recv().await {
                to.lock().push(seen(event));
            }
        });
        Voter { log, heard, next: first }
    }

    fn heard(&self) -> Vec<Seen> {
        self.heard.lock().clone()
    }

    fn batches(&self) -> Vec<Seen> {
        self.heard().into_iter().filter(|event| matches!(event, Seen::Batch(..))).collect()
    }

    fn leads(&self) -> Vec<(u64, BrokerId)> {
        let lead = |event| match event {
            Seen::Lead(Leadership { term, node }) => Some((term, node)),
            _ => None,
        };
        self.heard().into_iter().filter_map(lead).collect()
    }

    async fn propose(&mut self, lead: Leadership, next: i64) -> (ProposalId, ProposeResult) {
        let id = self.next;
        self.next = id.next();
        let result = self.log.propose(lead, id, ids_until(next));
        (id, tokio::time::timeout(PATIENCE, result).await.unwrap())
    }
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"))
}

struct Cluster {
    mesh: Arc<Mesh>,
    dirs: Vec<TempDir>,
    voters: BTreeMap<BrokerId, Voter>,
    limits: Limits,
}

impl Cluster {
    async fn start(limits: Limits) -> Cluster {
        let dirs = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let mut cluster = Cluster { mesh: Arc::default(), dirs, voters: BTreeMap::new(), limits };
        for id in 1..=3 {
            cluster.open(id).await;
        }
        assert!(cluster.voters[&1].log.is_pristine().await.unwrap());
        assert!(cluster.voters[&1].log.initialise(&[1, 2, 3]).await.unwrap());
        assert!(!cluster.voters[&1].log.initialise(&[1, 2, 3]).await.unwrap());
        cluster
    }

    async fn open(&mut self, id: BrokerId) {
        let (disk, dir) = (Arc::new(RealDisk), self.dirs[id as usize - 1].path());
        let voter = Voter::open(disk, &self.mesh, id, dir, self.limits).await;
        assert!(self.voters.insert(id, voter).is_none());
    }

    /// Ends a voter. To the others it looks like a crash.
    fn close(&mut self, id: BrokerId) {
        self.mesh.0.lock().remove(&id);
        self.voters.remove(&id).unwrap().log.close();
    }

    /// The leadership that every voter names as the newest, beyond this one.
    async fn lead_after(&self, before: (u64, BrokerId)) -> Leadership {
        let agreed = || {
            let mut newest = self.voters.values().map(|voter| voter.leads().last().copied());
            let one = newest.next()??;
            (one > before && newest.all(|other| other == Some(one))).then_some(one)
        };
        let (term, node) = until("one leadership", agreed).await;
        Leadership { term, node }
    }

    /// Commits one batch under whatever leadership holds, and waits until every voter has it.
    async fn commit(&mut self, next: i64) -> u64 {
        loop {
            let lead = self.lead_after((0, 0)).await;
            let Some(voter) = self.voters.get_mut(&lead.node) else { continue };
            match voter.propose(lead, next).await {
                (id, ProposeResult::Committed(index)) => {
                    let this = Seen::Batch(index, Some(id), next);
                    until("the batch", || {
                        let has = |voter: &Voter| voter.heard().contains(&this);
                        self.voters.values().all(has).then_some(())
                    })
                    .await;
                    return index;
                }
                (_, ProposeResult::NotLeader | ProposeResult::Unknown(_)) => {}
                (_, other) => panic!("{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn assert_one_order(&self) {
        let mut batches = self.voters.values().map(Voter::batches);
        let first = batches.next().unwrap();
        batches.for_each(|other| assert_eq!(first, other));
        for (id, voter) in &self.voters {
            let leads = voter.leads();
            assert!(leads.is_sorted() && leads[0].0 > 0, "node {id}: {leads:?}");
        }
    }
}

#[tokio::test]
async fn voters_elect_commit_fail_over_and_restart_with_every_batch() {
    let mut cluster = Cluster::start(Limits::default()).await;
    let old = cluster.lead_after((0, 0)).await;
    let mut indexes = Vec::new();
    for next in 1..=5 {
        indexes.push(cluster.commit(next).await);
    }
    assert!(indexes.is_sorted() && indexes[0] >= 2, "behind the membership and an empty entry: {indexes:?}");
    cluster.assert_one_order();
    let status = cluster.voters[&old.node].log.status();
    assert_eq!((status.voters, status.learners), (vec![1, 2, 3], vec![]));
    for (id, voter) in &cluster.voters {
        assert_eq!(voter.heard()[0], Seen::Snapshot(0, 0), "node {id}");
        assert!(voter.log.holds_entries() && *voter.log.first_entry().borrow());
    }
    for (id, voter) in &mut cluster.voters {
        let other = Leadership { node: *id % 3 + 1, ..old };
        assert_eq!(voter.propose(other, 99).await.1, ProposeResult::NotLeader, "another node's leadership");
        let former = Leadership { term: 0, node: *id };
        assert_eq!(voter.propose(former, 99).await.1, ProposeResult::NotLeader, "a former one of its own");
    }

    let old = cluster.lead_after((0, 0)).await;
    let log = Arc::clone(&cluster.voters[&old.node].log);
    cluster.close(old.node);
    let closed = log.propose(old, ProposalId { node: old.node, number: 1 }, ids_until(99)).await;
    assert_eq!(closed, ProposeResult::NotLeader, "a closed log takes nothing");
    log.close();
    let new = cluster.lead_after((old.term, old.node)).await;
    assert_ne!(new.node, old.node);
    cluster.commit(6).await;
    cluster.assert_one_order();
    let before = cluster.voters[&new.node].batches();
    assert!(before.iter().all(|batch| !matches!(batch, Seen::Batch(_, _, 99))), "none of the refused");

    for id in [1, 2, 3].into_iter().filter(|id| *id != old.node) {
        cluster.close(id);
    }
    for id in 1..=3 {
        cluster.open(id).await;
    }
    cluster.commit(7).await;
    let newest = cluster.lead_after((0, 0)).await;
    cluster.assert_one_order();
    for (id, voter) in &cluster.voters {
        let batches = voter.batches();
        assert_eq!(batches[..before.len()], before, "node {id}");
        let own = voter.leads().into_iter().filter(|(_, node)| node == id);
        let former = own.filter(|(term, _)| *term <= new.term).count();
        assert_eq!(former, 0, "node {id} led in a former life only; now {newest:?}");
    }
    (1..=3).for_each(|id| cluster.close(id));
}

/// A leader that nobody answers goes on as leader, and its age tells that it should not be believed.
#[tokio::test]
async fn the_age_of_a_leaders_last_majority_grows_when_the_others_are_gone() {
    let mut cluster = Cluster::start(Limits::default()).await;
    cluster.commit(1).await;
    let answered = |log: &RaftLog| log.answered_ms();
    let lead = until("a leader that a majority answers", || {
        let leads = |(_, voter): &(&BrokerId, &Voter)| answered(&voter.log).is_some_and(|ms| ms < 500);
        cluster.voters.iter().find(leads).map(|(id, _)| *id)
    })
    .await;
    let log = Arc::clone(&cluster.voters[&lead].log);
    (1..=3).filter(|id| *id != lead).for_each(|id| cluster.close(id));
    // It may have lost the office just before; then it has no answer at all.
    until("an old answer", || answered(&log).is_none_or(|ms| ms >= 2_000).then_some(())).await;
    cluster.close(lead);
    let (mesh, dir) = (Arc::default(), tempfile::tempdir().unwrap());
    let alone = Voter::open(Arc::new(RealDisk), &mesh, 1, dir.path(), Limits::default()).await;
    assert_eq!(answered(&alone.log), None, "it leads nothing yet");
    assert!(alone.log.initialise(&[1]).await.unwrap());
    until("the only voter's word", || (answered(&alone.log) == Some(0)).then_some(())).await;
    alone.log.close();
}

#[tokio::test]
async fn a_voter_that_was_away_gets_a_snapshot_and_what_follows() {
    let mut cluster = Cluster::start(Limits { snapshot_every: 8, keep: 4 }).await;
    cluster.commit(1).await;
    cluster.close(3);
    let had = RaftLog::holds(&(Arc::new(RealDisk) as Arc<dyn Disk>), cluster.dirs[2].path(), 3);
    assert!(had.unwrap(), "the file says so without openraft");
    // Compaction follows what is applied, so the log goes on until enough of it is gone.
    let mut next = 1;
    loop {
        next += 1;
        cluster.commit(next).await;
        let purged = |voter: &Voter| voter.log.status().purged.is_some_and(|index| index > 16);
        if cluster.voters.values().all(purged) {
            break;
        }
    }
    cluster.open(3).await;
    let away = Arc::clone(&cluster.voters[&3].heard);
    let skipped = until("a snapshot beyond the first", || {
        away.lock().iter().find_map(|event| match event {
            Seen::Snapshot(index, next) if *index > 16 => Some((*index, *next)),
            _ => None,
        })
    })
    .await;
    cluster.commit(next + 1).await;
    let heard = cluster.voters[&3].heard();
    let (index, at) = skipped;
    let place = heard.iter().position(|event| *event == Seen::Snapshot(index, at)).unwrap();
    assert!(matches!(heard[place + 1], Seen::Lead(_)), "the leadership that the snapshot hides: {heard:?}");
    let missed =
        cluster.voters[&1].batches().into_iter().filter(|b| matches!(b, Seen::Batch(i, ..) if *i > index));
    let behind = heard[place..].iter().copied().filter(|event| matches!(event, Seen::Batch(..)));
    assert_eq!(behind.collect::<Vec<_>>(), missed.collect::<Vec<_>>());

    cluster.close(3);
    cluster.open(3).await;
    cluster.commit(next + 2).await;
    let heard = cluster.voters[&3].heard();
    assert!(matches!(heard[0], Seen::Snapshot(from, _) if from >= index), "{heard:?}");
    (1..=3).for_each(|id| cluster.close(id));
}

#[tokio::test]
async fn a_voter_with_a_broken_disk_says_so() {
    let (mesh, dir) = (Arc::default(), tempfile::tempdir().unwrap());
    let fault = Arc::new(Fault::default());
    let disk: Arc<dyn Disk> = Arc::new(FaultyDisk(Arc::clone(&fault)));
    let mut voter = Voter::open(disk, &mesh, 1, dir.path(), Limits::default()).await;
    assert!(!voter.log.holds_entries());
    assert!(voter.log.initialise(&[1]).await.unwrap());
    let lead = until("a leadership", || voter.leads().last().copied()).await;
    let lead = Leadership { term: lead.0, node: lead.1 };
    until("a commit", || (voter.log.status().leader == Some(1)).then_some(())).await;
    assert!(matches!(voter.propose(lead, 1).await.1, ProposeResult::Committed(_)));
    assert_eq!(*voter.log.broken().borrow(), None);
    fault.broken();
    let (_, result) = voter.propose(lead, 2).await;
    assert!(matches!(result, ProposeResult::Unknown(_)), "{result:?}");
    let mut broken = voter.log.broken();
    let why =
        tokio::time::timeout(PATIENCE, broken.wait_for(Option::is_some)).await.unwrap().unwrap().clone();
    assert!(why.is_some());
    voter.log.close();
}

#[tokio::test]
async fn a_closed_log_is_not_a_broken_one() {
    let (mesh, dir) = (Arc::default(), tempfile::tempdir().unwrap());
    let voter = Voter::open(Arc::new(RealDisk), &mesh, 1, dir.path(), Limits::default()).await;
    assert!(voter.log.initialise(&[1]).await.unwrap());
    voter.log.close();
    assert_eq!(*voter.log.broken().borrow(), None);
    assert!(voter.log.serve(1, Bytes::from_static(b"{}")).await.is_err());
}
