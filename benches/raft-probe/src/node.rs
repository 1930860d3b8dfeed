//! One voter as a process: openraft, its guard rails, and the port for peers and the driver.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    process,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use openraft::{
    BasicNode, Config, SnapshotPolicy, async_runtime::WatchReceiver, errors::ClientWriteError,
    impls::ProgressResponder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

use crate::{
    machine::{Applied, Machine},
    net::{self, Answer, Network, Request, Status},
    store,
    types::{Cmd, Lead, Raft, TypeConfig, Vote},
};

/// The settings of one process, as its command line gives them.
#[derive(Clone, Debug)]
pub struct Settings {
    pub id: u64,
    /// All voters; node `n` has the n-th address.
    pub addrs: Vec<String>,
    pub file: PathBuf,
    pub heartbeat: u64,
    pub election: (u64, u64),
    /// A snapshot after that many applied entries.
    pub snapshot_every: u64,
    /// A purge leaves that many applied entries.
    pub keep: u64,
    /// Whether to initialise the cluster if the log is empty.
    pub found: bool,
}

pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let (log, snapshots) = store::open(&settings.file).context("open the store")?;
    let (heard, leads) = mpsc::unbounded_channel();
    let machine = Machine::new(snapshots, heard);
    let applied = machine.applied();
    let config = Arc::new(config(&settings).validate()?);
    let listener = TcpListener::bind(&settings.addrs[settings.id as usize - 1]).await?;
    let network = Network { me: settings.id };
    let started = Instant::now();
    let raft = Raft::new(settings.id, config, network, log, machine).await?;
    event(&format!("started applied={} ms={}", last_applied(&applied), started.elapsed().as_millis()));

    let (lead_sender, lead) = watch::channel(None);
    tokio::spawn(follow_leads(settings.id, raft.clone(), leads, lead_sender));
    tokio::spawn(watch_state(raft.clone()));
    tokio::spawn(compact(raft.clone(), settings.snapshot_every, settings.keep));
    if settings.found && !raft.is_initialized().await? {
        let nodes: BTreeMap<u64, BasicNode> = (1..).zip(settings.addrs.iter().map(BasicNode::new)).collect();
        raft.initialize(nodes).await?;
    }
    let silence = Arc::new(Silence::new(settings.heartbeat));
    let node = Node { raft, applied, lead, silence };
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(node.clone().serve(stream));
    }
}

fn config(settings: &Settings) -> Config {
    Config {
        heartbeat_interval: settings.heartbeat,
        election_timeout_min: settings.election.0,
        election_timeout_max: settings.election.1,
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        // A voter that is only behind in entries gets entries, however many.
        replication_lag_threshold: u64::MAX,
        install_snapshot_timeout: 10_000,
        ..Config::default()
    }
}

/// One line on standard output for the driver: the wall clock in milliseconds, then the words.
fn event(words: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    println!("{} {words}", now.as_millis());
}

fn last_applied(applied: &Applied) -> u64 {
    applied.lock().applied.map_or(0, |id| id.index)
}

/// This node leads once its own empty entry is applied, and no earlier (R35). Replayed entries name old
/// leaderships, so the newest one is compared with the current one; again at each change of the
/// metrics, because nothing says which of the two is seen first.
async fn follow_leads(
    me: u64,
    raft: Raft,
    mut leads: mpsc::UnboundedReceiver<Lead>,
    current: watch::Sender<Option<Lead>>,
) {
    let mut metrics = raft.metrics();
    let mut newest = None;
    loop {
        tokio::select! {
            lead = leads.recv() => match lead {
                Some(lead) => newest = Some(lead),
                None => return,
            },
            changed = metrics.changed() => if changed.is_err() {
                return;
            },
        }
        let now = raft.as_leader().ok().map(|leader| leader.to_committed_leader_id());
        let leads = newest.filter(|lead| lead.node_id == me && now == Some(*lead));
        let switched = current.send_if_modified(|current| std::mem::replace(current, leads) != leads);
        if switched {
            event(&format!("serves {leads:?}"));
        }
    }
}

/// Tells every change of term or role, and ends the process on `Fatal`.
async fn watch_state(raft: Raft) {
    let mut metrics = raft.metrics();
    let mut before = None;
    loop {
        let now = {
            let m = metrics.borrow_watched();
            if let Err(fatal) = &m.running_state {
                event(&format!("FATAL {fatal:?}"));
                process::exit(3);
            }
            (m.current_term, m.state, m.current_leader)
        };
        if before != Some(now) {
            event(&format!("state term={} role={:?} leader={:?}", now.0, now.1, now.2));
            before = Some(now);
        }
        if metrics.changed().await.is_err() {
            event("FATAL metrics closed");
            process::exit(3);
        }
    }
}

/// Snapshots only when nothing committed waits for `apply`, purges only far behind it (openraft #2116).
async fn compact(raft: Raft, every: u64, keep: u64) {
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (applied, committed, snapshot, purged) = {
            let m = raft.metrics().borrow_watched().clone();
            let index = |id: Option<crate::types::LogId>| id.map_or(0, |id| id.index);
            (index(m.last_applied), index(m.local_committed), index(m.snapshot), index(m.purged))
        };
        if applied == committed && applied >= snapshot + every {
            drop(raft.trigger().snapshot().await);
        }
        let upto = applied.saturating_sub(keep).min(snapshot);
        if upto > purged {
            drop(raft.trigger().purge_log(upto).await);
        }
    }
}

/// How long this follower heard nothing from one and the same leader.
struct Silence {
    late_after: Duration,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    last: Option<(Vote, Instant)>,
    longest: Vec<u64>,
    late: u64,
}

impl Silence {
    fn new(heartbeat: u64) -> Self {
        Self { late_after: Duration::from_millis(heartbeat * 3 / 2), heard: Mutex::default() }
    }

    fn hear(&self, vote: Vote) {
        let now = Instant::now();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, at)) = heard.last
            && of == vote
        {
            let silence = now - at;
            heard.late += u64::from(silence > self.late_after);
            heard.longest.push(silence.as_millis() as u64);
            heard.longest.sort_unstable_by(|a, b| b.cmp(a));
            heard.longest.truncate(5);
        }
        heard.last = Some((vote, now));
    }
}

#[derive(Clone)]
struct Node {
    raft: Raft,
    applied: Applied,
    lead: watch::Receiver<Option<Lead>>,
    silence: Arc<Silence>,
}

impl Node {
    async fn serve(self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        loop {
            let request = net::receive(&mut stream).await?;
            let answer = self.answer(request).await;
            net::send(&mut stream, &answer).await?;
        }
    }

    async fn answer(&self, request: Request) -> Answer {
        let failed = |error: &dyn std::fmt::Display| Answer::Failed(error.to_string());
        match request {
            Request::Append(rpc) => {
                self.silence.hear(rpc.vote);
                self.raft.append_entries(rpc).await.map_or_else(|e| failed(&e), Answer::Append)
            }
            Request::Vote(rpc) => self.raft.vote(rpc).await.map_or_else(|e| failed(&e), Answer::Vote),
            Request::PreVote(rpc) => self.raft.pre_vote(rpc).await.map_or_else(|e| failed(&e), Answer::Vote),
            Request::Snapshot(vote, meta, data) => {
                event(&format!("snapshot received bytes={}", data.len()));
                let snapshot = crate::types::Snapshot { meta, snapshot: data };
                let installed = self.raft.install_full_snapshot(vote, snapshot).await;
                installed.map_or_else(|e| failed(&e), Answer::Snapshot)
            }
            Request::Write(cmd) => self.write(cmd).await,
            Request::Status => Answer::Status(self.status()),
            Request::Dump => Answer::Dump(self.applied.lock().clone()),
        }
    }

    async fn write(&self, cmd: Cmd) -> Answer {
        let Some(lead) = *self.lead.borrow() else {
            let leader = self.raft.current_leader().await;
            return Answer::Refused { leader, reason: "NotLeading".into() };
        };
        let (responder, written) = ProgressResponder::<TypeConfig, _>::complete_only();
        if self.raft.write(cmd).with_leader(lead).responder(responder).await.is_err() {
            return Answer::Unknown;
        }
        match written.await {
            Ok(Ok(response)) => {
                let (term, node) = (lead.term, lead.node_id);
                Answer::Written { index: response.log_id.index, term, node, process: process::id() }
            }
            Ok(Err(ClientWriteError::ForwardToLeader(to))) => {
                Answer::Refused { leader: to.leader_id, reason: format!("{:?}", to.reason) }
            }
            Ok(Err(_)) | Err(_) => Answer::Unknown,
        }
    }

    fn status(&self) -> Status {
        let m = self.raft.metrics().borrow_watched().clone();
        let index = |id: Option<crate::types::LogId>| id.map_or(0, |id| id.index);
        let heard = self.silence.heard.lock().unwrap_or_else(PoisonError::into_inner);
        Status {
            term: m.current_term,
            leader: m.current_leader,
            applied: last_applied(&self.applied),
            committed: index(m.local_committed),
            snapshot: index(m.snapshot),
            purged: index(m.purged),
            silences: heard.longest.clone(),
            late: heard.late,
        }
    }
}
