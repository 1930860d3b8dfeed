//! The composition root: the one file that knows every adapter.
//!
//! ```text
//!   data directory ─> shards ─> metadata log ─> actors ─> everything recovered is served ─> listener
//!   SIGTERM: no new request ─> actors drained ─> shards settled and closed ─> clean marker
//! ```

#[cfg(test)]
mod ended_tests;
mod machine;
mod observe;

use crate::config::Config;
use crate::console::{Console, HttpListener, recorder};
use crate::controller::SingleLog;
use crate::kafka::{Context, Listener, Pools, ProducerIds, Refusals, Settings};
use crate::storage::disk::Disk;
use crate::storage::{
    EngineOptions, Opened, Readers, RealDisk, Recovered, ShardFault, ShardHandle, Store, StoreOptions,
};
use anyhow::{Context as _, bail};
use callboard_actors::clock::{Clock, SystemClock};
use callboard_actors::controller::ControllerHandle;
use callboard_actors::directory::Directory;
use callboard_actors::group::{Coordinators, CoordinatorsArgs};
use callboard_actors::images::Images;
use callboard_actors::node::{NodeActor, NodeArgs, NodeIdentity, NodeMsg};
use callboard_actors::partition::TailBudget;
use callboard_actors::permit::Pool;
use callboard_actors::ports::{MetadataLog, OpenLog, Shard};
use callboard_core::fetch_session::FetchSessions;
use callboard_core::group::coordinator::CoordinatorConfig;
use callboard_core::metadata::TopicDefaults;
use callboard_core::metadata::configs::Statics;
use callboard_core::storage::Boot;
use machine::Fitted;
use ractor::{Actor, ActorRef};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Exit code when no shard works any more (BSD's EX_SOFTWARE).
pub const EXIT_NO_SHARD: i32 = 70;

/// A running node.
pub struct Node {
    address: SocketAddr,
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

/// The console and its tasks; dropped, they end.
struct Http {
    console: Arc<Console>,
    address: Option<SocketAddr>,
    tasks: JoinSet<()>,
}

impl Http {
    /// Serves at once: a start that takes long is seen.
    async fn start(config: &Config) -> anyhow::Result<Http> {
        let console = Arc::new(Console::new(recorder().context("metrics cannot be recorded")?));
        let mut tasks = JoinSet::new();
        let mut address = None;
        if !config.http.is_empty() {
            let listener = HttpListener::bind(&config.http).await.with_context(|| {
                format!(
                    "{}: cannot listen there; choose another --http HOST:PORT, or \"\" for none",
                    config.http
                )
            })?;
            let bound = listener.address()?;
            tracing::info!("listening for http on {bound}");
            address = Some(bound);
            tasks.spawn(listener.serve(Arc::clone(&console)));
        }
        tasks.spawn(Arc::clone(&console).upkeep());
        Ok(Http { console, address, tasks })
    }
}

/// How a node ended by itself.
#[derive(Debug)]
pub enum Ended {
    /// No shard works any more.
    NoShard,
    /// The root actor gave up.
    Actors,
}

/// The kernel's boot.
fn boot() -> Boot {
    const ID: &str = "/proc/sys/kernel/random/boot_id";
    let boot = std::fs::read_to_string(ID).map_or(Boot::UNKNOWN, Boot::from);
    if !boot.is_known() {
        tracing::warn!(
            "{ID} cannot be read: a kill of this process will count as a power cut for topics of durability os; show it /proc"
        );
    }
    boot
}

/// 22 characters, as Kafka's cluster ids.
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

struct Shards {
    handles: Vec<Arc<ShardHandle>>,
    for_actors: Vec<Result<Arc<dyn Shard>, String>>,
    lost: Vec<u16>,
    all_lost: watch::Receiver<bool>,
}

/// Starts the threads of every shard that works.
fn start_shards(store: &Arc<Store>, opened: Vec<Opened>, readers: &Arc<Readers>) -> anyhow::Result<Shards> {
    let healthy = opened.iter().filter(|o| matches!(o, Opened::Shard { .. })).count();
    let left = Arc::new(AtomicUsize::new(healthy));
    let (lost, all_lost) = watch::channel(healthy == 0);
    let lost = Arc::new(lost);
    let (mut handles, mut for_actors, mut lost_shards) = (Vec::new(), Vec::new(), Vec::new());
    for (n, shard) in opened.into_iter().enumerate() {
        match shard {
            Opened::Lost { fault } => {
                lost_shards.push(n as u16);
                for_actors.push(Err(fault.0));
            }
            Opened::Shard { engine, states } => {
                let (left, lost, store) = (Arc::clone(&left), Arc::clone(&lost), Arc::clone(store));
                let on_fault = Box::new(move |shard: u16, fault: &ShardFault| {
                    store.record_failure(&format!("shard {shard}: {fault}"));
                    if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                        lost.send_replace(true);
                    }
                });
                let handle = Arc::new(ShardHandle::start(engine, states, Arc::clone(readers), on_fault)?);
                for_actors.push(Ok(Arc::clone(&handle) as Arc<dyn Shard>));
                handles.push(handle);
            }
        }
    }
    Ok(Shards { handles, for_actors, lost: lost_shards, all_lost })
}

impl Node {
    /// Starts a node; returns when it serves.
    pub async fn start(config: Config) -> anyhow::Result<Node> {
        let began = Instant::now();
        tracing::info!("callboard {} starts", env!("CARGO_PKG_VERSION"));
        // Bound first: a port in use is found before anything is touched. Nothing is accepted yet.
        let listener = bind_kafka(&config).await?;
        let address = listener.address()?;
        let http = Http::start(&config).await?;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let fitted = Fitted::new(config, cores)?;
        let config = &fitted.config;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let (store, opened) = open_store(config, Arc::clone(&disk), cores).await?;
        let identity = store.identity();
        let readers = Arc::new(Readers::start(2 * cores)?);
        let Shards { handles, for_actors, lost, all_lost } = start_shards(&store, opened, &readers)?;
        if *all_lost.borrow() {
            let data = config.data.display();
            bail!("no shard of {data} works: see the lines above; nothing is created in their place");
        }
        let opened = SingleLog::open(&disk, &config.data, identity.node_id, identity.cluster_id.as_deref())?;
        let log = Arc::clone(&opened.log);
        let shared = Shared::new(&fitted, identity.node_id, address);
        let (ready, serving) = oneshot::channel();
        let who = who(config, identity.node_id, address)?;
        let args = shared.args(config, who, for_actors, opened, ready);
        let (actor, ended) = Actor::spawn(None, NodeActor, args).await?;
        let (controller, epoch) = serving.await.context("the node's actors ended while they started")?;
        remember(&store, &shared.images, epoch)?;
        let (tails, coordinators) = (Arc::clone(&shared.tails), Arc::clone(&shared.coordinators));
        let context = Front { fitted: &fitted, shared, controller, shards: &handles };
        let context = context.context(identity.node_id)?;
        let (stop, stopped) = watch::channel(false);
        http.console.serving(Arc::new(observe::Parts {
            context: Arc::clone(&context),
            shards: handles.clone(),
            lost,
            readers: Arc::clone(&readers),
            tails,
            lags: Default::default(),
            each_partition: config.metrics_partitions,
        }));
        let listener = tokio::spawn(listener.serve(Arc::clone(&context), stopped));
        say_serving(config, &context, address, began);
        Ok(Node {
            address,
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

    /// Where Kafka clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
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

    /// Ends cleanly: what was taken is answered, flushed and settled.
    pub async fn stop(self) -> anyhow::Result<()> {
        tracing::info!("ending: no new requests are taken");
        self.http.console.ending();
        self.stop.send_replace(true);
        self.coordinators.close();
        let _ = self.listener.await;
        self.actor.drain_and_wait(Some(Duration::from_secs(10))).await.ok();
        let (shards, readers, log) = (self.shards, self.readers, self.log);
        let closed = tokio::task::spawn_blocking(move || {
            let closed: Vec<_> = shards.iter().map(|shard| shard.close()).collect();
            readers.stop();
            log.close();
            closed
        });
        let mut clean = true;
        for (n, closed) in closed.await?.into_iter().enumerate() {
            if let Err(fault) = closed {
                tracing::error!("shard {n} could not be closed cleanly: {fault}");
                clean = false;
            }
        }
        if clean && let Err(error) = self.store.mark_clean() {
            // Everything is on disk; the next start looks for itself.
            tracing::error!("the clean end could not be marked: {error}");
            clean = false;
        }
        // Seen to its last moment.
        drop(self.http.tasks);
        tracing::info!("ended{}", if clean { " cleanly" } else { "" });
        Ok(())
    }
}

/// What the actors and the front-end share.
struct Shared {
    directory: Arc<Directory>,
    images: Arc<Images>,
    tails: Arc<TailBudget>,
    coordinators: Arc<Coordinators>,
    clock: Arc<dyn Clock>,
    statics: Arc<Statics>,
}

impl Shared {
    fn new(fitted: &Fitted, node_id: i32, address: SocketAddr) -> Shared {
        Shared {
            statics: Arc::new(fitted.config.statics(node_id, address)),
            directory: Arc::default(),
            images: Arc::default(),
            tails: Arc::new(TailBudget::new(fitted.budgets.tail)),
            coordinators: Arc::default(),
            clock: Arc::new(SystemClock::default()),
        }
    }

    fn args(
        &self,
        config: &Config,
        identity: NodeIdentity,
        shards: Vec<Result<Arc<dyn Shard>, String>>,
        log: OpenLog,
        ready: oneshot::Sender<(ControllerHandle, u64)>,
    ) -> NodeArgs {
        let coordinators = CoordinatorsArgs {
            directory: Arc::clone(&self.directory),
            images: Arc::clone(&self.images),
            clock: Arc::clone(&self.clock),
            coordinators: Arc::clone(&self.coordinators),
            groups: config.groups(),
            config: CoordinatorConfig {
                rewrite_bytes: config.offsets_rewrite_bytes,
                ..CoordinatorConfig::default()
            },
        };
        NodeArgs {
            identity,
            shards,
            log,
            clock: Arc::clone(&self.clock),
            directory: Arc::clone(&self.directory),
            images: Arc::clone(&self.images),
            tails: Arc::clone(&self.tails),
            defaults: TopicDefaults { partitions: config.num_partitions, statics: Arc::clone(&self.statics) },
            coordinators,
            ready,
        }
    }
}

async fn bind_kafka(config: &Config) -> anyhow::Result<Listener> {
    let refused = || {
        format!(
            "{}: cannot listen there; choose another --kafka HOST:PORT, or end what uses it",
            config.kafka
        )
    };
    // -1 is the system's choice.
    Listener::bind(&config.kafka, u32::try_from(config.socket_send_buffer_bytes).ok())
        .await
        .with_context(refused)
}

/// How this node registers. The cluster id is only taken if there is no cluster yet.
fn who(config: &Config, broker_id: i32, address: SocketAddr) -> anyhow::Result<NodeIdentity> {
    let (host, port) = config.advertised_parts()?.unwrap_or((address.ip().to_string(), address.port()));
    let rack = (!config.rack.is_empty()).then(|| config.rack.clone());
    Ok(NodeIdentity { broker_id, cluster_id: new_cluster_id(), host, port, rack })
}

async fn open_store(
    config: &Config,
    disk: Arc<dyn Disk>,
    cores: usize,
) -> anyhow::Result<(Arc<Store>, Vec<Opened>)> {
    let options = StoreOptions {
        shards: (config.shards > 0).then_some(config.shards),
        default_shards: (cores / 2).max(1),
        boot_id: boot(),
        journal_bytes_max: u64::try_from(config.journal_bytes_max).ok(),
        engine: EngineOptions {
            segment_bytes: config.segment_bytes,
            unsettled_bytes_max: config.unsettled_bytes_max,
            cache_bytes: config.store_cache_bytes,
            disk_reserve_bytes: config.disk_reserve_bytes,
            ..EngineOptions::default()
        },
    };
    let dir = config.data.clone();
    let mut store = tokio::task::spawn_blocking(move || Store::open(disk, &dir, &options)).await??;
    let opened = std::mem::take(&mut store.shards);
    say_recovered(config, &store.identity().shards.len(), &store.recovered, &opened);
    Ok((Arc::new(store), opened))
}

fn say_recovered(config: &Config, shards: &usize, recovered: &Recovered, opened: &[Opened]) {
    let data = config.data.display();
    if recovered.first_start {
        tracing::info!("data directory {data}: made, {shards} shards");
        return;
    }
    let replicas: usize = opened
        .iter()
        .map(|o| match o {
            Opened::Shard { states, .. } => states.len(),
            Opened::Lost { .. } => 0,
        })
        .sum();
    let end = if recovered.clean { "the last end was clean" } else { "the last end was not clean" };
    tracing::info!("data directory {data}: {shards} shards, {replicas} replicas, {end}");
    tracing::info!(
        "recovered: {} bytes of journal read, {} written again, {} of a torn tail cut",
        recovered.replayed,
        recovered.rejournaled,
        recovered.cut
    );
}

fn say_serving(config: &Config, context: &Context, address: SocketAddr, began: Instant) {
    let partitions = context.directory.len();
    tracing::info!("{partitions} partitions are served, durability {:?}", config.durability);
    tracing::info!("listening for kafka clients on {address}");
    tracing::info!("ready in {} ms", began.elapsed().as_millis());
}

/// What the registration said, durably, before anything is served.
fn remember(store: &Store, images: &Images, epoch: u64) -> anyhow::Result<()> {
    let cluster_id = images.current().cluster_id.clone();
    tracing::info!("cluster {}, broker epoch {epoch}", cluster_id.as_deref().unwrap_or("-"));
    store.update_identity(|identity| {
        identity.cluster_id = cluster_id;
        identity.last_broker_epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
    })?;
    // The registration has put every replica of this node back into its ISR.
    store.forgive_unclean()?;
    Ok(())
}

struct Front<'a> {
    fitted: &'a Fitted,
    shared: Shared,
    controller: ControllerHandle,
    shards: &'a [Arc<ShardHandle>],
}

impl Front<'_> {
    fn context(self, broker_id: i32) -> anyhow::Result<Arc<Context>> {
        let Fitted { config, budgets, look_ups, bounds } = self.fitted;
        let (closings, unaccepted) = Context::lines();
        let settings = Settings {
            broker_id,
            advertised: config.advertised_parts()?,
            auto_create_topics_enable: config.auto_create_topics_enable,
            connections_max_idle: Duration::from_millis(config.connections_max_idle_ms),
            socket_request_max_bytes: config.socket_request_max_bytes,
            data_dir: config.data_dir(),
            statics: self.shared.statics,
            offsets_topic_num_partitions: config.offsets_topic_num_partitions,
        };
        Ok(Arc::new(Context {
            pools: Pools::new(budgets, settings.socket_request_max_bytes),
            slots: Pool::new(budgets.connections),
            look_ups: Arc::new(Semaphore::new(*look_ups)),
            bounds: bounds.clone(),
            settings,
            images: self.shared.images,
            directory: self.shared.directory,
            coordinators: self.shared.coordinators,
            controller: self.controller,
            shards: self.shards.iter().map(|s| Arc::clone(s) as Arc<dyn Shard>).collect(),
            clock: self.shared.clock,
            producer_ids: ProducerIds::default(),
            fetch_sessions: FetchSessions::new(config.fetch_sessions()).into(),
            refusals: Refusals::default(),
            closings,
            unaccepted,
        }))
    }
}
