//! What the actors count. Names, units, help and labels in one place.

use callboard_core::partition::Event;
use metrics::{Unit, counter, describe_counter};

/// Counter: batches appended to partitions this node leads.
pub const BATCHES: &str = "callboard_partition_batches_appended_total";
/// Counter, bytes: the same.
pub const BYTES: &str = "callboard_partition_bytes_appended_total";
/// Counter, label `event` = duplicate | refused | timed_out: what became of batches that were not appended; expired:
/// retention moved a log start.
pub const EVENTS: &str = "callboard_partition_events_total";
/// Counter, label `actor` = leader: actors that ended by an error and were started again.
pub const RESTARTS: &str = "callboard_actor_restarts_total";

/// Tells the exporter what the names mean.
pub fn describe() {
    describe_counter!(BATCHES, Unit::Count, "batches appended to partitions this node leads");
    describe_counter!(BYTES, Unit::Bytes, "bytes appended to partitions this node leads");
    describe_counter!(
        EVENTS,
        Unit::Count,
        "batches that were duplicates, refused, or timed out waiting; log starts moved by retention"
    );
    describe_counter!(RESTARTS, Unit::Count, "actors that ended by an error and were started again");
}

pub(crate) fn appended(bytes: usize) {
    counter!(BATCHES).increment(1);
    counter!(BYTES).increment(bytes as u64);
}

pub(crate) fn leader_event(event: Event) {
    let event = match event {
        Event::Duplicate => "duplicate",
        Event::Refused => "refused",
        Event::TimedOut => "timed_out",
        Event::Expired => "expired",
    };
    counter!(EVENTS, "event" => event).increment(1);
}

pub(crate) fn restarted(actor: &'static str) {
    counter!(RESTARTS, "actor" => actor).increment(1);
}
