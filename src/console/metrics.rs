//! What the process is and what its HTTP endpoints do. Names, units, help and labels in one place.

use callboard_actors::samples::Family;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use std::time::Duration;

/// Counter, labels `path` = /metrics | /live | /ready | other, `code`: requests answered over HTTP.
pub const REQUESTS: &str = "callboard_http_requests_total";
/// Counter: HTTP connections refused because too many were open.
pub const REFUSED: &str = "callboard_http_connections_refused_total";
/// Histogram, seconds: gathering the metrics for one scrape.
pub const SCRAPE_SECONDS: &str = "callboard_scrape_seconds";

/// Gauge, label `version`: always 1.
pub const BUILD_INFO: &str = "callboard_build_info";
/// Gauge, seconds since 1970: when the process started.
pub const START_TIME: &str = "callboard_process_start_time_seconds";
/// Gauge, seconds: time since the process started.
pub const UPTIME: &str = "callboard_process_uptime_seconds";
/// Counter, seconds: processor time, user and system.
pub const CPU: &str = "callboard_process_cpu_seconds_total";
/// Gauge, bytes: resident memory.
pub const RESIDENT: &str = "callboard_process_resident_memory_bytes";
/// Gauge, bytes: virtual memory.
pub const VIRTUAL: &str = "callboard_process_virtual_memory_bytes";
/// Gauge: threads of the process.
pub const THREADS: &str = "callboard_process_threads";
/// Gauge: open file descriptors.
pub const OPEN_FDS: &str = "callboard_process_open_fds";
/// Gauge: file descriptors at most; missing if there is no limit.
pub const MAX_FDS: &str = "callboard_process_max_fds";

pub(super) const BUILD: Family = Family::gauge(BUILD_INFO, "version of this build; always 1");
pub(super) const STARTED: Family = Family::gauge(START_TIME, "start of the process, since 1970");
pub(super) const RUNNING: Family = Family::gauge(UPTIME, "time since the process started");
pub(super) const CPU_SECONDS: Family = Family::counter(CPU, "processor time, user and system");
pub(super) const RESIDENT_BYTES: Family = Family::gauge(RESIDENT, "resident memory");
pub(super) const VIRTUAL_BYTES: Family = Family::gauge(VIRTUAL, "virtual memory");
pub(super) const THREAD_COUNT: Family = Family::gauge(THREADS, "threads of the process");
pub(super) const FDS: Family = Family::gauge(OPEN_FDS, "open file descriptors");
pub(super) const FDS_MAX: Family = Family::gauge(MAX_FDS, "file descriptors that may be open");

/// Tells the exporter what the names mean.
pub fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "requests answered over HTTP");
    describe_counter!(REFUSED, Unit::Count, "HTTP connections refused because too many were open");
    describe_histogram!(SCRAPE_SECONDS, Unit::Seconds, "time to gather the metrics for one scrape");
}

pub(super) fn answered(path: &'static str, code: u16) {
    counter!(REQUESTS, "path" => path, "code" => code.to_string()).increment(1);
}

pub(super) fn connection_refused() {
    counter!(REFUSED).increment(1);
}

pub(super) fn scraped(took: Duration) {
    histogram!(SCRAPE_SECONDS).record(took.as_secs_f64());
}
