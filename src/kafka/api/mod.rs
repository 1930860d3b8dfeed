//! One file an API. `dispatch` reads the header, the body by its API and version, and returns the answer to come.

mod alter_configs;
mod api_versions;
mod create_partitions;
mod create_topics;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod fetch;
mod find_coordinator;
mod group;
mod incremental_alter_configs;
mod init_producer_id;
mod list_config_resources;
mod list_offsets;
mod metadata;
mod offset_for_leader_epoch;
mod produce;

use super::context::Context;
use super::frame::Frame;
use super::metrics::{self, Apart, Request};
use super::wire::api::ApiKey;
use super::wire::messages::ApiVersionsResponse;
use super::wire::{Message, Reader, RequestHeader, WireError, frame_response};
use callboard_actors::partition::PartitionHandle;
use callboard_actors::permit::Permit;
use callboard_actors::ports::Part;
use callboard_core::metadata::controller::Reply as Said;
use callboard_core::metadata::{Broker, Image, Refusal};
use callboard_core::{ErrorCode, TopicId, TopicPartition, limits};
use futures_util::future::BoxFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Who asks.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its address.
    pub peer: SocketAddr,
    /// The address it reached us at.
    pub local: Option<SocketAddr>,
    /// The log has a line of its asking for transactions.
    pub transactions_refused: Arc<AtomicBool>,
}

/// What becomes of a request.
pub enum Outcome {
    /// These pieces are sent; the permit is for their bytes.
    Reply(Vec<Part>, Permit),
    /// Nothing is sent (acks = 0).
    Nothing,
    /// The connection is closed: the refusal, already logged, has no other answer (acks = 0).
    HangUp,
    /// The connection is closed.
    Close(String),
}

/// An answer to come.
pub struct Pending {
    /// The request, for the meters.
    pub request: Request,
    /// The answer.
    pub answer: BoxFuture<'static, Outcome>,
    /// It may come only when other clients do something: it is not awaited when the node ends.
    pub waits_for_others: bool,
}

/// One request's facts.
pub(super) struct Call {
    pub context: Arc<Context>,
    pub client: Client,
    pub api: ApiKey,
    pub header: RequestHeader,
    /// Time that is not its own work.
    pub apart: Apart,
}

impl Call {
    fn version(&self) -> i16 {
        self.header.api_version
    }

    /// Frames a response.
    fn reply(&self, body: &impl Message, charged: Permit) -> Outcome {
        match frame_response(self.api, self.version(), self.header.correlation_id, body) {
            Ok(pieces) => Outcome::Reply(pieces, charged),
            Err(error) => Outcome::Close(format!("an answer could not be written: {error}")),
        }
    }

    /// The controller's answer to a change of `n` things, for each of them.
    fn altered(&self, said: Said, n: usize) -> Vec<Result<(), Refusal>> {
        match said {
            Said::Altered(outcomes, _) => outcomes,
            other => vec![Err(other.refusal()); n],
        }
    }

    /// How long a change may take. Like Kafka: one whose time is over before it begins is not made.
    fn time_for(timeout_ms: i32) -> Result<Duration, Refusal> {
        match u64::try_from(timeout_ms) {
            Ok(ms @ 1..) => Ok(Duration::from_millis(ms)),
            _ => {
                let message = "nothing was changed in no time: ask with a timeout above 0".to_owned();
                Err(Refusal { code: ErrorCode::RequestTimedOut, message })
            }
        }
    }

    /// Where the client reaches a broker: this node by what it is advertised as, or by the address the client came to;
    /// the others by what they registered.
    fn address_of(&self, broker: &Broker) -> (String, u16) {
        let settings = &self.context.settings;
        match (&settings.advertised, self.client.local) {
            (None, Some(local)) if broker.id == settings.broker_id => (local.ip().to_string(), local.port()),
            _ => (broker.host.clone(), broker.port),
        }
    }

    /// Counts and logs a refusal.
    fn refused(&self, code: ErrorCode, what: &str, why: &str) {
        let client = format!("{} {}", self.client.peer, self.header.client_id.as_deref().unwrap_or("-"));
        self.context.refusals.note(self.api.name(), code, &client, what, why);
    }

    /// The same of a transactional id. librdkafka asks twice: the log gets one line a connection.
    fn refused_transactions(&self, id: &str) {
        let (code, why) = NO_TRANSACTIONS;
        match self.client.transactions_refused.swap(true, Ordering::Relaxed) {
            true => metrics::refused(self.api.name(), code.code()),
            false => self.refused(code, id, why),
        }
    }
}

/// The refusal that ends a transactional producer at once, in words that it shows. Java, librdkafka and franz-go ask again on any
/// code that Kafka calls retriable, librdkafka on all but two: this one and `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`,
/// with which Java does not show the words.
const NO_TRANSACTIONS: (ErrorCode, &str) = (
    ErrorCode::ClusterAuthorizationFailed,
    "transactions are not served by this broker yet: leave transactional.id out",
);

/// Reads a request's body. Like Kafka it ignores what follows: librdkafka 2.16 sends three bytes too many behind a
/// Metadata request for all topics.
fn decode<M: Message>(frame: &[u8], at: usize, version: i16) -> Result<M, WireError> {
    let mut reader = Reader::new(frame);
    // Positions are those of the frame: record bytes are ranges of it.
    reader.range(at)?;
    let message = M::decode(&mut reader, version)?;
    if reader.remaining() > 0 {
        tracing::debug!(
            request = M::NAME,
            version,
            bytes = reader.remaining(),
            "bytes behind a request's end"
        );
    }
    Ok(message)
}

macro_rules! answers {
    ($($api:ident: $($module:ident)::+;)*) => {
        async fn answer(call: Call, frame: Frame, at: usize) -> Result<BoxFuture<'static, Outcome>, WireError> {
            let version = call.version();
            Ok(match call.api {
                ApiKey::Produce => produce::handle(call, decode(&frame.bytes, at, version)?, frame).await,
                $(ApiKey::$api => {
                    let request = decode(&frame.bytes, at, version)?;
                    held(Arc::clone(&call.context), call.api, frame.permit, $($module::)+handle(call, request))
                })*
            })
        }
    };
}

// Every API of the table is answered, each by its module.
answers! {
    AlterConfigs: alter_configs;
    Fetch: fetch;
    ListOffsets: list_offsets;
    Metadata: metadata;
    OffsetCommit: group::commit;
    OffsetFetch: group::fetch;
    FindCoordinator: find_coordinator;
    JoinGroup: group::join;
    Heartbeat: group::heartbeat;
    LeaveGroup: group::leave;
    SyncGroup: group::sync;
    DescribeGroups: group::describe;
    ListGroups: group::list;
    ApiVersions: api_versions;
    CreatePartitions: create_partitions;
    CreateTopics: create_topics;
    DeleteRecords: delete_records;
    DeleteTopics: delete_topics;
    DescribeConfigs: describe_configs;
    DescribeLogDirs: describe_log_dirs;
    IncrementalAlterConfigs: incremental_alter_configs;
    ListConfigResources: list_config_resources;
    InitProducerId: init_producer_id;
    DeleteGroups: group::delete;
    OffsetDelete: group::offset_delete;
    OffsetForLeaderEpoch: offset_for_leader_epoch;
    DescribeCluster: describe_cluster;
    DescribeProducers: describe_producers;
    DescribeTopicPartitions: describe_topic_partitions;
}

/// Turns a frame into an answer to come; an error closes the connection. It waits only where large batches are opened.
pub async fn dispatch(context: &Arc<Context>, client: &Client, frame: Frame) -> Result<Pending, String> {
    let (received, bytes, waited) = (Instant::now(), frame.bytes.len(), frame.waited);
    let mut reader = Reader::new(&frame.bytes);
    let header = RequestHeader::decode(&mut reader).map_err(|e| e.to_string())?;
    let at = reader.position();
    let known = ApiKey::of(header.api_key);
    let (key, version) = (header.api_key, header.api_version);
    let Some(api) = known.filter(|api| api.versions().contains(&version)) else {
        if known == Some(ApiKey::ApiVersions) {
            let answer = unknown_api_versions(header.correlation_id);
            let api = ApiKey::ApiVersions.name();
            return Ok(Pending {
                request: Request::new(api, bytes, waited, received, Apart::default()),
                answer,
                waits_for_others: false,
            });
        }
        return Err(format!(
            "API {key} version {version} is not known: the client must choose from ApiVersions"
        ));
    };
    let apart = Apart::default();
    let call =
        Call { context: Arc::clone(context), client: client.clone(), api, header, apart: apart.clone() };
    let answer = answer(call, frame, at).await.map_err(|e| format!("a request that cannot be read: {e}"))?;
    let request = Request::new(api.name(), bytes, waited, received, apart);
    let waits_for_others = matches!(api, ApiKey::Fetch | ApiKey::JoinGroup | ApiKey::SyncGroup);
    Ok(Pending { request, answer, waits_for_others })
}

/// Bytes of an answer that this process holds; what is sent from files it does not.
fn in_memory(pieces: &[Part]) -> usize {
    let held = |piece: &Part| match piece {
        Part::Bytes(bytes) => bytes.len(),
        Part::File(_) => 0,
    };
    pieces.iter().map(held).sum()
}

/// The request's permit goes back when its answer is ready, which is charged instead if it is large.
fn held(
    context: Arc<Context>,
    api: ApiKey,
    permit: Permit,
    answer: impl Future<Output = Outcome> + Send + 'static,
) -> BoxFuture<'static, Outcome> {
    Box::pin(async move {
        context.pools.some_room(api).await;
        let outcome = answer.await;
        drop(permit);
        match outcome {
            Outcome::Reply(pieces, charged) => {
                let bytes = in_memory(&pieces);
                Outcome::Reply(pieces, context.pools.charge(charged, bytes).await)
            }
            other => other,
        }
    })
}

/// `throttle_time_ms`: how long the request or its answer was kept waiting for memory.
fn throttle_ms(api: ApiKey, waited: Duration) -> i32 {
    let ms = waited.as_millis().min(u128::from(limits::THROTTLE_MS_MAX)) as i32;
    if ms > 0 {
        metrics::throttled(api.name());
    }
    ms
}

/// KIP-511: an ApiVersions version that is not known is answered in version 0, with what is.
fn unknown_api_versions(correlation_id: i32) -> BoxFuture<'static, Outcome> {
    let body = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: api_versions::keys(),
        ..ApiVersionsResponse::default()
    };
    Box::pin(async move {
        match frame_response(ApiKey::ApiVersions, 0, correlation_id, &body) {
            Ok(pieces) => Outcome::Reply(pieces, Permit::free()),
            Err(error) => Outcome::Close(error.to_string()),
        }
    })
}

/// A partition by the name or id a request gave.
pub(super) fn find(
    context: &Context,
    image: &Image,
    name: &str,
    id: TopicId,
    by_id: bool,
    partition: i32,
) -> Result<Arc<PartitionHandle>, ErrorCode> {
    let topic = if by_id { image.topics.get(&id) } else { image.topic(name) };
    let unknown = if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
    let topic = topic.ok_or(unknown)?;
    if topic.partition(partition).is_none() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let id = TopicPartition { topic: topic.id, partition };
    context.directory.get(id).ok_or_else(|| match context.images.current().topics.get(&id.topic) {
        // In the newest image and not here: on its way up, or led elsewhere.
        Some(_) => ErrorCode::NotLeaderOrFollower,
        // Deleted while this request was under way.
        None => unknown,
    })
}

/// A partition in the words of the request: newer versions name the topic by its id.
pub(super) fn named(name: &str, id: TopicId, partition: i32) -> String {
    if name.is_empty() { format!("{id}-{partition}") } else { format!("{name}-{partition}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::wire::messages::MetadataRequest;

    #[test]
    fn bytes_behind_a_request_are_ignored_as_kafka_does() {
        // Metadata v13 for all topics, as librdkafka 2.16 sends it: the body ends after four bytes.
        let sent = [0, 0, 0, 0, 1, 0, 0];
        let request: MetadataRequest = decode(&sent, 0, 13).unwrap();
        assert_eq!(
            request,
            MetadataRequest { topics: None, allow_auto_topic_creation: false, ..Default::default() }
        );
        assert!(decode::<MetadataRequest>(&sent[..3], 0, 13).is_err());
    }
}
