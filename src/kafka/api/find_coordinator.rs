//! FindCoordinator: where a group, a transactional id or a share group is coordinated. No coordinator runs on this node
//! yet, and every key is told so with a code that clients try again on.
//!
//! It is answered all the same: librdkafka takes the API's absence for a broker that cannot do LZ4, and then sends
//! uncompressed what it was told to compress.

use super::{Call, Outcome};
use crate::kafka::wire::messages::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;

/// Nobody: Kafka's `Node.noNode()`.
const NO_NODE: i32 = -1;

fn refusal(key_type: i8) -> (ErrorCode, &'static str) {
    match key_type {
        0 => (
            ErrorCode::CoordinatorNotAvailable,
            "consumer groups are not served yet: assign partitions by hand",
        ),
        1 => (
            ErrorCode::CoordinatorNotAvailable,
            "transactions are not served yet: leave transactional.id out",
        ),
        2 => {
            (ErrorCode::CoordinatorNotAvailable, "share groups are not served yet: assign partitions by hand")
        }
        _ => (ErrorCode::InvalidRequest, "a key type that nobody defined: 0, 1 and 2 are"),
    }
}

pub(super) async fn handle(call: Call, request: FindCoordinatorRequest) -> Outcome {
    let (code, why) = refusal(request.key_type);
    let keys = if call.version() >= 4 { request.coordinator_keys } else { vec![request.key] };
    call.refused(code, keys.first().map_or("-", String::as_str), why);
    let mut body = FindCoordinatorResponse {
        error_code: code.code(),
        error_message: Some(why.to_owned()),
        node_id: NO_NODE,
        port: -1,
        ..Default::default()
    };
    if call.version() >= 4 {
        let one = |key| Coordinator {
            key,
            node_id: NO_NODE,
            port: -1,
            error_code: code.code(),
            error_message: Some(why.to_owned()),
            ..Default::default()
        };
        body.coordinators = keys.into_iter().map(one).collect();
    }
    call.reply(&body, Permit::free())
}
