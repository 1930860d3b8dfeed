//! What the Kafka front-end counts and times. Names, units, help and labels in one place.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::time::Duration;

/// Gauge: open client connections.
pub const CONNECTIONS: &str = "callboard_kafka_connections";
/// Counter, label `api`: requests answered.
pub const REQUESTS: &str = "callboard_kafka_requests_total";
/// Histogram, seconds, label `api`: from the last byte of a request to its answer being handed to the socket.
pub const SECONDS: &str = "callboard_kafka_request_seconds";
/// Counter, labels `api`, `code` (Kafka's number): requests, or parts of them, that were refused.
pub const REFUSED: &str = "callboard_kafka_refused_total";
/// Counter, label `why`: connections closed because of what came in.
pub const CLOSED: &str = "callboard_kafka_connections_closed_total";

/// Tells the exporter what the names mean.
pub fn describe() {
    describe_gauge!(CONNECTIONS, Unit::Count, "open client connections");
    describe_counter!(REQUESTS, Unit::Count, "requests answered");
    describe_histogram!(SECONDS, Unit::Seconds, "from a request's last byte to its answer");
    describe_counter!(REFUSED, Unit::Count, "requests, or parts of them, that were refused");
    describe_counter!(CLOSED, Unit::Count, "connections closed because of what came in");
}

pub(super) fn connected(delta: f64) {
    gauge!(CONNECTIONS).increment(delta);
}

pub(super) fn answered(api: &'static str, took: Duration) {
    counter!(REQUESTS, "api" => api).increment(1);
    histogram!(SECONDS, "api" => api).record(took.as_secs_f64());
}

pub(super) fn refused(api: &'static str, code: i16) {
    counter!(REFUSED, "api" => api, "code" => code.to_string()).increment(1);
}

pub(super) fn closed(why: &'static str) {
    counter!(CLOSED, "why" => why).increment(1);
}
