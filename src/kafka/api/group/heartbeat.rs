//! Heartbeat: a member of a group says that it lives, and hears of a rebalance.

use super::{Call, Outcome};
use crate::kafka::wire::messages::{HeartbeatRequest, HeartbeatResponse};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::group::messages::MemberRef;
use callboard_core::group::{Answer, Input};

pub(in super::super) async fn handle(call: Call, request: HeartbeatRequest) -> Outcome {
    let group = request.group_id;
    let answer = match group.is_empty() {
        true => Err(ErrorCode::InvalidGroupId),
        false => {
            let member = MemberRef {
                member_id: request.member_id,
                instance_id: request.group_instance_id,
                generation: request.generation_id,
            };
            call.context.coordinators.ask(&group, move |ticket| Input::Heartbeat(ticket, member)).await
        }
    };
    let code = match answer {
        Ok(Answer::Done(code)) => code,
        Ok(_) => ErrorCode::UnknownServerError,
        // Sessions begin anew when the group is loaded, so meanwhile a member is told that all is well, as in
        // Kafka.
        Err(ErrorCode::CoordinatorLoadInProgress) => ErrorCode::None,
        Err(code) => code,
    };
    call.group_refused(code, &group);
    let body = HeartbeatResponse { throttle_time_ms: 0, error_code: code.code() };
    call.reply(&body, Permit::free())
}
