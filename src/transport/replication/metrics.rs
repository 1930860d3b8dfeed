//! What replication counts: names, units, help and labels.
//!
//! Counters are recorded as frames pass. Gauges are read when a scrape asks.

use callboard_actors::permit::Pool;
use callboard_actors::samples::{Family, Samples};
use metrics::{Unit, counter, describe_counter};

/// Counter: frames on data connections. Label `way` = sent | received.
pub const FRAMES: &str = "callboard_replication_frames_total";
/// Counter: items of these frames (parts, positions, acknowledgements, answers). Label `way` = sent | received.
pub const ITEMS: &str = "callboard_replication_items_total";
/// Counter, bytes: these frames whole. Label `way` = sent | received.
pub const BYTES: &str = "callboard_replication_bytes_total";
/// Counter: data connections that ended because of what they carried. Label `why` = frame | word | batch | kind.
pub const REFUSED: &str = "callboard_replication_refused_total";
/// Counter: data connections that ended because no byte moved.
pub const STALLED: &str = "callboard_replication_stalled_total";
/// Counter: data connections that were refused or closed for a later one of the same shard.
pub const SUPERSEDED: &str = "callboard_replication_superseded_total";

/// Gauge: data connections. Label `role` = follower | leader.
pub const SUBSCRIPTIONS: &str = "callboard_replication_subscriptions";
/// Gauge, bytes, label `shard`: frames of leaders that are not written yet.
pub const POOL: &str = "callboard_replication_pool_bytes";
/// Gauge, bytes, label `shard`: bound of these frames.
pub const POOL_CAPACITY: &str = "callboard_replication_pool_capacity_bytes";

const CONNECTED: Family =
    Family::gauge(SUBSCRIPTIONS, "data connections that are up, by the side of this node");
const POOL_USED: Family = Family::gauge(POOL, "bytes of leaders' frames that are not written yet");
const POOL_MAX: Family = Family::gauge(POOL_CAPACITY, "bytes that leaders' frames may take");

/// Registers the help and the units of the counters with the exporter.
pub fn describe() {
    describe_counter!(FRAMES, Unit::Count, "frames of replication");
    describe_counter!(ITEMS, Unit::Count, "parts, positions, acknowledgements and answers in these frames");
    describe_counter!(BYTES, Unit::Bytes, "bytes of these frames");
    describe_counter!(REFUSED, Unit::Count, "data connections that ended because of what they carried");
    describe_counter!(STALLED, Unit::Count, "data connections that ended because no byte moved");
    describe_counter!(SUPERSEDED, Unit::Count, "data connections closed in favour of a later one");
}

/// Counts a frame that left.
pub fn sent(items: usize, bytes: usize) {
    frame("sent", items, bytes);
}

/// Counts a frame that came and was sound.
pub fn received(items: usize, bytes: usize) {
    frame("received", items, bytes);
}

fn frame(way: &'static str, items: usize, bytes: usize) {
    counter!(FRAMES, "way" => way).increment(1);
    counter!(ITEMS, "way" => way).increment(items as u64);
    counter!(BYTES, "way" => way).increment(bytes as u64);
}

/// Counts a connection that ended because of what it carried.
pub fn refused(why: &'static str) {
    counter!(REFUSED, "why" => why).increment(1);
}

/// Counts a connection on which no byte moved.
pub fn stalled() {
    counter!(STALLED).increment(1);
}

/// Counts a connection that gave way to a later one.
pub fn superseded() {
    counter!(SUPERSEDED).increment(1);
}

/// Writes the gauges of this moment.
pub fn sample(following: usize, leading: usize, pools: &[Pool], out: &mut Samples) {
    let mut connected = out.family(&CONNECTED);
    connected.add(&[("role", "follower")], following as f64);
    connected.add(&[("role", "leader")], leading as f64);
    for (family, of) in [(&POOL_USED, Pool::used as fn(&Pool) -> usize), (&POOL_MAX, Pool::capacity)] {
        let mut series = out.family(family);
        for (shard, pool) in pools.iter().enumerate() {
            series.add(&[("shard", &shard.to_string())], of(pool) as f64);
        }
    }
}
