//! Metadata (3).

use crate::kafka::wire::declare::message;
use callboard_core::TopicId;

message! { MetadataRequestTopic: flexible 9 {
    topic_id: TopicId, 10..=13;
    name: Option<String>, 0..=13, null 10;
} }

message! { MetadataRequest: flexible 9 {
    /// Null: all topics. In version 0 an empty list says that.
    topics: Option<Vec<MetadataRequestTopic>>, 0..=13, null 1;
    allow_auto_topic_creation: bool, 4..=13, or true;
    include_cluster_authorized_operations: bool, 8..=10;
    include_topic_authorized_operations: bool, 8..=13;
} }

message! { MetadataResponseBroker: flexible 9 {
    node_id: i32, 0..=13;
    host: String, 0..=13;
    port: i32, 0..=13;
    rack: Option<String>, 1..=13, null 1;
} }

message! { MetadataResponsePartition: flexible 9 {
    error_code: i16, 0..=13;
    partition_index: i32, 0..=13;
    leader_id: i32, 0..=13;
    leader_epoch: i32, 7..=13, or -1;
    replica_nodes: Vec<i32>, 0..=13;
    isr_nodes: Vec<i32>, 0..=13;
    offline_replicas: Vec<i32>, 5..=13;
} }

message! { MetadataResponseTopic: flexible 9 {
    error_code: i16, 0..=13;
    name: Option<String>, 0..=13, null 12;
    topic_id: TopicId, 10..=13;
    is_internal: bool, 1..=13;
    partitions: Vec<MetadataResponsePartition>, 0..=13;
    topic_authorized_operations: i32, 8..=13, or i32::MIN;
} }

message! { MetadataResponse: flexible 9 {
    throttle_time_ms: i32, 3..=13;
    brokers: Vec<MetadataResponseBroker>, 0..=13;
    cluster_id: Option<String>, 2..=13, null 2;
    controller_id: i32, 1..=13, or -1;
    topics: Vec<MetadataResponseTopic>, 0..=13;
    cluster_authorized_operations: i32, 8..=10, or i32::MIN;
    error_code: i16, 13..=13;
} }
