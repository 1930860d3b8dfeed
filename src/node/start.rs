//! The order of a start: each part starts after those that it needs, and clients are accepted last.
//!
//! ```text
//!   ports ─> data directory ─> shards ─> metadata log ─> actors ─> everything recovered is served ─> clients
//! ```

use super::data::{Shards, open_store, remember, start_shards};
use super::exposed::Exposed;
use super::front::{Front, Http, bind_kafka, listen, registered};
use super::machine::Fitted;
use super::quorum::Alone;
use super::shared::Shared;
use super::{Node, observe};
use crate::config::{Config, PLAINTEXT};
use crate::controller::SingleLog;
use crate::kafka::{Context, Listener, Listening};
use crate::storage::disk::Disk;
use crate::storage::{Identity, Readers, RealDisk};
use anyhow::{Context as _, bail};
use callboard_actors::node::{NodeActor, NodeIdentity};
use callboard_core::metadata::{LEVELS, Registration};
use callboard_core::{DirectoryId, NodeUuid, ProcessId};
use futures_util::future::join_all;
use ractor::Actor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

impl Node {
    /// Starts a node; returns when it serves.
    pub async fn start(config: Config) -> anyhow::Result<Node> {
        let began = Instant::now();
        tracing::info!("callboard {} starts", env!("CARGO_PKG_VERSION"));
        // The ports are bound first, so that a port in use is found before a file is touched. No client is taken
        // until the node serves: one that waits for a node without its controller would wait long (R16).
        let bound = bind_kafka(&config).await?;
        let addresses = addresses(&bound)?;
        let http = Http::start(&config).await?;
        let exposed = Exposed::of(addresses.iter().map(|(_, address)| *address), http.address).say();
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let fitted = Fitted::new(config, cores)?;
        let config = &fitted.config;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let (store, opened) = open_store(config, Arc::clone(&disk), cores).await?;
        let identity = store.identity();
        let readers = Arc::new(Readers::start(2 * cores)?);
        let Shards { handles, for_actors, lost, all_lost } = start_shards(&store, opened, &readers)?;
        if *all_lost.borrow() {
            let data = config.storage.data.display();
            bail!("no shard of {data} works: see the lines above; nothing is created in their place");
        }
        let opened =
            SingleLog::open(&disk, &config.storage.data, identity.node_id, identity.cluster_id.as_deref())?;
        let log = Arc::clone(&opened.log);
        let shared = Shared::new(&fitted, identity.node_id, &ports(&addresses));
        let (ready, serving) = oneshot::channel();
        let who = who(config, &identity, &bound)?;
        let args = shared.args(config, who, for_actors, opened, ready);
        let (actor, ended) = Actor::spawn(None, NodeActor, args).await?;
        let (controller, epoch) = serving.await.context("the node's actors ended while they started")?;
        remember(&store, &shared.images, epoch)?;
        let (tails, coordinators) = (Arc::clone(&shared.tails), Arc::clone(&shared.coordinators));
        let quorum = Arc::new(Alone {
            node: identity.node_id,
            directory: DirectoryId::parse(&identity.directory_id),
            images: Arc::clone(&shared.images),
            clock: Arc::clone(&shared.clock),
        });
        let context = Front { fitted: &fitted, shared, controller, quorum, shards: &handles };
        let context = context.context(identity.node_id)?;
        let (stop, stopped) = watch::channel(false);
        let listening = listen(bound)?;
        http.console.serving(Arc::new(observe::Parts {
            context: Arc::clone(&context),
            shards: handles.clone(),
            lost,
            readers: Arc::clone(&readers),
            tails,
            lags: Default::default(),
            each_partition: config.console.metrics_partitions,
            exposed,
        }));
        let listener = serve(listening, &context, &stopped);
        say_serving(config, &context, &addresses, began);
        Ok(Node {
            addresses: addresses.into_iter().map(|(_, address)| address).collect(),
            store,
            shards: handles,
            readers,
            log,
            actor,
            ended,
            listener,
            coordinators,
            http,
            stop,
            all_lost,
        })
    }
}

/// Takes clients on all ports, until the node ends.
fn serve(
    listening: Vec<Listening>,
    context: &Arc<Context>,
    stopped: &watch::Receiver<bool>,
) -> JoinHandle<()> {
    let each = listening.into_iter().map(|one| one.serve(Arc::clone(context), stopped.clone()));
    let all: Vec<_> = each.collect();
    tokio::spawn(async move { drop(join_all(all).await) })
}

/// The names of the listeners and the addresses that they got.
fn addresses(bound: &[Listener]) -> anyhow::Result<Vec<(String, SocketAddr)>> {
    bound.iter().map(|listener| Ok((listener.name().to_owned(), listener.address()?))).collect()
}

fn ports(addresses: &[(String, SocketAddr)]) -> Vec<u16> {
    addresses.iter().map(|(_, address)| address.port()).collect()
}

/// What this node says of itself when it registers; the cluster id counts only if there is no cluster yet.
fn who(config: &Config, identity: &Identity, bound: &[Listener]) -> anyhow::Result<NodeIdentity> {
    let node = Registration {
        broker: identity.node_id,
        uuid: NodeUuid::parse(&identity.node_uuid),
        process: Some(ProcessId(*uuid::Uuid::new_v4().as_bytes())),
        incarnation: identity.incarnation,
        directories: DirectoryId::parse(&identity.directory_id).into_iter().collect(),
        listeners: registered(config, bound)?,
        rack: (!config.kafka.rack.is_empty()).then(|| config.kafka.rack.clone()),
        levels: LEVELS,
        ..Registration::default()
    };
    Ok(NodeIdentity { node, alone: Some(new_cluster_id()) })
}

/// A random id of 22 characters, as Kafka's cluster ids.
fn new_cluster_id() -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = u128::from_be_bytes(*uuid::Uuid::new_v4().as_bytes());
    let mut out = String::new();
    for _ in 0..22 {
        out.push(char::from(LETTERS[(bits & 63) as usize]));
        bits >>= 6;
    }
    out
}

fn say_serving(config: &Config, context: &Context, addresses: &[(String, SocketAddr)], began: Instant) {
    let partitions = context.directory.len();
    tracing::info!("{partitions} partitions are served, durability {:?}", config.topics.durability);
    for (name, address) in addresses {
        match &**name {
            PLAINTEXT => tracing::info!("listening for kafka clients on {address}"),
            name => tracing::info!("listening for kafka clients on {address}, named {name}"),
        }
    }
    tracing::info!("ready in {} ms", began.elapsed().as_millis());
}
