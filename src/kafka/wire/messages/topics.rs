//! CreateTopics (19) and DeleteTopics (20).

use crate::kafka::wire::declare::message;
use callboard_core::TopicId;

message! { CreatableReplicaAssignment: flexible 5 {
    partition_index: i32, 2..=7;
    broker_ids: Vec<i32>, 2..=7;
} }

message! { CreatableTopicConfig: flexible 5 {
    name: String, 2..=7;
    value: Option<String>, 2..=7, null 2;
} }

message! { CreatableTopic: flexible 5 {
    name: String, 2..=7;
    num_partitions: i32, 2..=7;
    replication_factor: i16, 2..=7;
    assignments: Vec<CreatableReplicaAssignment>, 2..=7;
    configs: Vec<CreatableTopicConfig>, 2..=7;
} }

message! { CreateTopicsRequest: flexible 5 {
    topics: Vec<CreatableTopic>, 2..=7;
    timeout_ms: i32, 2..=7, or 60_000;
    validate_only: bool, 2..=7;
} }

message! { CreatableTopicConfigs: flexible 5 {
    name: String, 5..=7;
    value: Option<String>, 5..=7, null 5;
    read_only: bool, 5..=7;
    config_source: i8, 5..=7, or -1;
    is_sensitive: bool, 5..=7;
} }

message! { CreatableTopicResult: flexible 5 {
    name: String, 2..=7;
    topic_id: TopicId, 7..=7;
    error_code: i16, 2..=7;
    error_message: Option<String>, 2..=7, null 2;
    topic_config_error_code: i16, 5..=7, tag 0;
    num_partitions: i32, 5..=7, or -1;
    replication_factor: i16, 5..=7, or -1;
    configs: Option<Vec<CreatableTopicConfigs>>, 5..=7, null 5;
} }

message! { CreateTopicsResponse: flexible 5 {
    throttle_time_ms: i32, 2..=7;
    topics: Vec<CreatableTopicResult>, 2..=7;
} }

message! { DeleteTopicState: flexible 4 {
    name: Option<String>, 6..=6, null 6;
    topic_id: TopicId, 6..=6;
} }

message! { DeleteTopicsRequest: flexible 4 {
    topics: Vec<DeleteTopicState>, 6..=6;
    topic_names: Vec<String>, 1..=5;
    timeout_ms: i32, 1..=6;
} }

message! { DeletableTopicResult: flexible 4 {
    name: Option<String>, 1..=6, null 6;
    topic_id: TopicId, 6..=6;
    error_code: i16, 1..=6;
    error_message: Option<String>, 5..=6, null 5;
} }

message! { DeleteTopicsResponse: flexible 4 {
    throttle_time_ms: i32, 1..=6;
    responses: Vec<DeletableTopicResult>, 1..=6;
} }
