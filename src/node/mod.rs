//! The composition root: one node, put together out of all adapters, and taken apart again.
//!
//! ```text
//!   start.rs   the order of the start      data.rs    opens the data directory, starts its shards
//!   stop.rs    the order of the end        shared.rs  what actors and front-end share
//!   machine.rs what the machine gives      front.rs   the Kafka front-end and the console's listener
//!   quorum.rs  the quorum of one node      observe.rs the node as the console sees it
//!   exposed.rs listeners beyond loopback   metrics.rs their gauge
//! ```
//! No other module knows two adapters. This one connects them and decides nothing about records or topics; it owns the
//! order in which parts start and end, because each part needs those before it.

mod data;
#[cfg(test)]
mod ended_tests;
mod exposed;
mod front;
mod machine;
mod metrics;
mod observe;
mod quorum;
mod shared;
mod start;
mod stop;

use crate::storage::{Readers, ShardHandle, Store};
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
}

/// How a node ended without being asked to.
#[derive(Debug)]
pub enum Ended {
    NoShard,
    /// The root actor failed.
    Actors,
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
        }
    }
}
