//! About partitions: DeleteRecords (21), OffsetForLeaderEpoch (23), CreatePartitions (37), ElectLeaders (43) and
//! DescribeProducers (61).

use crate::kafka::wire::declare::message;

message! { DeleteRecordsPartition: flexible 2 {
    partition_index: i32, 0..=2;
    offset: i64, 0..=2;
} }

message! { DeleteRecordsTopic: flexible 2 {
    name: String, 0..=2;
    partitions: Vec<DeleteRecordsPartition>, 0..=2;
} }

message! { DeleteRecordsRequest: flexible 2 {
    topics: Vec<DeleteRecordsTopic>, 0..=2;
    timeout_ms: i32, 0..=2;
} }

message! { DeleteRecordsPartitionResult: flexible 2 {
    partition_index: i32, 0..=2;
    low_watermark: i64, 0..=2;
    error_code: i16, 0..=2;
} }

message! { DeleteRecordsTopicResult: flexible 2 {
    name: String, 0..=2;
    partitions: Vec<DeleteRecordsPartitionResult>, 0..=2;
} }

message! { DeleteRecordsResponse: flexible 2 {
    throttle_time_ms: i32, 0..=2;
    topics: Vec<DeleteRecordsTopicResult>, 0..=2;
} }

message! { OffsetForLeaderPartition: flexible 4 {
    partition: i32, 2..=4;
    current_leader_epoch: i32, 2..=4, or -1;
    leader_epoch: i32, 2..=4;
} }

message! { OffsetForLeaderTopic: flexible 4 {
    topic: String, 2..=4;
    partitions: Vec<OffsetForLeaderPartition>, 2..=4;
} }

message! { OffsetForLeaderEpochRequest: flexible 4 {
    replica_id: i32, 3..=4, or -2;
    topics: Vec<OffsetForLeaderTopic>, 2..=4;
} }

message! { LeaderEpochEndOffset: flexible 4 {
    error_code: i16, 2..=4;
    partition: i32, 2..=4;
    leader_epoch: i32, 2..=4, or -1;
    end_offset: i64, 2..=4, or -1;
} }

message! { OffsetForLeaderTopicResult: flexible 4 {
    topic: String, 2..=4;
    partitions: Vec<LeaderEpochEndOffset>, 2..=4;
} }

message! { OffsetForLeaderEpochResponse: flexible 4 {
    throttle_time_ms: i32, 2..=4;
    topics: Vec<OffsetForLeaderTopicResult>, 2..=4;
} }

message! { CreatePartitionsAssignment: flexible 2 {
    broker_ids: Vec<i32>, 0..=3;
} }

message! { CreatePartitionsTopic: flexible 2 {
    name: String, 0..=3;
    count: i32, 0..=3;
    assignments: Option<Vec<CreatePartitionsAssignment>>, 0..=3, null 0;
} }

message! { CreatePartitionsRequest: flexible 2 {
    topics: Vec<CreatePartitionsTopic>, 0..=3;
    timeout_ms: i32, 0..=3;
    validate_only: bool, 0..=3;
} }

message! { CreatePartitionsTopicResult: flexible 2 {
    name: String, 0..=3;
    error_code: i16, 0..=3;
    error_message: Option<String>, 0..=3, null 0;
} }

message! { CreatePartitionsResponse: flexible 2 {
    throttle_time_ms: i32, 0..=3;
    results: Vec<CreatePartitionsTopicResult>, 0..=3;
} }

message! { ElectLeadersTopic: flexible 2 {
    topic: String, 0..=2;
    partitions: Vec<i32>, 0..=2;
} }

message! { ElectLeadersRequest: flexible 2 {
    election_type: i8, 1..=2;
    topic_partitions: Option<Vec<ElectLeadersTopic>>, 0..=2, null 0;
    timeout_ms: i32, 0..=2, or 60_000;
} }

message! { ElectLeadersPartitionResult: flexible 2 {
    partition_id: i32, 0..=2;
    error_code: i16, 0..=2;
    error_message: Option<String>, 0..=2, null 0;
} }

message! { ElectLeadersTopicResult: flexible 2 {
    topic: String, 0..=2;
    partition_result: Vec<ElectLeadersPartitionResult>, 0..=2;
} }

message! { ElectLeadersResponse: flexible 2 {
    throttle_time_ms: i32, 0..=2;
    error_code: i16, 1..=2;
    replica_election_results: Vec<ElectLeadersTopicResult>, 0..=2;
} }

message! { DescribeProducersTopic: flexible 0 {
    name: String, 0..=0;
    partition_indexes: Vec<i32>, 0..=0;
} }

message! { DescribeProducersRequest: flexible 0 {
    topics: Vec<DescribeProducersTopic>, 0..=0;
} }

message! { ProducerState: flexible 0 {
    producer_id: i64, 0..=0;
    producer_epoch: i32, 0..=0;
    last_sequence: i32, 0..=0, or -1;
    last_timestamp: i64, 0..=0, or -1;
    coordinator_epoch: i32, 0..=0;
    current_txn_start_offset: i64, 0..=0, or -1;
} }

message! { DescribeProducersPartitionResponse: flexible 0 {
    partition_index: i32, 0..=0;
    error_code: i16, 0..=0;
    error_message: Option<String>, 0..=0, null 0;
    active_producers: Vec<ProducerState>, 0..=0;
} }

message! { DescribeProducersTopicResponse: flexible 0 {
    name: String, 0..=0;
    partitions: Vec<DescribeProducersPartitionResponse>, 0..=0;
} }

message! { DescribeProducersResponse: flexible 0 {
    throttle_time_ms: i32, 0..=0;
    topics: Vec<DescribeProducersTopicResponse>, 0..=0;
} }
