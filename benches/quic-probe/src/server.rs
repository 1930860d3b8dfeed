//! A server process: it starts one role, says where it listens, and answers "report" on its standard input.

use crate::follower::Follower;
use crate::leader::{FOLLOWERS, Leader};
use crate::net::Quic;
use crate::report::Report;
use crate::store::Disk;
use anyhow::Context;
use callboard_core::storage::Durability;
use clap::{Args, ValueEnum};
use parking_lot::Mutex;
use quinn::Connection;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin, stdout};

/// The promise of an acknowledgement.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    Os,
    Fsync,
}

impl From<Promise> for Durability {
    fn from(promise: Promise) -> Durability {
        match promise {
            Promise::Os => Durability::Os,
            Promise::Fsync => Durability::Fsync,
        }
    }
}

#[derive(Args)]
pub struct Server {
    /// Directory of the run, with the identity that all share.
    #[arg(long)]
    pub identity: PathBuf,
    #[arg(long)]
    pub data: PathBuf,
    #[arg(long)]
    pub promise: Promise,
    #[arg(long)]
    pub partitions: usize,
    /// Where the leader answers QUIC; without it this is the leader.
    #[arg(long)]
    pub leader: Option<SocketAddr>,
    /// Threads of the runtime.
    #[arg(long)]
    pub workers: usize,
    #[command(flatten)]
    pub quic: Quic,
}

/// Where the leader listens.
#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
pub struct Places {
    pub tcp: SocketAddr,
    pub udp: SocketAddr,
}

impl Server {
    /// Serves until standard input ends.
    pub async fn serve(self) -> anyhow::Result<()> {
        // As in the broker: metrics cost something too.
        let _metrics = callboard::console::recorder()?;
        let disk = Disk::open(&self.data)?;
        match self.leader {
            None => self.lead(&disk).await?,
            Some(leader) => self.follow(&disk, leader).await?,
        }
        disk.close()
    }

    async fn lead(&self, disk: &Disk) -> anyhow::Result<()> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let leader = Leader::start(disk, self.partitions, self.promise.into())?;
        let endpoint = self.quic.endpoint(any, &self.identity)?;
        let listener = tokio::net::TcpListener::bind(any).await?;
        say(&Places { tcp: listener.local_addr()?, udp: endpoint.local_addr()? }).await?;
        let connections: Arc<Mutex<Vec<Connection>>> = Arc::default();
        let (accepted, dialled) = (Arc::clone(&leader), Arc::clone(&connections));
        tokio::spawn(async move {
            for who in 0..FOLLOWERS {
                let Some(incoming) = endpoint.accept().await else { return };
                match incoming.await {
                    Ok(connection) => {
                        dialled.lock().push(connection.clone());
                        spawn_or_end(Arc::clone(&accepted).follower(who, connection));
                    }
                    Err(error) => eprintln!("a follower: {error}"),
                }
            }
            std::future::pending::<()>().await;
        });
        let clients = Arc::clone(&leader);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                spawn_or_end(Arc::clone(&clients).client(socket));
            }
        });
        reports(|| Report::of(&leader.counters, &connections.lock())).await
    }

    async fn follow(&self, disk: &Disk, leader: SocketAddr) -> anyhow::Result<()> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let follower = Follower::start(disk, self.partitions, self.promise.into())?;
        let endpoint = self.quic.endpoint(any, &self.identity)?;
        let (connection, from) = follower.subscribe(&endpoint, leader).await?;
        say(&Places { tcp: any, udp: endpoint.local_addr()? }).await?;
        let following = Arc::clone(&follower);
        spawn_or_end(async move { following.follow(from).await });
        let connections = [connection];
        reports(|| Report::of(&follower.counters, &connections)).await
    }
}

/// A task whose failure ends the process, because a run without it would measure something else.
fn spawn_or_end(task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = task.await {
            eprintln!("{error:#}");
            std::process::exit(1);
        }
    });
}

async fn say(what: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    let mut out = stdout();
    out.write_all(&line).await?;
    out.flush().await.context("the parent has gone")
}

async fn reports(report: impl Fn() -> anyhow::Result<Report>) -> anyhow::Result<()> {
    let mut lines = BufReader::new(stdin()).lines();
    while lines.next_line().await?.is_some() {
        say(&report()?).await?;
    }
    Ok(())
}
