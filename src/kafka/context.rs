//! The context of all requests: images, directory, controller, pools, bounds, and the settings of the front-end.
//!
//! Every request reaches the rest of the node through one [`Context`]. Its few methods ask an actor and wait for the
//! outcome; what to ask, and what an answer means, is decided in `callboard-core`.

use super::lines::Lines;
use super::metrics;
use super::pools::Pools;
use super::producer_ids::ProducerIds;
use callboard_actors::clock::Clock;
use callboard_actors::controller::{Ask, ControllerHandle};
use callboard_actors::directory::Directory;
use callboard_actors::group::Coordinators;
use callboard_actors::images::Images;
use callboard_actors::permit::Pool;
use callboard_actors::ports::{Quorum, Shard, Spread};
use callboard_core::fetch_session::FetchSessions;
use callboard_core::metadata::configs::Statics;
use callboard_core::metadata::controller::Reply as Said;
use callboard_core::metadata::{
    Listener, NewTopic, OFFSETS_TOPIC_WAIT, Refusal, missing_offsets_topic, offsets_topic_made,
    topic_on_request,
};
use callboard_core::{BrokerId, ErrorCode, TopicId, limits};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Settings of the front-end, by Kafka's names.
#[derive(Clone, Debug)]
pub struct Settings {
    pub broker_id: BrokerId,
    /// `advertised.listeners` of this node. Through a listener without one, a client is told the address it came to.
    pub advertised: Vec<Listener>,
    pub auto_create_topics_enable: bool,
    pub connections_max_idle: Duration,
    pub socket_request_max_bytes: usize,
    /// The data directory: `log.dirs`.
    pub data_dir: String,
    /// The settings of the configuration file.
    pub statics: Arc<Statics>,
    pub offsets_topic_num_partitions: i32,
}

/// The bounds of this process, for the console.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The sum of the bounds on memory, term by term.
    pub terms: Vec<limits::Term>,
    /// Bytes of the machine's memory, or of its control group's limit.
    pub memory: usize,
}

/// Everything that a request can reach.
pub struct Context {
    pub settings: Settings,
    pub images: Arc<Images>,
    /// Partitions on this node.
    pub directory: Arc<Directory>,
    /// Coordinators of groups on this node.
    pub coordinators: Arc<Coordinators>,
    pub controller: ControllerHandle,
    /// The voters on metadata.
    pub quorum: Arc<dyn Quorum>,
    /// How far a change of metadata has spread.
    pub spread: Arc<dyn Spread>,
    pub shards: Vec<Arc<dyn Shard>>,
    pub pools: Pools,
    /// Slots for connections: `max.connections`.
    pub slots: Pool,
    /// Permits to look into compressed batches, for consumers by time and for producers. Each look takes a window of
    /// memory, and long.
    pub look_ups: Arc<Semaphore>,
    pub bounds: Bounds,
    pub clock: Arc<dyn Clock>,
    pub producer_ids: ProducerIds,
    /// Fetch sessions of all clients.
    pub fetch_sessions: Mutex<FetchSessions>,
    /// Log lines of refusals.
    pub refusals: Refusals,
    /// Log lines of connections that were closed.
    pub closings: Lines,
    /// Log lines of connections that were not accepted.
    pub unaccepted: Lines,
}

/// Log lines of closed connections: at once, and per second from then on.
const CLOSINGS: (u32, u32) = (1000, 50);

impl Context {
    /// Bounded log lines of closed connections and of those that were not accepted.
    #[must_use]
    pub fn lines() -> (Lines, Lines) {
        (Lines::new(CLOSINGS.0, CLOSINGS.1), Lines::new(1, 1))
    }
}

impl Context {
    /// Resolves when every shard takes more. Producers slow down while one is at its limit.
    pub async fn admitted(&self) {
        for shard in &self.shards {
            shard.admitted().await;
        }
    }

    /// Makes topics and waits until this node serves them.
    pub async fn create_topics(&self, topics: Vec<NewTopic>, validate_only: bool, wait: Duration) -> Said {
        let said = self.controller.ask(Ask::CreateTopics { topics, validate_only }).get().await;
        if let Said::Created(_, index) = &said
            && !validate_only
            && !self.serves(*index, wait).await
        {
            let message = "the topics are created, and not served yet: ask again".to_owned();
            return Said::Failed(Refusal { code: ErrorCode::RequestTimedOut, message });
        }
        said
    }

    /// Waits until this node serves everything up to this index; false if it did not in time. The other nodes get a moment
    /// too, because a client may ask any of them next.
    pub async fn serves(&self, index: u64, wait: Duration) -> bool {
        let here = tokio::time::timeout(wait, self.images.served(index)).await.is_ok();
        if here {
            let _ = self.spread.served(index, wait.min(SPREADS_WITHIN)).await;
        }
        here
    }
}

impl Context {
    /// A topic that a request makes by naming it, with a fresh id.
    #[must_use]
    pub fn topic_on_request(&self, name: &str) -> NewTopic {
        topic_on_request(name, fresh_id(), self.settings.offsets_topic_num_partitions)
    }

    /// Makes `__consumer_offsets` if it is not there, and waits until it is served.
    pub async fn offsets_topic(&self) -> Result<(), Refusal> {
        let partitions = self.settings.offsets_topic_num_partitions;
        let Some(missing) = missing_offsets_topic(&self.images.current(), fresh_id(), partitions) else {
            return Ok(());
        };
        let said = self.create_topics(vec![missing], false, OFFSETS_TOPIC_WAIT).await;
        if let Some(topic) = offsets_topic_made(said)? {
            tracing::info!(topic = %topic.name, partitions = topic.partitions, "topic created");
            let _ = tokio::time::timeout(OFFSETS_TOPIC_WAIT, self.coordinators.all_loaded()).await;
        }
        Ok(())
    }
}

/// An id for a topic that is to be made.
#[must_use]
pub fn fresh_id() -> TopicId {
    TopicId(*uuid::Uuid::new_v4().as_bytes())
}

/// Time for which an answer waits until the other nodes know what this node serves.
const SPREADS_WITHIN: Duration = Duration::from_secs(1);

/// Log lines of refusals per second at most.
const LINES: u32 = 20;

/// Counts every refusal, and logs a bounded number a second.
pub struct Refusals(Lines);

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals(Lines::new(LINES, LINES))
    }
}

impl Refusals {
    /// Counts and logs one refusal.
    pub fn note(&self, api: &'static str, code: ErrorCode, client: &str, what: &str, why: &str) {
        metrics::refused(api, code.code());
        if let Some(suppressed) = self.0.one() {
            tracing::info!(api, code = ?code, client, what, suppressed, "refused: {why}");
        }
    }
}
