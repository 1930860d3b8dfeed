//! A node on its way: its ports are bound and its data directory is open, whether it will be alone or of a cluster.
//!
//! ```text
//!   open ─> ports ─> data directory ─> shards        serve ─> context ─> console ─> clients
//! ```
//! Between the two, `start.rs` or `cluster/` gives the node its metadata log and its actors. Nothing here knows which.

use super::data::{Shards, open_store, start_shards};
use super::exposed::Exposed;
use super::front::{Front, Http, bind_kafka, listen, registered};
use super::machine::Fitted;
use super::shared::Shared;
use super::{Node, Others, observe};
use crate::config::{Config, PLAINTEXT};
use crate::kafka::{Context, Listener};
use crate::storage::disk::Disk;
use crate::storage::{Identity, Readers, RealDisk, ShardHandle, Store};
use anyhow::bail;
use callboard_actors::controller::ControllerHandle;
use callboard_actors::messages::NodeMsg;
use callboard_actors::ports::{MetadataLog, Quorum, Shard, Spread, Verdict};
use callboard_core::metadata::{LEVELS, Registration};
use callboard_core::{DirectoryId, NodeUuid, ProcessId, ReplicaId, TopicPartition};
use futures_util::future::join_all;
use ractor::ActorRef;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A node whose ports are bound and whose data directory is open. It has no metadata and no actors yet.
pub(super) struct Opened {
    began: Instant,
    pub fitted: Fitted,
    pub bound: Vec<Listener>,
    pub addresses: Vec<(String, SocketAddr)>,
    pub http: Http,
    pub disk: Arc<dyn Disk>,
    pub store: Arc<Store>,
    readers: Arc<Readers>,
    handles: Vec<Arc<ShardHandle>>,
    /// The shards by number, taken by the actors.
    pub for_actors: Vec<Result<Arc<dyn Shard>, String>>,
    lost: Vec<u16>,
    all_lost: watch::Receiver<bool>,
    exposed: Exposed,
    /// Replicas that recovery found unclean.
    pub unclean: BTreeMap<TopicPartition, (u16, ReplicaId)>,
}

/// The actors of a node that serves the image of its registration.
pub(super) struct Running {
    pub node_id: i32,
    pub shared: Shared,
    pub actor: ActorRef<NodeMsg>,
    pub ended: JoinHandle<()>,
    pub controller: ControllerHandle,
    pub log: Arc<dyn MetadataLog>,
    pub quorum: Arc<dyn Quorum>,
    pub spread: Arc<dyn Spread>,
    pub others: Others,
}

impl Opened {
    /// Binds the ports and opens the data directory.
    pub async fn open(config: Config) -> anyhow::Result<Opened> {
        let began = Instant::now();
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
        let unclean = unclean(&opened);
        let readers = Arc::new(Readers::start(2 * cores)?);
        let Shards { handles, for_actors, lost, all_lost } = start_shards(&store, opened, &readers)?;
        if *all_lost.borrow() {
            let data = config.storage.data.display();
            bail!("no shard of {data} works: see the lines above; nothing is created in their place");
        }
        Ok(Opened {
            began,
            fitted,
            bound,
            addresses,
            http,
            disk,
            store,
            readers,
            handles,
            for_actors,
            lost,
            all_lost,
            exposed,
            unclean,
        })
    }

    /// The ports of the listeners.
    pub fn ports(&self) -> Vec<u16> {
        self.addresses.iter().map(|(_, address)| address.port()).collect()
    }

    /// The words of this node about itself when it registers.
    pub fn registration(&self, identity: &Identity) -> anyhow::Result<Registration> {
        let config = &self.fitted.config;
        Ok(Registration {
            broker: identity.node_id,
            uuid: NodeUuid::parse(&identity.node_uuid),
            process: Some(ProcessId(*uuid::Uuid::new_v4().as_bytes())),
            incarnation: identity.incarnation,
            directories: DirectoryId::parse(&identity.directory_id).into_iter().collect(),
            listeners: registered(config, &self.bound)?,
            rack: (!config.kafka.rack.is_empty()).then(|| config.kafka.rack.clone()),
            levels: LEVELS,
            ..Registration::default()
        })
    }

    /// Takes clients: the last step of a start.
    pub fn serve(self, running: Running) -> anyhow::Result<Node> {
        let Running { node_id, shared, actor, ended, controller, log, quorum, spread, others } = running;
        let (tails, coordinators) = (Arc::clone(&shared.tails), Arc::clone(&shared.coordinators));
        let context =
            Front { fitted: &self.fitted, shared, controller, quorum, spread, shards: &self.handles };
        let context = context.context(node_id)?;
        let (stop, stopped) = watch::channel(false);
        let listening = listen(self.bound)?;
        self.http.console.shows(Arc::new(observe::Parts {
            context: Arc::clone(&context),
            shards: self.handles.clone(),
            lost: self.lost,
            readers: Arc::clone(&self.readers),
            tails,
            lags: Default::default(),
            links: others.links.clone(),
            each_partition: self.fitted.config.console.metrics_partitions,
            exposed: self.exposed,
        }));
        let serving = listening.into_iter().map(|l| l.serve(Arc::clone(&context), stopped.clone()));
        let serving: Vec<_> = serving.collect();
        let listener = tokio::spawn(async move { drop(join_all(serving).await) });
        say_serving(&self.fitted.config, &context, &self.addresses, self.began);
        Ok(Node {
            addresses: self.addresses.into_iter().map(|(_, address)| address).collect(),
            store: self.store,
            shards: self.handles,
            readers: self.readers,
            log,
            actor,
            ended,
            listener,
            coordinators,
            http: self.http,
            stop,
            all_lost: self.all_lost,
            others,
        })
    }
}

/// The replicas that may lack a suffix, each with its place on disk.
fn unclean(opened: &[crate::storage::Opened]) -> BTreeMap<TopicPartition, (u16, ReplicaId)> {
    let mut found = BTreeMap::new();
    for (shard, opened) in (0u16..).zip(opened) {
        let crate::storage::Opened::Shard { states, .. } = opened else { continue };
        let unclean = |verdict: &Verdict| matches!(verdict, Verdict::Unclean(_));
        let states = states.iter().filter(|state| state.stray.is_none() && unclean(&state.verdict));
        found.extend(states.map(|state| (state.id, (shard, state.replica))));
    }
    found
}

/// The names of the listeners and the addresses that they got.
fn addresses(bound: &[Listener]) -> anyhow::Result<Vec<(String, SocketAddr)>> {
    bound.iter().map(|listener| Ok((listener.name().to_owned(), listener.address()?))).collect()
}

/// A random id of 22 characters, as Kafka's cluster ids.
pub(super) fn new_cluster_id() -> String {
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
