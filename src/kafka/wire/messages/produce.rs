//! Produce (0).

use crate::kafka::wire::RecordBytes;
use crate::kafka::wire::declare::message;
use callboard_core::TopicId;

message! { PartitionProduceData: flexible 9 {
    index: i32, 3..=13;
    records: Option<RecordBytes>, 3..=13, null 3;
} }

message! { TopicProduceData: flexible 9 {
    name: String, 3..=12;
    topic_id: TopicId, 13..=13;
    partition_data: Vec<PartitionProduceData>, 3..=13;
} }

message! { ProduceRequest: flexible 9 {
    transactional_id: Option<String>, 3..=13, null 3;
    acks: i16, 3..=13;
    timeout_ms: i32, 3..=13;
    topic_data: Vec<TopicProduceData>, 3..=13;
} }

message! { BatchIndexAndErrorMessage: flexible 9 {
    batch_index: i32, 8..=13;
    batch_index_error_message: Option<String>, 8..=13, null 8;
} }

message! { LeaderIdAndEpoch: flexible 0 {
    leader_id: i32, 0..=99, or -1;
    leader_epoch: i32, 0..=99, or -1;
} }

message! { PartitionProduceResponse: flexible 9 {
    index: i32, 3..=13;
    error_code: i16, 3..=13;
    base_offset: i64, 3..=13;
    log_append_time_ms: i64, 3..=13, or -1;
    log_start_offset: i64, 5..=13, or -1;
    record_errors: Vec<BatchIndexAndErrorMessage>, 8..=13;
    error_message: Option<String>, 8..=13, null 8;
    current_leader: LeaderIdAndEpoch, 10..=13, tag 0;
} }

message! { TopicProduceResponse: flexible 9 {
    name: String, 3..=12;
    topic_id: TopicId, 13..=13;
    partition_responses: Vec<PartitionProduceResponse>, 3..=13;
} }

message! { NodeEndpoint: flexible 0 {
    node_id: i32, 0..=99;
    host: String, 0..=99;
    port: i32, 0..=99;
    rack: Option<String>, 0..=99, null 0;
} }

message! { ProduceResponse: flexible 9 {
    responses: Vec<TopicProduceResponse>, 3..=13;
    throttle_time_ms: i32, 3..=13;
    node_endpoints: Vec<NodeEndpoint>, 10..=13, tag 0;
} }
