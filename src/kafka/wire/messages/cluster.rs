//! Messages about the cluster: DescribeLogDirs (35), DescribeCluster (60) and DescribeTopicPartitions (75).

use crate::kafka::wire::declare::{message, nullable};
use callboard_core::TopicId;

message! { DescribableLogDirTopic: flexible 2 {
    topic: String, 1..=5;
    partitions: Vec<i32>, 1..=5;
} }

message! { DescribeLogDirsRequest: flexible 2 {
    topics: Option<Vec<DescribableLogDirTopic>>, 1..=5, null 1;
} }

message! { DescribeLogDirsPartition: flexible 2 {
    partition_index: i32, 1..=5;
    partition_size: i64, 1..=5;
    offset_lag: i64, 1..=5;
    is_future_key: bool, 1..=5;
} }

message! { DescribeLogDirsTopic: flexible 2 {
    name: String, 1..=5;
    partitions: Vec<DescribeLogDirsPartition>, 1..=5;
} }

message! { DescribeLogDirsResult: flexible 2 {
    error_code: i16, 1..=5;
    log_dir: String, 1..=5;
    topics: Vec<DescribeLogDirsTopic>, 1..=5;
    total_bytes: i64, 4..=5, or -1;
    usable_bytes: i64, 4..=5, or -1;
    is_cordoned: bool, 5..=5;
} }

message! { DescribeLogDirsResponse: flexible 2 {
    throttle_time_ms: i32, 1..=5;
    error_code: i16, 3..=5;
    results: Vec<DescribeLogDirsResult>, 1..=5;
} }

message! { DescribeClusterRequest: flexible 0 {
    include_cluster_authorized_operations: bool, 0..=2;
    endpoint_type: i8, 1..=2, or 1;
    include_fenced_brokers: bool, 2..=2;
} }

message! { DescribeClusterBroker: flexible 0 {
    broker_id: i32, 0..=2;
    host: String, 0..=2;
    port: i32, 0..=2;
    rack: Option<String>, 0..=2, null 0;
    is_fenced: bool, 2..=2;
} }

message! { DescribeClusterResponse: flexible 0 {
    throttle_time_ms: i32, 0..=2;
    error_code: i16, 0..=2;
    error_message: Option<String>, 0..=2, null 0;
    endpoint_type: i8, 1..=2, or 1;
    cluster_id: String, 0..=2;
    controller_id: i32, 0..=2, or -1;
    brokers: Vec<DescribeClusterBroker>, 0..=2;
    cluster_authorized_operations: i32, 0..=2, or i32::MIN;
} }

message! { DescribeTopicPartitionsTopic: flexible 0 {
    name: String, 0..=0;
} }

message! { TopicPartitionsCursor: flexible 0 {
    topic_name: String, 0..=0;
    partition_index: i32, 0..=0;
} }

nullable!(TopicPartitionsCursor);

message! { DescribeTopicPartitionsRequest: flexible 0 {
    topics: Vec<DescribeTopicPartitionsTopic>, 0..=0;
    response_partition_limit: i32, 0..=0, or 2000;
    cursor: Option<TopicPartitionsCursor>, 0..=0, null 0;
} }

message! { DescribeTopicPartitionsResponsePartition: flexible 0 {
    error_code: i16, 0..=0;
    partition_index: i32, 0..=0;
    leader_id: i32, 0..=0;
    leader_epoch: i32, 0..=0, or -1;
    replica_nodes: Vec<i32>, 0..=0;
    isr_nodes: Vec<i32>, 0..=0;
    eligible_leader_replicas: Option<Vec<i32>>, 0..=0, null 0;
    last_known_elr: Option<Vec<i32>>, 0..=0, null 0;
    offline_replicas: Vec<i32>, 0..=0;
} }

message! { DescribeTopicPartitionsResponseTopic: flexible 0 {
    error_code: i16, 0..=0;
    name: Option<String>, 0..=0, null 0;
    topic_id: TopicId, 0..=0;
    is_internal: bool, 0..=0;
    partitions: Vec<DescribeTopicPartitionsResponsePartition>, 0..=0;
    topic_authorized_operations: i32, 0..=0, or i32::MIN;
} }

message! { DescribeTopicPartitionsResponse: flexible 0 {
    throttle_time_ms: i32, 0..=0;
    topics: Vec<DescribeTopicPartitionsResponseTopic>, 0..=0;
    next_cursor: Option<TopicPartitionsCursor>, 0..=0, null 0;
} }
