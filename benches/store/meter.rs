//! The measures of a lap: the store's own metrics, caught where an exporter would stand, CPU time by thread, percentiles.
//! Nothing here touches the store.

use callboard::storage::metrics::{GROUP_ENTRIES, SETTLE_SECONDS, SYNC_SECONDS};
use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The recorder of this process.
#[derive(Clone, Default)]
pub struct Meter {
    written: Arc<Written>,
    settles: Arc<Settles>,
    syncs: Arc<Syncs>,
}

/// Counters at one moment.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub groups: u64,
    pub entries: u64,
    pub settles: u64,
}

#[derive(Default)]
struct Syncs(Mutex<(Option<Instant>, SyncTimes)>);

/// Seconds of each sync of the journal, and from the end of one to the end of the next. A writer that always finds work
/// makes one group in each such interval, so that is a group's time.
#[derive(Default)]
pub struct SyncTimes {
    pub sync: Vec<f64>,
    pub group: Vec<f64>,
}

impl HistogramFn for Syncs {
    fn record(&self, seconds: f64) {
        let now = Instant::now();
        let (last, times) = &mut *self.0.lock();
        times.sync.push(seconds);
        if let Some(last) = last.replace(now) {
            times.group.push((now - last).as_secs_f64());
        }
    }
}

/// Groups and their entries. The journal thread counts them between a group's write and its sync.
#[derive(Default)]
struct Written {
    groups: AtomicU64,
    entries: Mutex<u64>,
    more: Condvar,
}

impl HistogramFn for Written {
    fn record(&self, entries: f64) {
        self.groups.fetch_add(1, Ordering::Relaxed);
        *self.entries.lock() += entries as u64;
        self.more.notify_one();
    }
}

/// Settle windows finished.
#[derive(Default)]
struct Settles(AtomicU64);

impl HistogramFn for Settles {
    fn record(&self, _seconds: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Meter {
    /// Installs the recorder, once a process.
    pub fn install() -> anyhow::Result<Meter> {
        let meter = Meter::default();
        metrics::set_global_recorder(meter.clone())
            .map_err(|_| anyhow::anyhow!("a recorder is installed already"))?;
        Ok(meter)
    }

    /// The counters now.
    pub fn counts(&self) -> Counts {
        Counts {
            groups: self.written.groups.load(Ordering::Relaxed),
            entries: *self.written.entries.lock(),
            settles: self.settles.0.load(Ordering::Relaxed),
        }
    }

    /// Waits until so many entries are written. False if that takes a second, so that the caller can look for a failure.
    pub fn wait_written(&self, entries: u64) -> bool {
        let until = Instant::now() + Duration::from_secs(1);
        let mut count = self.written.entries.lock();
        while *count < entries {
            if self.written.more.wait_until(&mut count, until).timed_out() {
                return *count >= entries;
            }
        }
        true
    }

    /// Sync times since the last call.
    pub fn take_syncs(&self) -> SyncTimes {
        let (last, times) = &mut *self.syncs.0.lock();
        *last = None;
        std::mem::take(times)
    }
}

impl Recorder for Meter {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match key.name() {
            SYNC_SECONDS => Histogram::from_arc(Arc::clone(&self.syncs)),
            GROUP_ENTRIES => Histogram::from_arc(Arc::clone(&self.written)),
            SETTLE_SECONDS => Histogram::from_arc(Arc::clone(&self.settles)),
            _ => Histogram::noop(),
        }
    }
}

/// CPU seconds, user and kernel, of each thread of this process by name. `getrusage` knows only the sum, which would
/// count the load's own thread as the store's.
pub fn cpu_by_thread() -> BTreeMap<String, f64> {
    let mut out = BTreeMap::new();
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return out };
    for task in tasks.flatten() {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let nanos: f64 =
            read("schedstat").split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
        *out.entry(read("comm").trim().to_owned()).or_default() += nanos / 1e9;
    }
    out
}

/// The value below which this share of the values lies; 0 if there are none.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

/// The middle value, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |n: usize| sorted.get(n).copied().unwrap_or(0.0);
    (at(sorted.len().saturating_sub(1) / 2) + at(sorted.len() / 2)) / 2.0
}
