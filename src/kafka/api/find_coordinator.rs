//! FindCoordinator: the node that coordinates a group. The first question about a group creates
//! `__consumer_offsets`.
//!
//! Transactions and share groups have no coordinator yet. A code that says "not now" would make clients repeat the
//! question until their own timeout, so [`NO_TRANSACTIONS`](super::call::NO_TRANSACTIONS) ends them at once.

use super::call::{Call, NO_TRANSACTIONS, Outcome};
use crate::kafka::wire::messages::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::metadata::{OFFSETS_TOPIC, Refusal};
use std::time::Duration;

const NO_NODE: i32 = -1;
/// Longest wait for a coordinator that loads its log.
const LOAD_WAIT: Duration = Duration::from_secs(1);
/// First version that asks for several keys at once.
const BATCH_FROM: i16 = 4;
/// First version that has keys of share groups.
const SHARE_FROM: i16 = 6;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

type Found = Result<(i32, String, i32), Refusal>;

pub(super) async fn handle(call: Call, request: FindCoordinatorRequest) -> Outcome {
    let keys = if call.version() >= BATCH_FROM { request.coordinator_keys } else { vec![request.key] };
    let mut coordinators = Vec::with_capacity(keys.len());
    for key in keys {
        let found = find(&call, request.key_type, &key).await;
        match &found {
            Ok(_) => {}
            Err(_) if request.key_type == TRANSACTION => call.refused_transactions(&key),
            Err(refusal) => call.refused(refusal.code, &key, &refusal.message),
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
    let refuse = |code, why: &str| Err(Refusal { code, message: why.to_owned() });
    match key_type {
        GROUP => {}
        TRANSACTION => return refuse(NO_TRANSACTIONS.0, NO_TRANSACTIONS.1),
        // Kafka's own brokers ask for this key. Consumers of share groups ask for their coordinator and stop,
        // because ShareGroupHeartbeat is not listed.
        SHARE if call.version() >= SHARE_FROM => {
            let why = "share groups are not served yet: use a consumer group";
            return refuse(ErrorCode::ClusterAuthorizationFailed, why);
        }
        _ => {
            return refuse(
                ErrorCode::InvalidRequest,
                "a key type that this version does not define: 0, 1, and from v6 on 2",
            );
        }
    }
    call.context.offsets_topic().await?;
    // A client that is told to come back later would wait longer.
    let _ = tokio::time::timeout(LOAD_WAIT, call.context.coordinators.loaded(key)).await;
    let image = call.context.images.current();
    let partition = call.context.coordinators.partition(key);
    let partition = partition.and_then(|partition| image.topic(OFFSETS_TOPIC)?.partition(partition));
    let leader = partition.and_then(|p| call.told(&image).leader(p).ok());
    let Some((broker, (host, port))) = leader.and_then(|broker| Some((broker, call.address_of(broker)?)))
    else {
        let why =
            "the group's partition of __consumer_offsets has no leader that this client can reach: try again";
        return refuse(ErrorCode::CoordinatorNotAvailable, why);
    };
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
        Err(refusal) => Coordinator {
            key,
            node_id: NO_NODE,
            host: String::new(),
            port: -1,
            error_code: refusal.code.code(),
            error_message: Some(refusal.message),
        },
    }
}
