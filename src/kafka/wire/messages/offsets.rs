//! A group's offsets: OffsetCommit (8), OffsetFetch (9) and OffsetDelete (47), which has no flexible version.

use crate::kafka::wire::declare::message;
use callboard_core::TopicId;

message! { OffsetCommitRequestPartition: flexible 8 {
    partition_index: i32, 2..=10;
    committed_offset: i64, 2..=10;
    committed_leader_epoch: i32, 6..=10, or -1;
    committed_metadata: Option<String>, 2..=10, null 2;
} }

message! { OffsetCommitRequestTopic: flexible 8 {
    name: String, 2..=9;
    topic_id: TopicId, 10..=10;
    partitions: Vec<OffsetCommitRequestPartition>, 2..=10;
} }

message! { OffsetCommitRequest: flexible 8 {
    group_id: String, 2..=10;
    generation_id_or_member_epoch: i32, 2..=10, or -1;
    member_id: String, 2..=10;
    group_instance_id: Option<String>, 7..=10, null 7;
    retention_time_ms: i64, 2..=4, or -1;
    topics: Vec<OffsetCommitRequestTopic>, 2..=10;
} }

message! { OffsetCommitResponsePartition: flexible 8 {
    partition_index: i32, 2..=10;
    error_code: i16, 2..=10;
} }

message! { OffsetCommitResponseTopic: flexible 8 {
    name: String, 2..=9;
    topic_id: TopicId, 10..=10;
    partitions: Vec<OffsetCommitResponsePartition>, 2..=10;
} }

message! { OffsetCommitResponse: flexible 8 {
    throttle_time_ms: i32, 3..=10;
    topics: Vec<OffsetCommitResponseTopic>, 2..=10;
} }

message! { OffsetFetchRequestTopic: flexible 6 {
    name: String, 1..=7;
    partition_indexes: Vec<i32>, 1..=7;
} }

message! { OffsetFetchRequestTopics: flexible 6 {
    name: String, 8..=9;
    topic_id: TopicId, 10..=10;
    partition_indexes: Vec<i32>, 8..=10;
} }

message! { OffsetFetchRequestGroup: flexible 6 {
    group_id: String, 8..=10;
    member_id: Option<String>, 9..=10, null 9;
    member_epoch: i32, 9..=10, or -1;
    topics: Option<Vec<OffsetFetchRequestTopics>>, 8..=10, null 8;
} }

message! { OffsetFetchRequest: flexible 6 {
    group_id: String, 1..=7;
    topics: Option<Vec<OffsetFetchRequestTopic>>, 1..=7, null 2;
    groups: Vec<OffsetFetchRequestGroup>, 8..=10;
    require_stable: bool, 7..=10;
} }

message! { OffsetFetchResponsePartition: flexible 6 {
    partition_index: i32, 1..=7;
    committed_offset: i64, 1..=7;
    committed_leader_epoch: i32, 5..=7, or -1;
    metadata: Option<String>, 1..=7, null 1;
    error_code: i16, 1..=7;
} }

message! { OffsetFetchResponseTopic: flexible 6 {
    name: String, 1..=7;
    partitions: Vec<OffsetFetchResponsePartition>, 1..=7;
} }

message! { OffsetFetchResponsePartitions: flexible 6 {
    partition_index: i32, 8..=10;
    committed_offset: i64, 8..=10;
    committed_leader_epoch: i32, 8..=10, or -1;
    metadata: Option<String>, 8..=10, null 8;
    error_code: i16, 8..=10;
} }

message! { OffsetFetchResponseTopics: flexible 6 {
    name: String, 8..=9;
    topic_id: TopicId, 10..=10;
    partitions: Vec<OffsetFetchResponsePartitions>, 8..=10;
} }

message! { OffsetFetchResponseGroup: flexible 6 {
    group_id: String, 8..=10;
    topics: Vec<OffsetFetchResponseTopics>, 8..=10;
    error_code: i16, 8..=10;
} }

message! { OffsetFetchResponse: flexible 6 {
    throttle_time_ms: i32, 3..=10;
    topics: Vec<OffsetFetchResponseTopic>, 1..=7;
    error_code: i16, 2..=7;
    groups: Vec<OffsetFetchResponseGroup>, 8..=10;
} }

message! { OffsetDeleteRequestPartition: flexible 99 {
    partition_index: i32, 0..=0;
} }

message! { OffsetDeleteRequestTopic: flexible 99 {
    name: String, 0..=0;
    partitions: Vec<OffsetDeleteRequestPartition>, 0..=0;
} }

message! { OffsetDeleteRequest: flexible 99 {
    group_id: String, 0..=0;
    topics: Vec<OffsetDeleteRequestTopic>, 0..=0;
} }

message! { OffsetDeleteResponsePartition: flexible 99 {
    partition_index: i32, 0..=0;
    error_code: i16, 0..=0;
} }

message! { OffsetDeleteResponseTopic: flexible 99 {
    name: String, 0..=0;
    partitions: Vec<OffsetDeleteResponsePartition>, 0..=0;
} }

message! { OffsetDeleteResponse: flexible 99 {
    error_code: i16, 0..=0;
    throttle_time_ms: i32, 0..=0;
    topics: Vec<OffsetDeleteResponseTopic>, 0..=0;
} }
