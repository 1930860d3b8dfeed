//! ApiVersions (18) and InitProducerId (22).

use crate::kafka::wire::declare::message;

message! { ApiVersionsRequest: flexible 3 {
    client_software_name: String, 3..=4;
    client_software_version: String, 3..=4;
} }

message! { ApiVersion: flexible 3 {
    api_key: i16, 0..=4;
    min_version: i16, 0..=4;
    max_version: i16, 0..=4;
} }

message! { SupportedFeature: flexible 3 {
    name: String, 3..=4;
    min_version: i16, 3..=4;
    max_version: i16, 3..=4;
} }

message! { FinalizedFeature: flexible 3 {
    name: String, 3..=4;
    max_version_level: i16, 3..=4;
    min_version_level: i16, 3..=4;
} }

message! { ApiVersionsResponse: flexible 3 {
    error_code: i16, 0..=4;
    api_keys: Vec<ApiVersion>, 0..=4;
    throttle_time_ms: i32, 1..=4;
    supported_features: Vec<SupportedFeature>, 3..=4, tag 0;
    finalized_features_epoch: i64, 3..=4, tag 1, or -1;
    finalized_features: Vec<FinalizedFeature>, 3..=4, tag 2;
    zk_migration_ready: bool, 3..=4, tag 3;
} }

message! { InitProducerIdRequest: flexible 2 {
    transactional_id: Option<String>, 0..=5, null 0;
    transaction_timeout_ms: i32, 0..=5;
    producer_id: i64, 3..=5, or -1;
    producer_epoch: i16, 3..=5, or -1;
} }

message! { InitProducerIdResponse: flexible 2 {
    throttle_time_ms: i32, 0..=5;
    error_code: i16, 0..=5;
    producer_id: i64, 0..=5, or -1;
    producer_epoch: i16, 0..=5;
} }
