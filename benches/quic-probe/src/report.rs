//! The words of a server process about itself: processor time, threads, frames, QUIC's own counters.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use quinn::Connection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of frames and what is in them.
#[derive(Default)]
pub struct Counters {
    frames: AtomicU64,
    parts: AtomicU64,
    batches: AtomicU64,
    ack_frames: AtomicU64,
    acks: AtomicU64,
}

impl Counters {
    /// A frame of data, unless it has no batch.
    pub fn sent(&self, parts: usize, batches: usize) {
        if batches > 0 {
            self.frames.fetch_add(1, Ordering::Relaxed);
            self.parts.fetch_add(parts as u64, Ordering::Relaxed);
            self.batches.fetch_add(batches as u64, Ordering::Relaxed);
        }
    }

    /// A frame of acks.
    pub fn acked(&self, acks: usize) {
        self.ack_frames.fetch_add(1, Ordering::Relaxed);
        self.acks.fetch_add(acks as u64, Ordering::Relaxed);
    }
}

/// The sums since the process began.
#[derive(Serialize, Deserialize, Clone, Default, Debug)]
pub struct Report {
    /// CPU seconds in user space, and in the kernel.
    pub user: f64,
    pub system: f64,
    /// CPU seconds by thread name.
    pub threads: BTreeMap<String, f64>,
    pub faults: i64,
    /// Times that a thread went to sleep.
    pub sleeps: i64,
    pub frames: u64,
    pub parts: u64,
    pub batches: u64,
    pub ack_frames: u64,
    pub acks: u64,
    /// Smallest of the connections.
    pub mtu: u16,
    /// UDP datagrams out and in, calls that sent them, packets lost.
    pub datagrams: [u64; 2],
    pub calls: u64,
    pub lost: u64,
}

impl Report {
    /// The sums now.
    pub fn of(counters: &Counters, connections: &[Connection]) -> anyhow::Result<Report> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut report = Report {
            user: usage.user_time().num_microseconds() as f64 / 1e6,
            system: usage.system_time().num_microseconds() as f64 / 1e6,
            threads: cpu_by_thread(),
            faults: usage.minor_page_faults(),
            sleeps: usage.voluntary_context_switches(),
            frames: count(&counters.frames),
            parts: count(&counters.parts),
            batches: count(&counters.batches),
            ack_frames: count(&counters.ack_frames),
            acks: count(&counters.acks),
            mtu: u16::MAX,
            ..Report::default()
        };
        for connection in connections {
            let stats = connection.stats();
            report.mtu = report.mtu.min(stats.path.current_mtu);
            report.lost += stats.path.lost_packets;
            report.datagrams[0] += stats.udp_tx.datagrams;
            report.datagrams[1] += stats.udp_rx.datagrams;
            report.calls += stats.udp_tx.ios;
        }
        Ok(report)
    }

    /// All CPU seconds.
    pub fn cpu(&self) -> f64 {
        self.user + self.system
    }

    /// The difference to an earlier report.
    pub fn since(&self, before: &Report) -> Report {
        let less = |of: fn(&Report) -> u64| of(self) - of(before);
        let earlier = |name: &String| before.threads.get(name).copied().unwrap_or(0.0);
        Report {
            user: self.user - before.user,
            system: self.system - before.system,
            threads: self.threads.iter().map(|(k, v)| (k.clone(), v - earlier(k))).collect(),
            faults: self.faults - before.faults,
            sleeps: self.sleeps - before.sleeps,
            frames: less(|r| r.frames),
            parts: less(|r| r.parts),
            batches: less(|r| r.batches),
            ack_frames: less(|r| r.ack_frames),
            acks: less(|r| r.acks),
            mtu: self.mtu,
            datagrams: [less(|r| r.datagrams[0]), less(|r| r.datagrams[1])],
            calls: less(|r| r.calls),
            lost: less(|r| r.lost),
        }
    }
}

fn cpu_by_thread() -> BTreeMap<String, f64> {
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

/// CPU seconds of the whole machine, busy with anything. The kernel counts in hundredths.
pub fn busy() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = first.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user, nice, system, idle, waiting, irq, softirq, stolen
    [0, 1, 2, 5, 6, 7].iter().filter_map(|n| ticks.get(*n)).sum::<f64>() / 100.0
}
