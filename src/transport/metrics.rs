//! The metrics of the transport: names, units, help and labels in one place.
//!
//! Refusals, connections, round trips and packet sizes are read at a scrape (`sample.rs`); the rest is counted
//! when it happens.

use callboard_actors::ports::{CallError, Service};
use callboard_actors::samples::Family;
use metrics::{Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

/// Counter, label `reason` = secret | version | cluster | uuid | old_directory | removed | unregistered | starting |
/// malformed: connections that a hello ended, whichever side refused.
pub const REFUSED: &str = "callboard_transport_refused_total";
/// Gauge, label `kind` = control | data (also those whose hello is not over): connections.
pub const CONNECTIONS: &str = "callboard_transport_connections";
/// Gauge, bytes, label `peer` (its broker id, or its uuid before it has one): UDP payload that reaches the peer.
pub const MTU: &str = "callboard_transport_mtu_bytes";
/// Gauge, seconds, label `peer`: round trip to the peer.
pub const RTT: &str = "callboard_transport_round_trip_seconds";
/// Counter, labels `kind` = control | data, `result` = ok | refused | failed: dials of one address.
pub const DIALS: &str = "callboard_transport_dials_total";
/// Counter, labels `service`, `result` = ok | not_sent | lost | refused: questions to other nodes.
pub const CALLS: &str = "callboard_transport_calls_total";
/// Gauge: questions of this node whose stream is open.
pub const OPEN: &str = "callboard_transport_questions_open";

pub(super) const REFUSALS: Family = Family::counter(REFUSED, "connections ended at their hello, by reason");
pub(super) const LINKS: Family = Family::gauge(CONNECTIONS, "connections with other nodes");
pub(super) const MTU_BYTES: Family = Family::gauge(MTU, "UDP payload that reaches the peer");
pub(super) const RTT_SECONDS: Family = Family::gauge(RTT, "round trip to the peer");

/// Tells the exporter what the names mean.
pub fn describe() {
    describe_counter!(DIALS, Unit::Count, "dials of other nodes");
    describe_counter!(CALLS, Unit::Count, "questions to other nodes");
    describe_gauge!(OPEN, Unit::Count, "questions to other nodes whose stream is open");
}

pub(super) fn dialled(kind: &'static str, result: &'static str) {
    counter!(DIALS, "kind" => kind, "result" => result).increment(1);
}

pub(super) fn called<T>(service: Service, result: &Result<T, CallError>) {
    let service = match service {
        Service::Raft => "raft",
        Service::Ask => "ask",
        Service::Heartbeat => "heartbeat",
        Service::Probe => "probe",
        Service::Grant => "grant",
        Service::Join => "join",
        Service::Quorum => "quorum",
        Service::Served => "served",
    };
    let result = match result {
        Ok(_) => "ok",
        Err(CallError::NotSent(_)) => "not_sent",
        Err(CallError::Lost(_)) => "lost",
        Err(CallError::Refused(_)) => "refused",
    };
    counter!(CALLS, "service" => service, "result" => result).increment(1);
}

/// Counts a question, until it is dropped.
pub(super) struct Open(Gauge);

pub(super) fn question_open() -> Open {
    let open = gauge!(OPEN);
    open.increment(1.0);
    Open(open)
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
