//! From a frame to the answer to come: the header is read, then the body by its API and version, then its module is
//! asked.
//!
//! `dispatch` itself waits only where large batches are opened. All else is in the future that it returns, which the
//! connection awaits when the answer's turn comes.

use super::call::{Call, Client, Outcome, Pending};
use super::{
    alter_configs, api_versions, create_partitions, create_topics, delete_records, delete_topics,
    describe_cluster, describe_configs, describe_log_dirs, describe_producers, describe_quorum,
    describe_topic_partitions, elect_leaders, fetch, find_coordinator, group, incremental_alter_configs,
    init_producer_id, list_config_resources, list_offsets, metadata, offset_for_leader_epoch, produce,
};
use crate::kafka::context::Context;
use crate::kafka::frame::Frame;
use crate::kafka::metrics::{Apart, Request};
use crate::kafka::wire::api::ApiKey;
use crate::kafka::wire::messages::ApiVersionsResponse;
use crate::kafka::wire::{Message, Reader, RequestHeader, WireError, frame_response};
use callboard_actors::permit::Permit;
use callboard_actors::ports::Part;
use callboard_core::ErrorCode;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Instant;

/// Reads the body of a request. Like Kafka it ignores bytes behind it, because librdkafka 2.16 sends three too many
/// behind a Metadata request for all topics.
fn decode<M: Message>(frame: &[u8], at: usize, version: i16) -> Result<M, WireError> {
    let mut reader = Reader::new(frame);
    // Positions count from the start of the frame, because record bytes are ranges of it.
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

// Each API of the table has its module here.
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
    ElectLeaders: elect_leaders;
    IncrementalAlterConfigs: incremental_alter_configs;
    ListConfigResources: list_config_resources;
    InitProducerId: init_producer_id;
    DeleteGroups: group::delete;
    OffsetDelete: group::offset_delete;
    OffsetForLeaderEpoch: offset_for_leader_epoch;
    DescribeCluster: describe_cluster;
    DescribeProducers: describe_producers;
    DescribeQuorum: describe_quorum;
    DescribeTopicPartitions: describe_topic_partitions;
}

/// Why a frame gets no answer, and the connection closes.
#[derive(Debug)]
pub enum Undispatched {
    /// The client wants to log in.
    Sasl,
    Request(String),
}

/// The keys of SaslHandshake and SaslAuthenticate.
const SASL: [i16; 2] = [17, 36];

/// Turns a frame into an answer to come; an error closes the connection. It waits only where large batches are opened.
pub async fn dispatch(
    context: &Arc<Context>,
    client: &Client,
    frame: Frame,
) -> Result<Pending, Undispatched> {
    let (received, bytes, waited) = (Instant::now(), frame.bytes.len(), frame.waited);
    let mut reader = Reader::new(&frame.bytes);
    let header = RequestHeader::decode(&mut reader).map_err(|e| Undispatched::Request(e.to_string()))?;
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
        if SASL.contains(&key) {
            return Err(Undispatched::Sasl);
        }
        return Err(Undispatched::Request(format!(
            "API {key} version {version} is not known: the client must choose from ApiVersions"
        )));
    };
    let apart = Apart::default();
    let call =
        Call { context: Arc::clone(context), client: client.clone(), api, header, apart: apart.clone() };
    let unread = |e| Undispatched::Request(format!("a request that cannot be read: {e}"));
    let answer = answer(call, frame, at).await.map_err(unread)?;
    let request = Request::new(api.name(), bytes, waited, received, apart);
    let waits_for_others = matches!(api, ApiKey::Fetch | ApiKey::JoinGroup | ApiKey::SyncGroup);
    Ok(Pending { request, answer, waits_for_others })
}

/// Bytes of an answer in this process; bytes sent from files do not count.
fn in_memory(pieces: &[Part]) -> usize {
    let held = |piece: &Part| match piece {
        Part::Bytes(bytes) => bytes.len(),
        Part::File(_) => 0,
    };
    pieces.iter().map(held).sum()
}

/// Gives the permit of a request back when its answer is ready, and charges the answer instead if it is large.
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

/// KIP-511: an unknown version of ApiVersions is answered in version 0, with the known versions.
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
