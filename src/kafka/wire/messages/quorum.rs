//! DescribeQuorum (55).

use crate::kafka::wire::declare::message;
use callboard_core::TopicId;

message! { DescribeQuorumPartition: flexible 0 {
    partition_index: i32, 0..=2;
} }

message! { DescribeQuorumTopic: flexible 0 {
    topic_name: String, 0..=2;
    partitions: Vec<DescribeQuorumPartition>, 0..=2;
} }

message! { DescribeQuorumRequest: flexible 0 {
    topics: Vec<DescribeQuorumTopic>, 0..=2;
} }

message! { QuorumReplicaState: flexible 0 {
    replica_id: i32, 0..=2;
    replica_directory_id: TopicId, 2..=2;
    log_end_offset: i64, 0..=2;
    last_fetch_timestamp: i64, 1..=2, or -1;
    last_caught_up_timestamp: i64, 1..=2, or -1;
} }

message! { DescribeQuorumPartitionData: flexible 0 {
    partition_index: i32, 0..=2;
    error_code: i16, 0..=2;
    error_message: Option<String>, 2..=2, null 2;
    leader_id: i32, 0..=2;
    leader_epoch: i32, 0..=2;
    high_watermark: i64, 0..=2;
    current_voters: Vec<QuorumReplicaState>, 0..=2;
    observers: Vec<QuorumReplicaState>, 0..=2;
} }

message! { DescribeQuorumTopicData: flexible 0 {
    topic_name: String, 0..=2;
    partitions: Vec<DescribeQuorumPartitionData>, 0..=2;
} }

message! { QuorumListener: flexible 0 {
    name: String, 2..=2;
    host: String, 2..=2;
    port: u16, 2..=2;
} }

message! { QuorumNode: flexible 0 {
    node_id: i32, 2..=2;
    listeners: Vec<QuorumListener>, 2..=2;
} }

message! { DescribeQuorumResponse: flexible 0 {
    error_code: i16, 0..=2;
    error_message: Option<String>, 2..=2, null 2;
    topics: Vec<DescribeQuorumTopicData>, 0..=2;
    nodes: Vec<QuorumNode>, 2..=2;
} }
