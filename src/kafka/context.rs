//! What every request can reach: images, directory, controller, pools, bounds, and the settings of the front-end.
//!
//! A request reads most of it without a lock and without an actor. Changes of topics go to the controller, and the
//! request then waits until this node serves them.

use super::lines::Lines;
use super::metrics;
use super::pools::Pools;
use callboard_actors::clock::Clock;
use callboard_actors::controller::{Ask, ControllerHandle};
use callboard_actors::directory::Directory;
use callboard_actors::group::Coordinators;
use callboard_actors::images::Images;
use callboard_actors::permit::Pool;
use callboard_actors::ports::Shard;
use callboard_core::fetch_session::FetchSessions;
use callboard_core::metadata::configs::Statics;
use callboard_core::metadata::controller::{PRODUCER_ID_BLOCK, Reply as Said};
use callboard_core::metadata::{NewTopic, OFFSETS_TOPIC, Refusal};
use callboard_core::{BrokerId, ErrorCode, TopicId, limits};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Settings of the front-end, by Kafka's names.
#[derive(Clone, Debug)]
pub struct Settings {
    pub broker_id: BrokerId,
    /// `advertised.listeners`; none tells clients the address they reached.
    pub advertised: Option<(String, u16)>,
    pub auto_create_topics_enable: bool,
    pub connections_max_idle: Duration,
    pub socket_request_max_bytes: usize,
    /// The data directory: `log.dirs`.
    pub data_dir: String,
    /// Broker configs that the configuration file sets.
    pub statics: Arc<Statics>,
    pub offsets_topic_num_partitions: i32,
}

/// The bounds on memory, as metrics show them.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The terms of the sum of all bounds.
    pub terms: Vec<limits::Term>,
    /// Bytes of the machine, or of its control group.
    pub memory: usize,
}

/// State and handles that all connections share.
pub struct Context {
    pub settings: Settings,
    pub images: Arc<Images>,
    pub directory: Arc<Directory>,
    pub coordinators: Arc<Coordinators>,
    pub controller: ControllerHandle,
    pub shards: Vec<Arc<dyn Shard>>,
    pub pools: Pools,
    /// One slot for each connection (`max.connections`).
    pub slots: Pool,
    /// Permits to open compressed batches, for look-ups by time and for producers; each takes a window of memory.
    pub look_ups: Arc<Semaphore>,
    pub bounds: Bounds,
    pub clock: Arc<dyn Clock>,
    pub producer_ids: ProducerIds,
    pub fetch_sessions: Mutex<FetchSessions>,
    pub refusals: Refusals,
    pub closings: Lines,
    pub unaccepted: Lines,
}

/// Log lines of closed connections: at once, and each second from then on.
const CLOSINGS: (u32, u32) = (1000, 50);

impl Context {
    /// Lines for closed connections, and lines for connections that were not accepted.
    #[must_use]
    pub fn lines() -> (Lines, Lines) {
        (Lines::new(CLOSINGS.0, CLOSINGS.1), Lines::new(1, 1))
    }
}

impl Context {
    /// Waits until every shard takes more bytes; a shard at its limit slows producers down.
    pub async fn admitted(&self) {
        for shard in &self.shards {
            shard.admitted().await;
        }
    }

    /// Creates topics and waits until this node serves them.
    pub async fn create_topics(&self, topics: Vec<NewTopic>, validate_only: bool, wait: Duration) -> Said {
        let said = self.controller.ask(Ask::CreateTopics { topics, validate_only }).get().await;
        if let Said::Created(_, index) = &said
            && !validate_only
            && tokio::time::timeout(wait, self.images.served(*index)).await.is_err()
        {
            let message = "the topics are created, and not served yet: ask again".to_owned();
            return Said::Failed(Refusal { code: ErrorCode::RequestTimedOut, message });
        }
        said
    }
}

/// Longest wait for `__consumer_offsets`.
const OFFSETS_WAIT: Duration = Duration::from_secs(15);

impl Context {
    /// `__consumer_offsets` with the configs that Kafka gives it; its coordinators compact it.
    #[must_use]
    pub fn new_offsets_topic(&self) -> NewTopic {
        let configs =
            [("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", "104857600")];
        NewTopic {
            partitions: self.settings.offsets_topic_num_partitions,
            configs: configs.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).into(),
            ..new_topic(OFFSETS_TOPIC)
        }
    }

    /// Creates `__consumer_offsets` if it is missing, and waits until it is served. Kafka has one code for every
    /// failure here, so the message names the reason.
    pub async fn offsets_topic(&self) -> Result<(), Refusal> {
        let refused = |why: &str| Refusal {
            code: ErrorCode::CoordinatorNotAvailable,
            message: format!("__consumer_offsets is not there yet: {why}"),
        };
        if self.images.current().topic(OFFSETS_TOPIC).is_some() {
            return Ok(());
        }
        match self.create_topics(vec![self.new_offsets_topic()], false, OFFSETS_WAIT).await {
            Said::Created(outcomes, _) => match outcomes.into_iter().next() {
                Some(Ok(topic)) => {
                    tracing::info!(topic = %topic.name, partitions = topic.partitions.len(), "topic created");
                    let _ = tokio::time::timeout(OFFSETS_WAIT, self.coordinators.all_loaded()).await;
                    Ok(())
                }
                // Another request created it meanwhile.
                Some(Err(refusal)) if refusal.code == ErrorCode::TopicAlreadyExists => Ok(()),
                Some(Err(refusal)) => Err(refused(&refusal.message)),
                None => Err(refused("try again")),
            },
            Said::Failed(refusal) => Err(refused(&refusal.message)),
            _ => Err(refused("try again")),
        }
    }
}

/// A request to create a topic with defaults and a fresh id.
#[must_use]
pub fn new_topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        id: TopicId(*uuid::Uuid::new_v4().as_bytes()),
        partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

/// Producer ids; the controller gives them in blocks.
#[derive(Default)]
pub struct ProducerIds {
    block: tokio::sync::Mutex<std::ops::Range<i64>>,
}

impl ProducerIds {
    /// Takes the next id, and asks the controller for a block when this one is used up.
    pub async fn next(&self, controller: &ControllerHandle) -> Result<i64, Refusal> {
        let mut block = self.block.lock().await;
        if block.is_empty() {
            match controller.ask(Ask::ProducerIds).get().await {
                Said::ProducerIds(first) => *block = first..first + PRODUCER_ID_BLOCK,
                Said::Failed(refusal) => return Err(refusal),
                _ => {
                    let message = "the controller gave no producer ids: ask again".to_owned();
                    return Err(Refusal { code: ErrorCode::UnknownServerError, message });
                }
            }
        }
        let id = block.start;
        block.start += 1;
        Ok(id)
    }
}

/// Log lines of refusals a second at most.
const LINES: u32 = 20;

/// Counts every refusal and logs a bounded number a second.
pub struct Refusals(Lines);

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals(Lines::new(LINES, LINES))
    }
}

impl Refusals {
    /// Counts a refusal, and logs it if a line is left in this second.
    pub fn note(&self, api: &'static str, code: ErrorCode, client: &str, what: &str, why: &str) {
        metrics::refused(api, code.code());
        if let Some(suppressed) = self.0.one() {
            tracing::info!(api, code = ?code, client, what, suppressed, "refused: {why}");
        }
    }
}
