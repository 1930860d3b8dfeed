//! The process as the kernel sees it: processor time, memory and descriptors out of `/proc/self`. Values that a
//! system does not have are left out.

use super::metrics;
use callboard_actors::samples::Samples;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The start of the process, and readers of `/proc`.
pub struct Process {
    began: Instant,
    since: f64,
}

impl Process {
    /// Takes this moment as the start.
    pub fn new() -> Process {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Process { began: Instant::now(), since }
    }

    /// Adds the values of this moment.
    pub fn sample(&self, out: &mut Samples) {
        out.family(&metrics::BUILD).add(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        out.one(&metrics::STARTED, self.since);
        out.one(&metrics::RUNNING, self.began.elapsed().as_secs_f64());
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).ok();
        let tick = rustix::param::clock_ticks_per_second() as f64;
        let page = rustix::param::page_size() as f64;
        if let Some(stat) = read("stat").as_deref().and_then(Stat::of) {
            out.one(&metrics::CPU_SECONDS, stat.ticks as f64 / tick);
            out.one(&metrics::RESIDENT_BYTES, stat.resident_pages as f64 * page);
            out.one(&metrics::VIRTUAL_BYTES, stat.virtual_bytes as f64);
            out.one(&metrics::THREAD_COUNT, stat.threads as f64);
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            // This listing itself holds one of them.
            out.one(&metrics::FDS, open.count().saturating_sub(1) as f64);
        }
        if let Some(max) = read("limits").as_deref().and_then(max_files) {
            out.one(&metrics::FDS_MAX, max as f64);
        }
    }
}

/// The fields of `/proc/self/stat` that are sampled.
#[derive(Debug, PartialEq)]
struct Stat {
    ticks: u64,
    threads: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn of(text: &str) -> Option<Stat> {
        // The name in brackets may hold any byte; field 3 is the first behind it.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
        Some(Stat {
            ticks: field(14)? + field(15)?,
            threads: field(20)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// The soft limit of open files, if there is one.
fn max_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let stat = "77 (a) b) S 1 77 77 0 -1 4194560 1000 0 2 0 250 50 0 0 20 0 9 0 12345 1048576 321 18446744073709551615 1";
        let expected = Stat { ticks: 300, threads: 9, virtual_bytes: 1_048_576, resident_pages: 321 };
        assert_eq!(Stat::of(stat), Some(expected));
        assert_eq!(Stat::of("77 (short) S 1"), None);
        let limits = "Max processes             1    2   processes\nMax open files            1024                 4096     files\n";
        assert_eq!(max_files(limits), Some(1024));
        assert_eq!(max_files("Max open files            unlimited  unlimited files\n"), None);
    }
}
