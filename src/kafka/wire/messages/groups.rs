//! Classic groups: JoinGroup (11), Heartbeat (12), LeaveGroup (13), SyncGroup (14), DescribeGroups (15), ListGroups
//! (16) and DeleteGroups (42). Bytes that members send each other are copied out of the frame, so that a group may
//! keep them.

use crate::kafka::wire::declare::message;
use bytes::Bytes;

message! { JoinGroupRequestProtocol: flexible 6 {
    name: String, 0..=9;
    metadata: Bytes, 0..=9;
} }

message! { JoinGroupRequest: flexible 6 {
    group_id: String, 0..=9;
    session_timeout_ms: i32, 0..=9;
    rebalance_timeout_ms: i32, 1..=9, or -1;
    member_id: String, 0..=9;
    group_instance_id: Option<String>, 5..=9, null 5;
    protocol_type: String, 0..=9;
    protocols: Vec<JoinGroupRequestProtocol>, 0..=9;
    reason: Option<String>, 8..=9, null 8;
} }

message! { JoinGroupResponseMember: flexible 6 {
    member_id: String, 0..=9;
    group_instance_id: Option<String>, 5..=9, null 5;
    metadata: Bytes, 0..=9;
} }

message! { JoinGroupResponse: flexible 6 {
    throttle_time_ms: i32, 2..=9;
    error_code: i16, 0..=9;
    generation_id: i32, 0..=9, or -1;
    protocol_type: Option<String>, 7..=9, null 7;
    protocol_name: Option<String>, 0..=9, null 7;
    leader: String, 0..=9;
    skip_assignment: bool, 9..=9;
    member_id: String, 0..=9;
    members: Vec<JoinGroupResponseMember>, 0..=9;
} }

message! { HeartbeatRequest: flexible 4 {
    group_id: String, 0..=4;
    generation_id: i32, 0..=4;
    member_id: String, 0..=4;
    group_instance_id: Option<String>, 3..=4, null 3;
} }

message! { HeartbeatResponse: flexible 4 {
    throttle_time_ms: i32, 1..=4;
    error_code: i16, 0..=4;
} }

message! { MemberIdentity: flexible 4 {
    member_id: String, 3..=5;
    group_instance_id: Option<String>, 3..=5, null 3;
    reason: Option<String>, 5..=5, null 5;
} }

message! { LeaveGroupRequest: flexible 4 {
    group_id: String, 0..=5;
    member_id: String, 0..=2;
    members: Vec<MemberIdentity>, 3..=5;
} }

message! { MemberResponse: flexible 4 {
    member_id: String, 3..=5;
    group_instance_id: Option<String>, 3..=5, null 3;
    error_code: i16, 3..=5;
} }

message! { LeaveGroupResponse: flexible 4 {
    throttle_time_ms: i32, 1..=5;
    error_code: i16, 0..=5;
    members: Vec<MemberResponse>, 3..=5;
} }

message! { SyncGroupRequestAssignment: flexible 4 {
    member_id: String, 0..=5;
    assignment: Bytes, 0..=5;
} }

message! { SyncGroupRequest: flexible 4 {
    group_id: String, 0..=5;
    generation_id: i32, 0..=5;
    member_id: String, 0..=5;
    group_instance_id: Option<String>, 3..=5, null 3;
    protocol_type: Option<String>, 5..=5, null 5;
    protocol_name: Option<String>, 5..=5, null 5;
    assignments: Vec<SyncGroupRequestAssignment>, 0..=5;
} }

message! { SyncGroupResponse: flexible 4 {
    throttle_time_ms: i32, 1..=5;
    error_code: i16, 0..=5;
    protocol_type: Option<String>, 5..=5, null 5;
    protocol_name: Option<String>, 5..=5, null 5;
    assignment: Bytes, 0..=5;
} }

message! { DescribeGroupsRequest: flexible 5 {
    groups: Vec<String>, 0..=6;
    include_authorized_operations: bool, 3..=6;
} }

message! { DescribedGroupMember: flexible 5 {
    member_id: String, 0..=6;
    group_instance_id: Option<String>, 4..=6, null 4;
    client_id: String, 0..=6;
    client_host: String, 0..=6;
    member_metadata: Bytes, 0..=6;
    member_assignment: Bytes, 0..=6;
} }

message! { DescribedGroup: flexible 5 {
    error_code: i16, 0..=6;
    error_message: Option<String>, 6..=6, null 6;
    group_id: String, 0..=6;
    group_state: String, 0..=6;
    protocol_type: String, 0..=6;
    protocol_data: String, 0..=6;
    members: Vec<DescribedGroupMember>, 0..=6;
    authorized_operations: i32, 3..=6, or i32::MIN;
} }

message! { DescribeGroupsResponse: flexible 5 {
    throttle_time_ms: i32, 1..=6;
    groups: Vec<DescribedGroup>, 0..=6;
} }

message! { ListGroupsRequest: flexible 3 {
    states_filter: Vec<String>, 4..=5;
    types_filter: Vec<String>, 5..=5;
} }

message! { ListedGroup: flexible 3 {
    group_id: String, 0..=5;
    protocol_type: String, 0..=5;
    group_state: String, 4..=5;
    group_type: String, 5..=5;
} }

message! { ListGroupsResponse: flexible 3 {
    throttle_time_ms: i32, 1..=5;
    error_code: i16, 0..=5;
    groups: Vec<ListedGroup>, 0..=5;
} }

message! { DeleteGroupsRequest: flexible 2 {
    groups_names: Vec<String>, 0..=2;
} }

message! { DeletableGroupResult: flexible 2 {
    group_id: String, 0..=2;
    error_code: i16, 0..=2;
} }

message! { DeleteGroupsResponse: flexible 2 {
    throttle_time_ms: i32, 0..=2;
    results: Vec<DeletableGroupResult>, 0..=2;
} }
