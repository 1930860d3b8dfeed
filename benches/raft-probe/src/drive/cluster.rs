//! The processes: three nodes and the busy loops.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tokio::time::{Instant, sleep};

use super::{Settings, now};
use crate::{
    machine::State,
    net::{Answer, Peer, Request, Status},
};

/// One line that a node printed.
#[derive(Clone, Debug)]
pub struct Event {
    /// Milliseconds of the wall clock.
    pub at: u64,
    pub node: u64,
    pub words: String,
}

pub struct Cluster {
    settings: Settings,
    addrs: Vec<String>,
    nodes: Vec<Option<Child>>,
    busy: Vec<Child>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Cluster {
    pub fn start(settings: &Settings) -> anyhow::Result<Self> {
        drop(fs::remove_dir_all(&settings.dir));
        fs::create_dir_all(&settings.dir)?;
        let free = (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
        let addrs = free.iter().map(|l| Ok(l.local_addr()?.to_string())).collect::<std::io::Result<_>>()?;
        drop(free);
        let mut cluster = Self {
            settings: settings.clone(),
            addrs,
            nodes: vec![None, None, None],
            busy: Vec::new(),
            events: Arc::default(),
        };
        for _ in 0..settings.busy {
            let child = Command::new(std::env::current_exe()?).arg("busy").spawn()?;
            cluster.busy.push(child);
        }
        // The founder last: its peers must be there to vote.
        for id in [3, 2, 1] {
            cluster.spawn(id)?;
        }
        Ok(cluster)
    }

    pub fn addrs(&self) -> Vec<String> {
        self.addrs.clone()
    }

    pub fn spawn(&mut self, id: u64) -> anyhow::Result<()> {
        let s = &self.settings;
        let file = |kind: &str| -> PathBuf { s.dir.join(format!("node{id}.{kind}")) };
        let err = File::options().create(true).append(true).open(file("err"))?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("node")
            .arg(format!("id={id}"))
            .arg(format!("addrs={}", self.addrs.join(",")))
            .arg(format!("file={}", file("redb").display()))
            .arg(format!("heartbeat={}", s.heartbeat))
            .arg(format!("election_min={}", s.election_min))
            .arg(format!("election_max={}", s.election_max))
            .arg(format!("snapshot_every={}", s.snapshot_every))
            .arg(format!("keep={}", s.keep))
            .arg(format!("found={}", id == 1))
            .stdout(Stdio::piped())
            .stderr(err)
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let events = self.events.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let (at, words) = line.split_once(' ').unwrap_or(("0", &line));
                let event = Event { at: at.parse().unwrap_or(0), node: id, words: words.to_owned() };
                events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            }
        });
        self.nodes[id as usize - 1] = Some(child);
        Ok(())
    }

    pub fn process(&self, id: u64) -> u32 {
        self.nodes[id as usize - 1].as_ref().map_or(0, Child::id)
    }

    /// SIGKILL.
    pub fn kill(&mut self, id: u64) -> anyhow::Result<()> {
        let mut child = self.nodes[id as usize - 1].take().context("not running")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    pub async fn stop_for(&self, id: u64, time: Duration) -> anyhow::Result<()> {
        let signal = |name: &str| Command::new("kill").arg(name).arg(self.process(id).to_string()).status();
        ensure!(signal("-STOP")?.success(), "stop");
        sleep(time).await;
        ensure!(signal("-CONT")?.success(), "continue");
        Ok(())
    }

    /// No node ended by itself, and none said `Fatal`.
    pub fn check_alive(&mut self) -> anyhow::Result<()> {
        for (n, node) in self.nodes.iter_mut().enumerate() {
            if let Some(status) = node.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("node {} ended by itself: {status}", n + 1);
            }
        }
        match self.events().iter().find(|event| event.words.starts_with("FATAL")) {
            Some(fatal) => bail!("node {}: {}", fatal.node, fatal.words),
            None => Ok(()),
        }
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When the node last said that its replay had ended, in milliseconds of the wall clock.
    pub fn started(&self, id: u64) -> u64 {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut started = events.iter().rev().filter(|e| e.node == id && e.words.starts_with("started"));
        started.next().map_or(0, |event| event.at)
    }

    async fn ask(&self, id: u64, request: &Request) -> anyhow::Result<Answer> {
        let mut peer = Peer::new(self.addrs[id as usize - 1].clone());
        match peer.call(request, Duration::from_secs(20)).await {
            Ok(answer) => Ok(answer),
            Err(error) => bail!("node {id}: {error:?}"),
        }
    }

    pub async fn status(&self, id: u64) -> anyhow::Result<Status> {
        match self.ask(id, &Request::Status).await? {
            Answer::Status(status) => Ok(status),
            answer => bail!("unexpected {answer:?}"),
        }
    }

    pub async fn dump(&self, id: u64) -> anyhow::Result<State> {
        match self.ask(id, &Request::Dump).await? {
            Answer::Dump(state) => Ok(state),
            answer => bail!("unexpected {answer:?}"),
        }
    }

    /// The node that leads by its own word, and its term.
    pub async fn leader(&self) -> anyhow::Result<(u64, u64)> {
        let started = Instant::now();
        loop {
            for id in 1..=3 {
                if let Ok(status) = self.status(id).await
                    && status.leader == Some(id)
                {
                    return Ok((id, status.term));
                }
            }
            ensure!(started.elapsed() < Duration::from_secs(60), "nobody leads");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The state of each node, once all have applied the same.
    pub async fn settled_dumps(&self) -> anyhow::Result<Vec<State>> {
        let started = Instant::now();
        loop {
            let mut applied = Vec::new();
            for id in 1..=3 {
                let status = self.status(id).await?;
                applied.push((status.applied, status.committed));
            }
            if applied.iter().all(|a| *a == applied[0] && a.0 == a.1) {
                break;
            }
            ensure!(started.elapsed() < Duration::from_secs(60), "the nodes do not settle: {applied:?}");
            sleep(Duration::from_millis(200)).await;
        }
        let mut dumps = Vec::new();
        for id in 1..=3 {
            dumps.push(self.dump(id).await?);
        }
        Ok(dumps)
    }

    pub fn end(&mut self) {
        for child in self.nodes.iter_mut().flatten().chain(&mut self.busy) {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}

/// A small generator (xorshift); a run is not repeatable anyway.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        Self(now() | 1)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}
