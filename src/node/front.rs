//! The ports that a node listens on: Kafka's ports with the context of their requests, and the console's over HTTP.
//!
//! All sockets are bound before anything else starts, because a port in use has to be found before a file is touched.
//! The console serves at once and says that the node starts; Kafka clients are accepted when the node serves.

use super::machine::Fitted;
use super::shared::Shared;
use crate::config::{Config, NamedAddress};
use crate::console::{Console, HttpListener, recorder};
use crate::kafka::{Context, Listener, Listening, Pools, ProducerIds, Refusals, Settings};
use crate::storage::ShardHandle;
use anyhow::Context as _;
use callboard_actors::controller::ControllerHandle;
use callboard_actors::permit::Pool;
use callboard_actors::ports::{Quorum, Shard, Spread};
use callboard_core::fetch_session::FetchSessions;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The console and its tasks; dropped, they end.
pub(super) struct Http {
    pub console: Arc<Console>,
    pub address: Option<SocketAddr>,
    pub tasks: JoinSet<()>,
}

impl Http {
    /// Serves at once, so that a start that takes long is seen.
    pub async fn start(config: &Config) -> anyhow::Result<Http> {
        let console = Arc::new(Console::new(recorder().context("metrics cannot be recorded")?));
        let mut tasks = JoinSet::new();
        let mut address = None;
        if !config.console.listen.is_empty() {
            let listener = HttpListener::bind(&config.console.listen).await.with_context(|| {
                format!(
                    "{}: cannot listen there; choose another --http HOST:PORT, or \"\" for none",
                    config.console.listen
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

/// Binds the ports for Kafka clients; no client is taken yet.
pub(super) async fn bind_kafka(config: &Config) -> anyhow::Result<Vec<Listener>> {
    // -1 is the system's choice.
    let send_buffer = u32::try_from(config.kafka.socket_send_buffer_bytes).ok();
    let mut out = Vec::new();
    for address in config.kafka.listeners()? {
        let NamedAddress { name, host, port } = &address;
        let bound = Listener::bind(name, host, *port, send_buffer).await;
        out.push(bound.with_context(|| taken(&address.host_port()))?);
    }
    Ok(out)
}

/// Lets clients connect to all bound ports.
pub(super) fn listen(bound: Vec<Listener>) -> anyhow::Result<Vec<Listening>> {
    let opened = bound.into_iter().map(|listener| {
        let address = listener.address()?;
        listener.listen().with_context(|| taken(&address.to_string()))
    });
    opened.collect()
}

fn taken(address: &str) -> String {
    format!("{address}: cannot listen there; choose another --kafka HOST:PORT, or end what uses it")
}

/// The listeners that this node registers: for each name the advertised address, else the bound one.
pub(super) fn registered(
    config: &Config,
    bound: &[Listener],
) -> anyhow::Result<Vec<callboard_core::metadata::Listener>> {
    let advertised = advertised(config)?;
    let told = bound.iter().map(|listener| {
        let told = advertised.iter().find(|told| told.name == listener.name());
        let address = listener.address()?;
        Ok(told.cloned().unwrap_or_else(|| named(listener.name(), address.ip().to_string(), address.port())))
    });
    told.collect()
}

/// The addresses that clients are told in place of those that they reached.
fn advertised(config: &Config) -> anyhow::Result<Vec<callboard_core::metadata::Listener>> {
    let addresses = config.kafka.advertised()?.into_iter();
    Ok(addresses.map(|address| named(&address.name, address.host, address.port)).collect())
}

fn named(name: &str, host: String, port: u16) -> callboard_core::metadata::Listener {
    let name = name.to_owned();
    callboard_core::metadata::Listener { name, ..callboard_core::metadata::Listener::plaintext(host, port) }
}

/// All that the front-end is made of, once the actors serve.
pub(super) struct Front<'a> {
    pub fitted: &'a Fitted,
    pub shared: Shared,
    pub controller: ControllerHandle,
    pub quorum: Arc<dyn Quorum>,
    pub spread: Arc<dyn Spread>,
    pub shards: &'a [Arc<ShardHandle>],
}

impl Front<'_> {
    /// What every request reaches.
    pub fn context(self, broker_id: i32) -> anyhow::Result<Arc<Context>> {
        let Fitted { config, budgets, look_ups, bounds } = self.fitted;
        let (closings, unaccepted) = Context::lines();
        let settings = Settings {
            broker_id,
            advertised: advertised(config)?,
            auto_create_topics_enable: config.topics.auto_create_topics_enable,
            connections_max_idle: Duration::from_millis(config.kafka.connections_max_idle_ms),
            socket_request_max_bytes: config.kafka.socket_request_max_bytes,
            data_dir: config.storage.data_dir(),
            statics: self.shared.statics,
            offsets_topic_num_partitions: config.groups.offsets_topic_num_partitions,
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
            quorum: self.quorum,
            spread: self.spread,
            shards: self.shards.iter().map(|s| Arc::clone(s) as Arc<dyn Shard>).collect(),
            clock: self.shared.clock,
            producer_ids: ProducerIds::default(),
            fetch_sessions: FetchSessions::new(config.fetch.sessions()).into(),
            refusals: Refusals::default(),
            closings,
            unaccepted,
        }))
    }
}
