//! Configurations: DescribeConfigs (32), AlterConfigs (33), IncrementalAlterConfigs (44) and ListConfigResources (74).

use crate::kafka::wire::declare::message;

message! { DescribeConfigsResource: flexible 4 {
    resource_type: i8, 1..=4;
    resource_name: String, 1..=4;
    configuration_keys: Option<Vec<String>>, 1..=4, null 1;
} }

message! { DescribeConfigsRequest: flexible 4 {
    resources: Vec<DescribeConfigsResource>, 1..=4;
    include_synonyms: bool, 1..=4;
    include_documentation: bool, 3..=4;
} }

message! { DescribeConfigsSynonym: flexible 4 {
    name: String, 1..=4;
    value: Option<String>, 1..=4, null 1;
    source: i8, 1..=4;
} }

message! { DescribeConfigsResourceResult: flexible 4 {
    name: String, 1..=4;
    value: Option<String>, 1..=4, null 1;
    read_only: bool, 1..=4;
    config_source: i8, 1..=4, or -1;
    is_sensitive: bool, 1..=4;
    synonyms: Vec<DescribeConfigsSynonym>, 1..=4;
    config_type: i8, 3..=4;
    documentation: Option<String>, 3..=4, null 3;
} }

message! { DescribeConfigsResult: flexible 4 {
    error_code: i16, 1..=4;
    error_message: Option<String>, 1..=4, null 1;
    resource_type: i8, 1..=4;
    resource_name: String, 1..=4;
    configs: Vec<DescribeConfigsResourceResult>, 1..=4;
} }

message! { DescribeConfigsResponse: flexible 4 {
    throttle_time_ms: i32, 1..=4;
    results: Vec<DescribeConfigsResult>, 1..=4;
} }

message! { AlterableConfig: flexible 2 {
    name: String, 0..=2;
    value: Option<String>, 0..=2, null 0;
} }

message! { AlterConfigsResource: flexible 2 {
    resource_type: i8, 0..=2;
    resource_name: String, 0..=2;
    configs: Vec<AlterableConfig>, 0..=2;
} }

message! { AlterConfigsRequest: flexible 2 {
    resources: Vec<AlterConfigsResource>, 0..=2;
    validate_only: bool, 0..=2;
} }

message! { AlterConfigsResourceResponse: flexible 2 {
    error_code: i16, 0..=2;
    error_message: Option<String>, 0..=2, null 0;
    resource_type: i8, 0..=2;
    resource_name: String, 0..=2;
} }

message! { AlterConfigsResponse: flexible 2 {
    throttle_time_ms: i32, 0..=2;
    responses: Vec<AlterConfigsResourceResponse>, 0..=2;
} }

message! { IncrementalAlterableConfig: flexible 1 {
    name: String, 0..=1;
    config_operation: i8, 0..=1;
    value: Option<String>, 0..=1, null 0;
} }

message! { IncrementalAlterConfigsResource: flexible 1 {
    resource_type: i8, 0..=1;
    resource_name: String, 0..=1;
    configs: Vec<IncrementalAlterableConfig>, 0..=1;
} }

message! { IncrementalAlterConfigsRequest: flexible 1 {
    resources: Vec<IncrementalAlterConfigsResource>, 0..=1;
    validate_only: bool, 0..=1;
} }

message! { IncrementalAlterConfigsResourceResponse: flexible 1 {
    error_code: i16, 0..=1;
    error_message: Option<String>, 0..=1, null 0;
    resource_type: i8, 0..=1;
    resource_name: String, 0..=1;
} }

message! { IncrementalAlterConfigsResponse: flexible 1 {
    throttle_time_ms: i32, 0..=1;
    responses: Vec<IncrementalAlterConfigsResourceResponse>, 0..=1;
} }

message! { ListConfigResourcesRequest: flexible 0 {
    resource_types: Vec<i8>, 1..=1;
} }

message! { ConfigResource: flexible 0 {
    resource_name: String, 0..=1;
    resource_type: i8, 1..=1, or 16;
} }

message! { ListConfigResourcesResponse: flexible 0 {
    throttle_time_ms: i32, 0..=1;
    error_code: i16, 0..=1;
    config_resources: Vec<ConfigResource>, 0..=1;
} }
