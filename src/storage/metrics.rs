//! What the store counts and times: names, units, help and labels.
//!
//! The names stand here once. Counters and histograms are recorded through the functions below, when something happens.
//! Gauges have a table here, which `scrape.rs` fills in when somebody asks.

use crate::storage::sample::ShardSample;
use callboard_actors::samples::Family;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use std::time::Duration;

/// Histogram, seconds, label `shard`: one `fdatasync` of the journal.
pub const SYNC_SECONDS: &str = "callboard_journal_sync_seconds";
/// Histogram, seconds, label `shard`: how long the oldest entry of a group waited for it to begin.
pub const QUEUE_SECONDS: &str = "callboard_journal_queue_seconds";
/// Histogram, label `shard`: entries of one group. Its count: groups written.
pub const GROUP_ENTRIES: &str = "callboard_journal_group_entries";
/// Histogram, bytes, label `shard`: payload of one group. Its sum: payload written.
pub const GROUP_BYTES: &str = "callboard_journal_group_bytes";
/// Histogram, seconds, label `shard`: one settle window. Its count: windows finished.
pub const SETTLE_SECONDS: &str = "callboard_settle_seconds";
/// Counter, bytes, label `shard`: journal that was settled into redb.
pub const SETTLED_BYTES: &str = "callboard_settled_bytes_total";
/// Counter, label `shard`: transactions that settling committed.
pub const SETTLE_COMMITS: &str = "callboard_settle_commits_total";
/// Counter, label `shard`: reads refused because too many waited.
pub const READS_REFUSED: &str = "callboard_reads_refused_total";

/// Gauge, label `shard`: 1 while the shard works, 0 when it is lost or has stopped.
pub const UP: &str = "callboard_shard_up";
/// Gauge, bytes, label `shard`: journaled and not yet settled.
pub const UNSETTLED: &str = "callboard_journal_unsettled_bytes";
/// Gauge, bytes, label `shard`: where the gate closes.
pub const UNSETTLED_MAX: &str = "callboard_journal_unsettled_max_bytes";
/// Counter, seconds, label `shard`: how long producers were kept waiting by the gate, in all.
pub const GATE_CLOSED: &str = "callboard_journal_gate_closed_seconds_total";
/// Gauge, seconds, label `shard`: age of the sync that is running, 0 if none is.
pub const SYNC_AGE: &str = "callboard_journal_sync_running_seconds";
/// Gauge, bytes, label `shard`: the journal's files.
pub const JOURNAL_FILES: &str = "callboard_journal_file_bytes";
/// Gauge, label `shard`: runs of batches that are journaled and not yet settled.
pub const RUNS: &str = "callboard_journal_runs";
/// Gauge, bytes, label `shard`: settled records that stay in the journal.
pub const RESIDENT: &str = "callboard_journal_resident_bytes";
/// Gauge, bytes, label `shard`: size of the journal's files from which on the oldest such records move into redb.
pub const JOURNAL_MAX: &str = "callboard_journal_max_bytes";
/// Counter, bytes, label `shard`: records that moved from the journal into redb, so that their segment can go.
pub const EVACUATED: &str = "callboard_journal_evacuated_bytes_total";
/// Counter, bytes, label `shard`: records in the journal that the scrubber has read.
pub const SCRUBBED: &str = "callboard_scrub_bytes_total";
/// Counter, label `shard`: passes of the scrubber that came to the end.
pub const SCRUB_PASSES: &str = "callboard_scrub_passes_total";
/// Counter, label `shard`: stretches of records in the journal that did not prove themselves.
pub const ROTTEN: &str = "callboard_scrub_rotten_total";
/// Gauge, bytes, label `shard`: the redb file.
pub const DB_FILE: &str = "callboard_store_file_bytes";
/// Gauge, bytes, label `shard`: what redb has in its cache.
pub const DB_CACHE: &str = "callboard_store_cache_bytes";
/// Gauge, bytes, label `shard`: the bound of that.
pub const DB_CACHE_CAPACITY: &str = "callboard_store_cache_capacity_bytes";
/// Counter, label `shard`: pages that redb put out of its cache.
pub const DB_EVICTIONS: &str = "callboard_store_cache_evictions_total";
/// Counter, label `shard`: pages that redb found in its cache.
pub const DB_HITS: &str = "callboard_store_cache_hits_total";
/// Counter, label `shard`: pages that it had to read.
pub const DB_MISSES: &str = "callboard_store_cache_misses_total";
/// Gauge, bytes, label `shard`: free on its file system, with what it could use again.
pub const FREE: &str = "callboard_disk_free_bytes";
/// Gauge, label `shard`: 1 while produce is refused because the disk is full.
pub const FULL: &str = "callboard_disk_full";
/// Gauge, bytes, label `shard`: held back on the file system; 0 while it is in use or there is no room for it.
pub const RESERVE: &str = "callboard_disk_reserve_bytes";
/// Counter, label `shard`: how often the file system had no space for a segment or for redb.
pub const NO_SPACE: &str = "callboard_disk_no_space_total";
/// Gauge: reads that wait for a reader thread.
pub const READS_QUEUED: &str = "callboard_reads_queued";
/// Gauge: how many may.
pub const READS_QUEUE_CAPACITY: &str = "callboard_reads_queue_capacity";

pub(in crate::storage) const SHARD_UP: Family =
    Family::gauge(UP, "1 while the shard works, 0 when it is lost or has stopped");
/// A family, and its value for a shard.
pub(in crate::storage) type OfShard = (Family, fn(&ShardSample) -> f64);
pub(in crate::storage) const BY_SHARD: [OfShard; 18] = [
    (Family::gauge(UNSETTLED, "bytes journaled and not yet settled into redb"), |s| s.unsettled as f64),
    (Family::gauge(UNSETTLED_MAX, "unsettled bytes at which producers have to wait"), |s| s.max as f64),
    (Family::counter(GATE_CLOSED, "time that producers were kept waiting for settling"), |s| s.closed),
    (Family::gauge(SYNC_AGE, "age of the journal sync that is running"), |s| s.sync_age),
    (Family::gauge(JOURNAL_FILES, "size of the journal's files"), |s| s.journal as f64),
    (Family::gauge(RUNS, "runs of batches that are journaled and not yet settled"), |s| s.runs as f64),
    (Family::gauge(RESIDENT, "settled records that stay in the journal"), |s| s.resident as f64),
    (Family::gauge(JOURNAL_MAX, "size of the journal above which its oldest records move into redb"), |s| {
        s.journal_max as f64
    }),
    (Family::gauge(DB_FILE, "size of the redb file"), |s| s.db.file as f64),
    (Family::gauge(DB_CACHE, "bytes that redb has in its cache"), |s| s.db.cached as f64),
    (Family::gauge(DB_CACHE_CAPACITY, "the bound of redb's cache"), |s| s.db.cache as f64),
    (Family::counter(DB_HITS, "pages that redb found in its cache"), |s| s.db.hits as f64),
    (Family::counter(DB_MISSES, "pages that redb had to read"), |s| s.db.misses as f64),
    (Family::counter(DB_EVICTIONS, "pages that redb put out of its cache"), |s| s.db.evictions as f64),
    (Family::gauge(FREE, "free space of its disk, with journal segments that can be used again"), |s| {
        s.free as f64
    }),
    (Family::gauge(FULL, "1 while produce is refused because the disk is full"), |s| f64::from(s.refuses)),
    (Family::gauge(RESERVE, "space held back for work that frees space"), |s| s.reserve as f64),
    (Family::counter(NO_SPACE, "times that a segment or redb found no space"), |s| s.no_space as f64),
];
pub(in crate::storage) const QUEUED: Family =
    Family::gauge(READS_QUEUED, "reads that wait for a reader thread");
pub(in crate::storage) const QUEUE_MAX: Family =
    Family::gauge(READS_QUEUE_CAPACITY, "reads that may wait; more are refused");

/// Tells the exporter what the names mean.
pub fn describe() {
    describe_histogram!(SYNC_SECONDS, Unit::Seconds, "time of one fdatasync of the journal");
    describe_histogram!(QUEUE_SECONDS, Unit::Seconds, "how long the oldest entry of a journal group waited");
    describe_histogram!(GROUP_ENTRIES, Unit::Count, "entries of one journal group: one write, one sync");
    describe_histogram!(GROUP_BYTES, Unit::Bytes, "payload of one journal group");
    describe_histogram!(SETTLE_SECONDS, Unit::Seconds, "time of one settle window");
    describe_counter!(SETTLED_BYTES, Unit::Bytes, "journal bytes settled into redb");
    describe_counter!(SETTLE_COMMITS, Unit::Count, "transactions that settling committed");
    describe_counter!(EVACUATED, Unit::Bytes, "records that moved from the journal into redb");
    describe_counter!(SCRUBBED, Unit::Bytes, "records in the journal that the scrubber has read");
    describe_counter!(SCRUB_PASSES, Unit::Count, "passes of the scrubber that came to the end");
    describe_counter!(ROTTEN, Unit::Count, "stretches of records in the journal that have rotted");
    describe_counter!(READS_REFUSED, Unit::Count, "reads refused because too many waited");
}

pub(in crate::storage) fn sync(shard: u16, took: Duration) {
    histogram!(SYNC_SECONDS, "shard" => shard.to_string()).record(took.as_secs_f64());
}

pub(in crate::storage) fn queued(shard: u16, oldest: Duration) {
    histogram!(QUEUE_SECONDS, "shard" => shard.to_string()).record(oldest.as_secs_f64());
}

pub(in crate::storage) fn group(shard: u16, entries: usize, bytes: usize) {
    let shard = shard.to_string();
    histogram!(GROUP_ENTRIES, "shard" => shard.clone()).record(entries as f64);
    histogram!(GROUP_BYTES, "shard" => shard).record(bytes as f64);
}

pub(in crate::storage) fn committed(shard: u16) {
    counter!(SETTLE_COMMITS, "shard" => shard.to_string()).increment(1);
}

pub(in crate::storage) fn settled(shard: u16, took: Duration, bytes: u64) {
    let shard = shard.to_string();
    histogram!(SETTLE_SECONDS, "shard" => shard.clone()).record(took.as_secs_f64());
    counter!(SETTLED_BYTES, "shard" => shard).increment(bytes);
}

pub(in crate::storage) fn read_refused(shard: u16) {
    counter!(READS_REFUSED, "shard" => shard.to_string()).increment(1);
}

pub(in crate::storage) fn evacuated(shard: u16, bytes: u64) {
    counter!(EVACUATED, "shard" => shard.to_string()).increment(bytes);
}

pub(in crate::storage) fn scrubbed(shard: u16, bytes: u64, pass: bool) {
    let shard = shard.to_string();
    counter!(SCRUBBED, "shard" => shard.clone()).increment(bytes);
    counter!(SCRUB_PASSES, "shard" => shard).increment(u64::from(pass));
}

pub(in crate::storage) fn rotten(shard: u16) {
    counter!(ROTTEN, "shard" => shard.to_string()).increment(1);
}
