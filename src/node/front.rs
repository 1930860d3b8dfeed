//! The two listeners of a node: Kafka's with the context of its requests, and the console's over HTTP.
//!
//! Both sockets are bound before anything else starts, because a port in use has to be found before a file is touched.
//! The console serves at once and says that the node starts; Kafka clients are accepted when the node serves.

use super::machine::Fitted;
use super::shared::Shared;
use crate::config::Config;
use crate::console::{Console, HttpListener, recorder};
use crate::kafka::{Context, Listener, Pools, ProducerIds, Refusals, Settings};
use crate::storage::ShardHandle;
use anyhow::Context as _;
use callboard_actors::controller::ControllerHandle;
use callboard_actors::permit::Pool;
use callboard_actors::ports::Shard;
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

/// Binds the port for Kafka clients; nothing is accepted yet.
pub(super) async fn bind_kafka(config: &Config) -> anyhow::Result<Listener> {
    let refused = || {
        format!(
            "{}: cannot listen there; choose another --kafka HOST:PORT, or end what uses it",
            config.kafka.listen
        )
    };
    // -1 is the system's choice.
    Listener::bind(&config.kafka.listen, u32::try_from(config.kafka.socket_send_buffer_bytes).ok())
        .await
        .with_context(refused)
}

/// All that the front-end is made of, once the actors serve.
pub(super) struct Front<'a> {
    pub fitted: &'a Fitted,
    pub shared: Shared,
    pub controller: ControllerHandle,
    pub shards: &'a [Arc<ShardHandle>],
}

impl Front<'_> {
    /// What every request reaches.
    pub fn context(self, broker_id: i32) -> anyhow::Result<Arc<Context>> {
        let Fitted { config, budgets, look_ups, bounds } = self.fitted;
        let (closings, unaccepted) = Context::lines();
        let settings = Settings {
            broker_id,
            advertised: config.kafka.advertised_parts()?,
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
