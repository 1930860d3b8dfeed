//! The composition root: one node, put together out of all adapters, and taken apart again.
//!
//! ```text
//!   opened.rs  a node on its way
//!   start.rs   the order of the start      data.rs    opens the data directory, starts its shards
//!   stop.rs    the order of the end        shared.rs  what actors and front-end share
//!   machine.rs what the machine gives      front.rs   the Kafka front-end and the console's listener
//!   quorum.rs  the quorum of one node      observe.rs the node as the console sees it
//!   exposed.rs listeners beyond loopback   metrics.rs their gauge
//!   offline/   commands over the directory of a node that does not run
//! ```
//! No other module knows two adapters. This one connects them and decides nothing about records or topics; it owns the
//! order in which parts start and end, because each part needs those before it.

mod cluster;
mod data;
#[cfg(test)]
mod ended_tests;
mod exposed;
mod front;
mod machine;
mod metrics;
mod observe;
pub mod offline;
mod opened;
mod quorum;
mod shared;
mod start;
mod stop;

use crate::storage::{Readers, ShardHandle, Store};
use crate::transport::Transport;
use crate::transport::replication::Replicator;
use callboard_actors::group::Coordinators;
use callboard_actors::messages::NodeMsg;
use callboard_actors::ports::MetadataLog;
use front::Http;
use ractor::ActorRef;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Exit code when no shard works any more (BSD's EX_SOFTWARE).
pub const EXIT_NO_SHARD: i32 = 70;

/// A running node; `stop` ends it cleanly.
pub struct Node {
    /// One for each listener, in the order of the configuration.
    addresses: Vec<SocketAddr>,
    store: Arc<Store>,
    shards: Vec<Arc<ShardHandle>>,
    readers: Arc<Readers>,
    log: Arc<dyn MetadataLog>,
    actor: ActorRef<NodeMsg>,
    ended: JoinHandle<()>,
    listener: JoinHandle<()>,
    coordinators: Arc<Coordinators>,
    http: Http,
    stop: watch::Sender<bool>,
    all_lost: watch::Receiver<bool>,
    others: Others,
}

/// The parts of a node that reach other nodes. A node that is alone has none.
#[derive(Default)]
struct Others {
    /// The connections with them.
    links: Option<(Arc<Transport>, Arc<Replicator>)>,
    /// The way out of the cluster.
    leaving: Option<cluster::Leaving>,
    /// Set when the node cannot go on, with the reason.
    over: Option<watch::Receiver<Option<String>>>,
    /// Tasks and actors that end with the node.
    _tasks: Tasks,
}

/// Tasks that end when this is dropped.
#[derive(Default)]
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// How a node ended without being asked to.
#[derive(Debug)]
pub enum Ended {
    NoShard,
    /// The root actor failed.
    Actors,
    /// The node cannot go on in its cluster, for this reason.
    Over(String),
}

impl Node {
    /// Where Kafka clients connect: one address for each listener, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where metrics and health are served, if they are.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.address
    }

    /// Resolves when the node cannot go on.
    pub async fn broken(&mut self) -> Ended {
        tokio::select! {
            _ = self.all_lost.wait_for(|lost| *lost) => Ended::NoShard,
            _ = &mut self.ended => Ended::Actors,
            why = over(&mut self.others.over) => Ended::Over(why),
        }
    }
}

/// Resolves with the reason why the node cannot go on in its cluster; never for a node that is alone.
async fn over(watched: &mut Option<watch::Receiver<Option<String>>>) -> String {
    if let Some(watched) = watched
        && let Ok(why) = watched.wait_for(Option::is_some).await
    {
        return why.clone().unwrap_or_default();
    }
    std::future::pending().await
}
