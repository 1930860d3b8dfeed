//! What the store counts and times. Names, units, help and labels in one place.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::time::Duration;

/// Histogram, seconds, label `shard`: one `fdatasync` of the journal.
pub const SYNC_SECONDS: &str = "callboard_journal_sync_seconds";
/// Counter, label `shard`: groups written.
pub const GROUPS: &str = "callboard_journal_groups_total";
/// Counter, label `shard`: entries written.
pub const ENTRIES: &str = "callboard_journal_entries_total";
/// Counter, bytes, label `shard`: payload written.
pub const BYTES: &str = "callboard_journal_bytes_total";
/// Gauge, bytes, label `shard`: journaled and not yet settled.
pub const UNSETTLED: &str = "callboard_journal_unsettled_bytes";
/// Counter, label `shard`: settle windows finished.
pub const SETTLES: &str = "callboard_settles_total";
/// Histogram, seconds, label `shard`: one settle window.
pub const SETTLE_SECONDS: &str = "callboard_settle_seconds";
/// Counter, label `shard`: reads refused because too many waited.
pub const READS_REFUSED: &str = "callboard_reads_refused_total";

/// Tells the exporter what the names mean.
pub fn describe() {
    describe_histogram!(SYNC_SECONDS, Unit::Seconds, "one fdatasync of the journal");
    describe_counter!(GROUPS, Unit::Count, "journal groups written: one write and one sync each");
    describe_counter!(ENTRIES, Unit::Count, "journal entries written");
    describe_counter!(BYTES, Unit::Bytes, "payload bytes written to the journal");
    describe_gauge!(UNSETTLED, Unit::Bytes, "journaled and not yet settled into redb");
    describe_counter!(SETTLES, Unit::Count, "settle windows finished");
    describe_histogram!(SETTLE_SECONDS, Unit::Seconds, "one settle window");
    describe_counter!(READS_REFUSED, Unit::Count, "reads refused because too many waited");
}

pub(super) fn sync(shard: u16, took: Duration) {
    histogram!(SYNC_SECONDS, "shard" => shard.to_string()).record(took.as_secs_f64());
}

pub(super) fn group(shard: u16, entries: usize, bytes: usize) {
    let shard = shard.to_string();
    counter!(GROUPS, "shard" => shard.clone()).increment(1);
    counter!(ENTRIES, "shard" => shard.clone()).increment(entries as u64);
    counter!(BYTES, "shard" => shard).increment(bytes as u64);
}

pub(super) fn settled(shard: u16, took: Duration, unsettled: u64) {
    let shard = shard.to_string();
    counter!(SETTLES, "shard" => shard.clone()).increment(1);
    histogram!(SETTLE_SECONDS, "shard" => shard.clone()).record(took.as_secs_f64());
    gauge!(UNSETTLED, "shard" => shard).set(unsettled as f64);
}

pub(super) fn read_refused(shard: u16) {
    counter!(READS_REFUSED, "shard" => shard.to_string()).increment(1);
}
