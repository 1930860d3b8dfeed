//! DescribeGroups. An unknown group is `Dead` without an error up to v5, and an error from v6 on (KIP-1043).

use super::{Call, Outcome};
use crate::kafka::wire::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use bytes::Bytes;
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::group::messages::Described;
use callboard_core::group::{Answer, GroupState, Input};

/// All operations on a group as bits, because there is no authorizer: read, delete, describe, describe and alter
/// configs.
const ALL_OPERATIONS: i32 = 0b1101_0100_1000;
/// First version in which an unknown group is an error.
const NOT_FOUND_FROM: i16 = 6;

pub(in super::super) async fn handle(call: Call, request: DescribeGroupsRequest) -> Outcome {
    let mut groups = Vec::new();
    for group in request.groups {
        let answer = call.context.coordinators.ask(&group, Input::Describe).await;
        groups.push(match answer {
            Ok(Answer::Described(described)) => {
                let mut described = described_group(&call, group, described);
                if request.include_authorized_operations {
                    described.authorized_operations = ALL_OPERATIONS;
                }
                described
            }
            other => {
                let code = other.err().unwrap_or(ErrorCode::UnknownServerError);
                call.group_refused(code, &group);
                DescribedGroup { error_code: code.code(), group_id: group, ..DescribedGroup::default() }
            }
        });
    }
    call.reply(&DescribeGroupsResponse { throttle_time_ms: 0, groups }, Permit::free())
}

fn described_group(call: &Call, group_id: String, described: Described) -> DescribedGroup {
    let missing = described.state == GroupState::Dead && call.version() >= NOT_FOUND_FROM;
    let members = described
        .members
        .into_iter()
        .map(|m| DescribedGroupMember {
            member_id: m.member_id,
            group_instance_id: m.instance_id,
            client_id: m.client_id,
            client_host: m.client_host,
            member_metadata: Bytes::from_owner(m.metadata),
            member_assignment: Bytes::from_owner(m.assignment),
        })
        .collect();
    DescribedGroup {
        error_code: if missing { ErrorCode::GroupIdNotFound.code() } else { 0 },
        error_message: missing.then(|| format!("Group {group_id} not found.")),
        group_id,
        group_state: described.state.name().to_owned(),
        protocol_type: described.protocol_type,
        protocol_data: described.protocol_name,
        members,
        ..DescribedGroup::default()
    }
}
