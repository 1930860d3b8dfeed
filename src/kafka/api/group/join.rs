//! JoinGroup: a member enters a group, or a new round of its rebalance.

use super::{Call, Outcome, shared};
use crate::kafka::wire::messages::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use bytes::Bytes;
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::group::messages::{Join, Joined};
use callboard_core::group::{Answer, Input};
use std::time::Instant;

/// First version in which a dynamic member must know its id first (KIP-394).
const ID_REQUIRED_FROM: i16 = 4;
/// First version that may tell a static leader to keep the assignment (KIP-814).
const SKIP_FROM: i16 = 9;
/// First version in which the assignor may be null.
const NULLABLE_FROM: i16 = 7;
/// Characters of a client's id that go into the ids of its members.
const PREFIX_MAX: usize = 255;

pub(in super::super) async fn handle(call: Call, request: JoinGroupRequest) -> Outcome {
    let group = request.group_id.clone();
    let member_id = request.member_id.clone();
    let answer = match group.is_empty() {
        true => Err(ErrorCode::InvalidGroupId),
        false => {
            let join = join_of(&call, request);
            let began = Instant::now();
            let answer = call.context.coordinators.ask(&group, move |ticket| Input::Join(ticket, join)).await;
            // This time belongs to other members, not to the work of this request.
            call.apart.add(began.elapsed());
            answer
        }
    };
    let joined = match answer {
        Ok(Answer::Joined(joined)) => joined,
        Ok(_) => refused(ErrorCode::UnknownServerError, member_id),
        Err(code) => refused(code, member_id),
    };
    call.group_refused(joined.error, &group);
    call.reply(&response(call.version(), joined), Permit::free())
}

fn join_of(call: &Call, request: JoinGroupRequest) -> Join {
    let client_id = call.header.client_id.clone().unwrap_or_default();
    // Kafka names a static member by its instance, others by the client.
    let named = request.group_instance_id.as_deref().unwrap_or(&client_id);
    let prefix: String = named.chars().take(PREFIX_MAX).collect();
    let session_timeout_ms = request.session_timeout_ms;
    let fresh_member_id = format!("{prefix}-{}", uuid::Uuid::new_v4());
    Join {
        fresh_member_id,
        client_id,
        client_host: call.client_host(),
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        session_timeout_ms,
        // Before v1 one timeout served as both.
        rebalance_timeout_ms: if call.version() == 0 {
            session_timeout_ms
        } else {
            request.rebalance_timeout_ms
        },
        protocol_type: request.protocol_type,
        protocols: request.protocols.into_iter().map(|p| (p.name, shared(&p.metadata))).collect(),
        id_required: call.version() >= ID_REQUIRED_FROM,
        can_skip_assignment: call.version() >= SKIP_FROM,
    }
}

fn refused(error: ErrorCode, member_id: String) -> Joined {
    Joined {
        error,
        generation: -1,
        protocol_type: None,
        protocol_name: None,
        leader: String::new(),
        skip_assignment: false,
        member_id,
        members: Vec::new(),
    }
}

fn response(version: i16, joined: Joined) -> JoinGroupResponse {
    let members = joined
        .members
        .into_iter()
        .map(|(member_id, group_instance_id, metadata)| JoinGroupResponseMember {
            member_id,
            group_instance_id,
            metadata: Bytes::from_owner(metadata),
        })
        .collect();
    let name = joined.protocol_name;
    JoinGroupResponse {
        throttle_time_ms: 0,
        error_code: joined.error.code(),
        generation_id: joined.generation,
        protocol_type: joined.protocol_type,
        protocol_name: if version < NULLABLE_FROM { Some(name.unwrap_or_default()) } else { name },
        leader: joined.leader,
        skip_assignment: joined.skip_assignment,
        member_id: joined.member_id,
        members,
    }
}
