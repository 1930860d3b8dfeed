//! FindCoordinator: where a group is coordinated. The first one who asks for a group makes `__consumer_offsets`.
//!
//! Transactions and share groups are not coordinated on this node yet; their keys are told so with a code that clients
//! try again on.

use super::{Call, Outcome};
use crate::kafka::wire::messages::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::metadata::OFFSETS_TOPIC;
use std::time::Duration;

/// Nobody: Kafka's `Node.noNode()`.
const NO_NODE: i32 = -1;
/// A coordinator that is loading its log is waited for so long.
const LOAD_WAIT: Duration = Duration::from_secs(1);
/// From here on several keys are asked for at once.
const BATCH_FROM: i16 = 4;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

type Found = Result<(i32, String, i32), (ErrorCode, &'static str)>;

pub(super) async fn handle(call: Call, request: FindCoordinatorRequest) -> Outcome {
    let keys = if call.version() >= BATCH_FROM { request.coordinator_keys } else { vec![request.key] };
    let mut coordinators = Vec::with_capacity(keys.len());
    for key in keys {
        let found = find(&call, request.key_type, &key).await;
        if let Err((code, why)) = found {
            call.refused(code, &key, why);
        }
        coordinators.push(coordinator(key, found));
    }
    if call.version() >= BATCH_FROM {
        let body = FindCoordinatorResponse { coordinators, ..Default::default() };
        return call.reply(&body, Permit::free());
    }
    let one = coordinators.into_iter().next().unwrap_or_default();
    let body = FindCoordinatorResponse {
        error_code: one.error_code,
        error_message: one.error_message,
        node_id: one.node_id,
        host: one.host,
        port: one.port,
        ..Default::default()
    };
    call.reply(&body, Permit::free())
}

async fn find(call: &Call, key_type: i8, key: &str) -> Found {
    match key_type {
        GROUP => {}
        TRANSACTION => {
            let why = "transactions are not served yet: leave transactional.id out";
            return Err((ErrorCode::CoordinatorNotAvailable, why));
        }
        SHARE => {
            let why = "share groups are not served yet: use a consumer group";
            return Err((ErrorCode::CoordinatorNotAvailable, why));
        }
        _ => return Err((ErrorCode::InvalidRequest, "a key type that nobody defined: 0, 1 and 2 are")),
    }
    if let Err(code) = call.context.offsets_topic().await {
        return Err((code, "__consumer_offsets is not there yet: try again"));
    }
    // Told to come a moment later, a client would only wait longer.
    let _ = tokio::time::timeout(LOAD_WAIT, call.context.coordinators.loaded(key)).await;
    let image = call.context.images.current();
    // The leader of the group's partition; on a single node that is this one.
    let leader = call
        .context
        .coordinators
        .partition(key)
        .and_then(|partition| Some(image.topic(OFFSETS_TOPIC)?.partition(partition)?.leader));
    let Some(broker) = leader.and_then(|leader| image.brokers.get(&leader)) else {
        let why = "the group's partition of __consumer_offsets has no leader: try again";
        return Err((ErrorCode::CoordinatorNotAvailable, why));
    };
    let (host, port) = call.address_of(broker);
    Ok((broker.id, host, i32::from(port)))
}

fn coordinator(key: String, found: Found) -> Coordinator {
    match found {
        Ok((node_id, host, port)) => Coordinator {
            key,
            node_id,
            host,
            port,
            error_code: 0,
            // Kafka's text for "no error".
            error_message: Some("NONE".to_owned()),
        },
        Err((code, why)) => Coordinator {
            key,
            node_id: NO_NODE,
            host: String::new(),
            port: -1,
            error_code: code.code(),
            error_message: Some(why.to_owned()),
        },
    }
}
