//! FindCoordinator (10).

use crate::kafka::wire::declare::message;

message! { FindCoordinatorRequest: flexible 3 {
    key: String, 0..=3;
    /// 0: a group, 1: a transactional id, 2: a share group.
    key_type: i8, 1..=6;
    coordinator_keys: Vec<String>, 4..=6;
} }

message! { Coordinator: flexible 3 {
    key: String, 4..=6;
    node_id: i32, 4..=6;
    host: String, 4..=6;
    port: i32, 4..=6;
    error_code: i16, 4..=6;
    error_message: Option<String>, 4..=6, null 4;
} }

message! { FindCoordinatorResponse: flexible 3 {
    throttle_time_ms: i32, 1..=6;
    error_code: i16, 0..=3;
    error_message: Option<String>, 1..=3, null 1;
    node_id: i32, 0..=3;
    host: String, 0..=3;
    port: i32, 0..=3;
    coordinators: Vec<Coordinator>, 4..=6;
} }
