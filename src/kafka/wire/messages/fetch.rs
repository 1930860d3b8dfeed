//! Fetch (1).

use super::{LeaderIdAndEpoch, NodeEndpoint};
use crate::kafka::wire::RecordBytes;
use crate::kafka::wire::declare::message;
use callboard_core::TopicId;

message! { ReplicaState: flexible 12 {
    replica_id: i32, 15..=18, or -1;
    replica_epoch: i64, 15..=18, or -1;
} }

message! { FetchPartition: flexible 12 {
    partition: i32, 4..=18;
    current_leader_epoch: i32, 9..=18, or -1;
    fetch_offset: i64, 4..=18;
    last_fetched_epoch: i32, 12..=18, or -1;
    log_start_offset: i64, 5..=18, or -1;
    partition_max_bytes: i32, 4..=18;
    replica_directory_id: TopicId, 17..=18, tag 0;
    high_watermark: i64, 18..=18, tag 1, or i64::MAX;
} }

message! { FetchTopic: flexible 12 {
    topic: String, 4..=12;
    topic_id: TopicId, 13..=18;
    partitions: Vec<FetchPartition>, 4..=18;
} }

message! { ForgottenTopic: flexible 12 {
    topic: String, 7..=12;
    topic_id: TopicId, 13..=18;
    partitions: Vec<i32>, 7..=18;
} }

message! { FetchRequest: flexible 12 {
    cluster_id: Option<String>, 12..=18, null 12, tag 0;
    replica_id: i32, 4..=14, or -1;
    replica_state: ReplicaState, 15..=18, tag 1;
    max_wait_ms: i32, 4..=18;
    min_bytes: i32, 4..=18;
    max_bytes: i32, 4..=18, or i32::MAX;
    isolation_level: i8, 4..=18;
    session_id: i32, 7..=18;
    session_epoch: i32, 7..=18, or -1;
    topics: Vec<FetchTopic>, 4..=18;
    forgotten_topics_data: Vec<ForgottenTopic>, 7..=18;
    rack_id: String, 11..=18;
} }

message! { EpochEndOffset: flexible 12 {
    epoch: i32, 12..=18, or -1;
    end_offset: i64, 12..=18, or -1;
} }

message! { SnapshotId: flexible 12 {
    end_offset: i64, 12..=18, or -1;
    epoch: i32, 12..=18, or -1;
} }

message! { AbortedTransaction: flexible 12 {
    producer_id: i64, 4..=18;
    first_offset: i64, 4..=18;
} }

message! { PartitionData: flexible 12 {
    partition_index: i32, 4..=18;
    error_code: i16, 4..=18;
    high_watermark: i64, 4..=18;
    last_stable_offset: i64, 4..=18, or -1;
    log_start_offset: i64, 5..=18, or -1;
    diverging_epoch: EpochEndOffset, 12..=18, tag 0;
    current_leader: LeaderIdAndEpoch, 12..=18, tag 1;
    snapshot_id: SnapshotId, 12..=18, tag 2;
    aborted_transactions: Option<Vec<AbortedTransaction>>, 4..=18, null 4;
    preferred_read_replica: i32, 11..=18, or -1;
    records: Option<RecordBytes>, 4..=18, null 4;
} }

message! { FetchableTopicResponse: flexible 12 {
    topic: String, 4..=12;
    topic_id: TopicId, 13..=18;
    partitions: Vec<PartitionData>, 4..=18;
} }

message! { FetchResponse: flexible 12 {
    throttle_time_ms: i32, 4..=18;
    error_code: i16, 7..=18;
    session_id: i32, 7..=18;
    responses: Vec<FetchableTopicResponse>, 4..=18;
    node_endpoints: Vec<NodeEndpoint>, 16..=18, tag 0;
} }
