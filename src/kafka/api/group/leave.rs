//! LeaveGroup: one member leaves, or from v3 on several, by member or instance id.

use super::{Call, Outcome};
use crate::kafka::wire::messages::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::group::{Answer, Input};

/// First version in which several members leave at once.
const BATCH_FROM: i16 = 3;

pub(in super::super) async fn handle(call: Call, request: LeaveGroupRequest) -> Outcome {
    let group = request.group_id;
    let batch = call.version() >= BATCH_FROM;
    let members: Vec<(String, Option<String>)> = if batch {
        request.members.into_iter().map(|m| (m.member_id, m.group_instance_id)).collect()
    } else {
        vec![(request.member_id, None)]
    };
    let answer = match group.is_empty() {
        true => Err(ErrorCode::InvalidGroupId),
        false => call.context.coordinators.ask(&group, move |ticket| Input::Leave(ticket, members)).await,
    };
    let (code, left) = match answer {
        Ok(Answer::Left(code, left)) => (code, left),
        Ok(_) => (ErrorCode::UnknownServerError, Vec::new()),
        Err(code) => (code, Vec::new()),
    };
    let of_one = left.first().map_or(ErrorCode::None, |(_, _, code)| *code);
    call.group_refused(if code == ErrorCode::None { of_one } else { code }, &group);
    let mut body = LeaveGroupResponse { error_code: code.code(), ..LeaveGroupResponse::default() };
    if batch {
        body.members = left
            .into_iter()
            .map(|(member_id, group_instance_id, code)| MemberResponse {
                member_id,
                group_instance_id,
                error_code: code.code(),
            })
            .collect();
    } else if code == ErrorCode::None {
        body.error_code = of_one.code();
    }
    call.reply(&body, Permit::free())
}
