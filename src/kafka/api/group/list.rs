//! ListGroups: all groups that this node coordinates, filtered by state and type.

use super::{Call, Outcome};
use crate::kafka::wire::messages::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use callboard_actors::permit::Permit;

/// The type of every group here: its members agree on an assignor among themselves.
const TYPE: &str = "classic";

pub(in super::super) async fn handle(call: Call, request: ListGroupsRequest) -> Outcome {
    let listed = match call.context.coordinators.list() {
        Ok(listed) => listed,
        Err(code) => {
            call.group_refused(code, "-");
            let body = ListGroupsResponse { error_code: code.code(), ..ListGroupsResponse::default() };
            return call.reply(&body, Permit::free());
        }
    };
    let has = |filter: &[String], name: &str| {
        filter.is_empty() || filter.iter().any(|f| f.eq_ignore_ascii_case(name))
    };
    let groups = listed
        .into_iter()
        .filter(|(_, s)| has(&request.states_filter, s.state.name()) && has(&request.types_filter, TYPE))
        .map(|(group_id, summary)| ListedGroup {
            group_id,
            protocol_type: summary.protocol_type,
            group_state: summary.state.name().to_owned(),
            group_type: TYPE.to_owned(),
        })
        .collect();
    call.reply(&ListGroupsResponse { groups, ..ListGroupsResponse::default() }, Permit::free())
}
