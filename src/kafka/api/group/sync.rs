//! SyncGroup: the leader of a group hands in the assignment, and each member takes its part.

use super::{Call, Outcome, shared};
use crate::kafka::wire::messages::{SyncGroupRequest, SyncGroupResponse};
use bytes::Bytes;
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::group::messages::Sync;
use callboard_core::group::{Answer, Input};
use std::time::Instant;

/// First version in which protocol type and name must be given.
const PROTOCOL_FROM: i16 = 5;

pub(in super::super) async fn handle(call: Call, request: SyncGroupRequest) -> Outcome {
    let group = request.group_id.clone();
    let unnamed = call.version() >= PROTOCOL_FROM
        && (request.protocol_type.is_none() || request.protocol_name.is_none());
    let answer = match (unnamed, group.is_empty()) {
        (true, _) => Err(ErrorCode::InconsistentGroupProtocol),
        (_, true) => Err(ErrorCode::InvalidGroupId),
        (false, false) => {
            let sync = Sync {
                member_id: request.member_id,
                instance_id: request.group_instance_id,
                generation: request.generation_id,
                protocol_type: request.protocol_type,
                protocol_name: request.protocol_name,
                assignments: request
                    .assignments
                    .into_iter()
                    .map(|a| (a.member_id, shared(&a.assignment)))
                    .collect(),
            };
            let began = Instant::now();
            let answer = call.context.coordinators.ask(&group, move |ticket| Input::Sync(ticket, sync)).await;
            call.apart.add(began.elapsed());
            answer
        }
    };
    let (code, body) = match answer {
        Ok(Answer::Synced(synced)) => {
            let body = SyncGroupResponse {
                throttle_time_ms: 0,
                error_code: synced.error.code(),
                protocol_type: synced.protocol_type,
                protocol_name: synced.protocol_name,
                assignment: Bytes::from_owner(synced.assignment),
            };
            (synced.error, body)
        }
        other => {
            let code = other.err().unwrap_or(ErrorCode::UnknownServerError);
            (code, SyncGroupResponse { error_code: code.code(), ..SyncGroupResponse::default() })
        }
    };
    call.group_refused(code, &group);
    call.reply(&body, Permit::free())
}
