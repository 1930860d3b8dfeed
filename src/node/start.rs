//! The order of a start: each part starts after those that it needs, and clients are accepted last.
//!
//! ```text
//!   ports ─> data directory ─> shards ─> metadata log ─> actors ─> everything recovered is served ─> clients
//! ```
//! This file starts a node that is alone; `cluster/` starts one of a cluster.

use super::data::remember;
use super::opened::{Opened, Running, new_cluster_id};
use super::quorum::Alone;
use super::shared::Shared;
use super::{Node, Others, cluster};
use crate::config::Config;
use crate::controller::SingleLog;
use anyhow::{Context as _, bail};
use callboard_actors::node::{NodeActor, NodeIdentity};
use callboard_core::DirectoryId;
use ractor::Actor;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Node {
    /// Starts a node; returns when it serves.
    pub async fn start(config: Config) -> anyhow::Result<Node> {
        tracing::info!("callboard {} starts", env!("CARGO_PKG_VERSION"));
        cluster::check(&config)?;
        let opened = Opened::open(config).await?;
        if opened.fitted.config.cluster.is_on() { cluster::start(opened).await } else { alone(opened).await }
    }
}

/// Starts a node that is alone: its metadata log is its own.
async fn alone(mut opened: Opened) -> anyhow::Result<Node> {
    let identity = opened.store.identity();
    let data = opened.fitted.config.storage.data.clone();
    if identity.forming.is_some() {
        bail!("{} belongs to a cluster: start it with --seeds and --cluster-secret-file", data.display());
    }
    let log = SingleLog::open(&opened.disk, &data, identity.node_id, identity.cluster_id.as_deref())?;
    let port = Arc::clone(&log.log);
    let shared = Shared::new(&opened.fitted, identity.node_id, &opened.ports());
    let (ready, serving) = oneshot::channel();
    let who = NodeIdentity { node: opened.registration(&identity)?, alone: Some(new_cluster_id()) };
    let shards = std::mem::take(&mut opened.for_actors);
    let args = shared.args(&opened.fitted.config, who, shards, log, None, ready);
    let (actor, ended) = Actor::spawn(None, NodeActor, args).await?;
    let (controller, epoch) = serving.await.context("the node's actors ended while they started")?;
    remember(&opened.store, &shared.images, epoch)?;
    let others = Others::default();
    let node_id = identity.node_id;
    let quorum = Arc::new(Alone {
        node: node_id,
        directory: DirectoryId::parse(&identity.directory_id),
        images: Arc::clone(&shared.images),
        clock: Arc::clone(&shared.clock),
    });
    let spread = Arc::clone(&shared.images) as Arc<_>;
    opened.serve(Running { node_id, shared, actor, ended, controller, log: port, quorum, spread, others })
}
