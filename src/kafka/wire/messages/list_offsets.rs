//! ListOffsets (2).

use crate::kafka::wire::declare::message;

message! { ListOffsetsPartition: flexible 6 {
    partition_index: i32, 1..=11;
    current_leader_epoch: i32, 4..=11, or -1;
    timestamp: i64, 1..=11;
} }

message! { ListOffsetsTopic: flexible 6 {
    name: String, 1..=11;
    partitions: Vec<ListOffsetsPartition>, 1..=11;
} }

message! { ListOffsetsRequest: flexible 6 {
    replica_id: i32, 1..=11;
    isolation_level: i8, 2..=11;
    topics: Vec<ListOffsetsTopic>, 1..=11;
    timeout_ms: i32, 10..=11;
} }

message! { ListOffsetsPartitionResponse: flexible 6 {
    partition_index: i32, 1..=11;
    error_code: i16, 1..=11;
    timestamp: i64, 1..=11, or -1;
    offset: i64, 1..=11, or -1;
    leader_epoch: i32, 4..=11, or -1;
} }

message! { ListOffsetsTopicResponse: flexible 6 {
    name: String, 1..=11;
    partitions: Vec<ListOffsetsPartitionResponse>, 1..=11;
} }

message! { ListOffsetsResponse: flexible 6 {
    throttle_time_ms: i32, 2..=11;
    topics: Vec<ListOffsetsTopicResponse>, 1..=11;
} }
