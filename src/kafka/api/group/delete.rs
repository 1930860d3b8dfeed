//! DeleteGroups: removes groups without members, and their committed offsets.

use super::{Call, Outcome};
use crate::kafka::wire::messages::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::group::{Answer, Input};

pub(in super::super) async fn handle(call: Call, request: DeleteGroupsRequest) -> Outcome {
    let mut results = Vec::new();
    for group_id in request.groups_names {
        let code = match call.context.coordinators.ask(&group_id, Input::DeleteGroup).await {
            Ok(Answer::Done(code)) => code,
            other => other.err().unwrap_or(ErrorCode::UnknownServerError),
        };
        match code {
            ErrorCode::None => tracing::info!(group = group_id, "group deleted"),
            code => call.group_refused(code, &group_id),
        }
        results.push(DeletableGroupResult { group_id, error_code: code.code() });
    }
    call.reply(&DeleteGroupsResponse { throttle_time_ms: 0, results }, Permit::free())
}
