//! The metrics of the actors: names, units, help and labels in one place.
//!
//! Counters are recorded as events happen. Gauges are sampled when a scrape asks (`samples.rs`).

use crate::directory::Directory;
use crate::partition::TailBudget;
use crate::samples::{Family, Samples};
use callboard_core::metadata::Image;
use callboard_core::partition::{Event, Role};
use metrics::{Unit, counter, describe_counter};

/// Counter: batches appended to partitions this node leads.
pub const BATCHES: &str = "callboard_partition_batches_appended_total";
/// Counter, bytes: batches appended to partitions this node leads.
pub const BYTES: &str = "callboard_partition_bytes_appended_total";
/// Counter: damaged replicas that began anew, to be filled by their leaders.
pub const MENDED: &str = "callboard_partition_replicas_mended_total";
/// Counter: batches taken from the leaders of partitions that this node follows.
pub const REPLICATED_BATCHES: &str = "callboard_partition_batches_replicated_total";
/// Counter, bytes: batches taken from the leaders of partitions that this node follows.
pub const REPLICATED_BYTES: &str = "callboard_partition_bytes_replicated_total";
/// Counter of partition events, by label `event`. Values: duplicate, refused, timed_out (batches), expired (retention
/// moved a log start), cut_off (requests refused or ended because the node is cut off), truncated, isr_shrinks, isr_grows, alarm (a replica lost, or would have to cut, committed records).
pub const EVENTS: &str = "callboard_partition_events_total";
/// Counter: times that this node lost contact with the controller for a session.
pub const CUT_OFFS: &str = "callboard_node_cut_offs_total";
/// Counter: actors that ended by an error and were started again. Label `actor` = replica | coordinator.
pub const RESTARTS: &str = "callboard_actor_restarts_total";
/// Counter: committed metadata records that were decided on another state than the one they met, and changed nothing.
pub const DROPPED: &str = "callboard_metadata_records_dropped_total";

/// Counter: partitions whose leader was elected although it may lack acknowledged records. The node that decided counts it.
pub const UNCLEAN: &str = "callboard_controller_unclean_leader_elections_total";
/// Gauge: partitions of the cluster without a leader, on the controller's node; 0 on the others.
pub const LEADERLESS: &str = "callboard_controller_offline_partitions";

/// Counter: log lines about a cluster that does not form: a seed that does not answer, a list that differs.
pub const WAITS: &str = "callboard_forming_waits_total";

/// Gauge: topics that exist.
pub const TOPICS: &str = "callboard_topics";
/// Gauge: partitions of this node. Label `state` = leader | idle (no role here, or its actor starts again) | offline.
pub const PARTITIONS: &str = "callboard_partitions";
/// Gauge, bytes: the newest batches of all partitions, in memory.
pub const TAIL: &str = "callboard_tail_bytes";
/// Gauge, bytes: bound of the newest batches in memory.
pub const TAIL_CAPACITY: &str = "callboard_tail_capacity_bytes";
/// Gauge: the log's first offset. Labels `topic`, `partition`; only with `metrics_partitions`.
pub const LOG_START: &str = "callboard_partition_log_start_offset";
/// Gauge: the next offset to write. Labels as above.
pub const LOG_END: &str = "callboard_partition_log_end_offset";
/// Gauge: the offset below which consumers read. Labels as above.
pub const HIGH_WATERMARK: &str = "callboard_partition_high_watermark_offset";
/// Gauge: partitions that this node leads and that have no such series, because there are too many.
pub const UNSHOWN: &str = "callboard_partitions_without_series";
/// Gauge: consumer groups. Label `state` has Kafka's names.
pub const GROUPS: &str = "callboard_groups";
/// Gauge: records that a group has not committed yet. Labels `group`, `topic`.
pub const LAG_RECORDS: &str = "callboard_group_lag_records";
/// Gauge, seconds: age of the oldest of these records. Labels `group`, `topic`.
pub const LAG_SECONDS: &str = "callboard_group_lag_seconds";

const COUNTED_TOPICS: Family = Family::gauge(TOPICS, "topics that exist");
const WITHOUT_LEADER: Family = Family::gauge(
    LEADERLESS,
    "partitions of the cluster without a leader, as the controller's node counts them",
);
const PARTITIONS_BY_STATE: Family = Family::gauge(PARTITIONS, "partitions of this node, by state");
const TAIL_BYTES: Family = Family::gauge(TAIL, "bytes of the newest batches that are in memory");
const TAIL_MAX: Family = Family::gauge(TAIL_CAPACITY, "bytes that the newest batches may take in memory");
const LOG_STARTS: Family = Family::gauge(LOG_START, "first offset of the log");
const LOG_ENDS: Family = Family::gauge(LOG_END, "next offset to write");
const HIGH_WATERMARKS: Family = Family::gauge(HIGH_WATERMARK, "offset up to which consumers may read");
const NOT_SHOWN: Family = Family::gauge(UNSHOWN, "partitions beyond the bound of per-partition series");
pub(crate) const GROUPS_BY_STATE: Family = Family::gauge(GROUPS, "consumer groups, by state");
pub(crate) const LAG_RECORDS_BY_GROUP: Family =
    Family::gauge(LAG_RECORDS, "records that a group has not committed yet; other: the rest of the groups");
pub(crate) const LAG_SECONDS_BY_GROUP: Family =
    Family::gauge(LAG_SECONDS, "age of the oldest record that a group has not committed yet");

/// Partitions that have series of their own, at most, where such series are on.
pub const PARTITIONS_SHOWN: usize = 1000;

/// Registers the help and the units of the counters with the exporter.
pub fn describe() {
    describe_counter!(BATCHES, Unit::Count, "batches appended to partitions this node leads");
    describe_counter!(BYTES, Unit::Bytes, "bytes appended to partitions this node leads");
    describe_counter!(WAITS, Unit::Count, "log lines about a cluster that does not form yet");
    describe_counter!(REPLICATED_BATCHES, Unit::Count, "batches taken from leaders that this node follows");
    describe_counter!(REPLICATED_BYTES, Unit::Bytes, "bytes taken from leaders that this node follows");
    describe_counter!(
        EVENTS,
        Unit::Count,
        "batches that were duplicates, refused, timed out waiting, or sent away by a node that is cut off; log starts moved by retention; follower logs \
         cut; in-sync sets proposed smaller or larger; alarms that committed records are missing or would be cut"
    );
    describe_counter!(MENDED, Unit::Count, "damaged replicas that began anew, to be filled by their leaders");
    describe_counter!(
        CUT_OFFS,
        Unit::Count,
        "times that this node lost contact with the controller for a session"
    );
    describe_counter!(RESTARTS, Unit::Count, "actors that ended by an error and were started again");
    describe_counter!(
        UNCLEAN,
        Unit::Count,
        "leaders elected by this controller that may lack acknowledged records"
    );
    describe_counter!(DROPPED, Unit::Count, "committed metadata records that changed nothing");
}

/// Writes the gauges of this moment. With `each`, it adds the offsets of the first [`PARTITIONS_SHOWN`] partitions,
/// by name.
pub fn sample(image: &Image, directory: &Directory, tails: &TailBudget, each: bool, out: &mut Samples) {
    out.one(&COUNTED_TOPICS, image.topics.len() as f64);
    let (mut leading, mut following, mut idle, mut offline) = (0usize, 0usize, 0usize, 0usize);
    let mut shown = Vec::new();
    let mut names: Vec<_> = image.topics.values().collect();
    names.sort_by(|a, b| a.name.cmp(&b.name));
    for topic in names {
        for handle in directory.partitions(topic.id) {
            let view = handle.view();
            match view.role {
                Role::Leader => leading += 1,
                Role::Follower { .. } => following += 1,
                Role::Idle => idle += 1,
                Role::Offline(_) => offline += 1,
                // The partition is on its way out of the directory.
                Role::Deleted => {}
            }
            if each && shown.len() < PARTITIONS_SHOWN && view.role == Role::Leader {
                shown.push((topic.name.as_str(), handle.id.partition.to_string(), view));
            }
        }
    }
    let mut states = out.family(&PARTITIONS_BY_STATE);
    states.add(&[("state", "leader")], leading as f64);
    states.add(&[("state", "follower")], following as f64);
    states.add(&[("state", "idle")], idle as f64);
    states.add(&[("state", "offline")], offline as f64);
    out.one(&TAIL_BYTES, tails.used() as f64);
    out.one(&TAIL_MAX, tails.capacity() as f64);
    if !each {
        return;
    }
    out.one(&NOT_SHOWN, (leading - shown.len()) as f64);
    let mut offsets = |family: &Family, of: fn(&callboard_core::partition::View) -> i64| {
        let mut series = out.family(family);
        for (topic, partition, view) in &shown {
            series.add(&[("topic", topic), ("partition", partition)], of(view) as f64);
        }
    };
    offsets(&LOG_STARTS, |view| view.log_start);
    offsets(&LOG_ENDS, |view| view.end);
    offsets(&HIGH_WATERMARKS, |view| view.high_watermark);
}

pub(crate) fn appended(bytes: usize) {
    counter!(BATCHES).increment(1);
    counter!(BYTES).increment(bytes as u64);
}

pub(crate) fn replicated(bytes: usize) {
    counter!(REPLICATED_BATCHES).increment(1);
    counter!(REPLICATED_BYTES).increment(bytes as u64);
}

pub(crate) fn leader_event(event: Event) {
    let event = match event {
        Event::Duplicate => "duplicate",
        Event::Refused => "refused",
        Event::TimedOut => "timed_out",
        Event::CutOff => "cut_off",
        Event::Expired => "expired",
        Event::Truncated => "truncated",
        Event::IsrShrinks => "isr_shrinks",
        Event::IsrGrows => "isr_grows",
    };
    counter!(EVENTS, "event" => event).increment(1);
}

/// Notes that committed records are missing of a replica, or would have to be cut (I11, R41).
pub(crate) fn alarmed() {
    counter!(EVENTS, "event" => "alarm").increment(1);
}

/// Notes that this node is cut off from the controller.
pub(crate) fn cut_off() {
    counter!(CUT_OFFS).increment(1);
}

pub(crate) fn waits() {
    counter!(WAITS).increment(1);
}

pub(crate) fn dropped(records: usize) {
    counter!(DROPPED).increment(records as u64);
}

/// Notes that a damaged replica begins anew.
pub(crate) fn mended() {
    counter!(MENDED).increment(1);
}

pub(crate) fn elected_uncleanly(partitions: usize) {
    counter!(UNCLEAN).increment(partitions as u64);
}

/// Writes how many partitions have no leader, on the node of the controller.
pub fn sample_leaderless(image: &Image, controls: bool, out: &mut Samples) {
    let partitions = image.topics.values().flat_map(|topic| &topic.partitions);
    let leaderless = partitions.filter(|p| p.leader < 0).count();
    out.one(&WITHOUT_LEADER, if controls { leaderless as f64 } else { 0.0 });
}

pub(crate) fn restarted(actor: &'static str) {
    counter!(RESTARTS, "actor" => actor).increment(1);
}
