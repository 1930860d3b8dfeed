//! The figures of a run.

use super::{Blow, Settings, check::Orders, load::Book};
use crate::net::Status;

#[derive(Default)]
pub struct Figures {
    pub blows: Vec<Blow>,
    silences: Vec<u64>,
    late: u64,
}

impl Figures {
    /// Takes the silences that one process saw in its life.
    pub fn silences(&mut self, status: &Status) {
        self.silences.extend(&status.silences);
        self.late += status.late;
    }

    pub fn print(&self, settings: &Settings, book: &Book, orders: &Orders, (first, last): (u64, u64)) {
        let pages = book.pages();
        let of = |leader: bool| self.blows.iter().filter(move |blow| blow.leader == leader);
        let name = if settings.kills > 0 { "kills" } else { "stops" };
        println!("{name}: {} of the leader, {} of a follower", of(true).count(), of(false).count());
        println!(
            "entries applied {} (acknowledged {}, unknown {} of which {} found), refused {:?}",
            orders.entries,
            orders.acknowledged,
            pages.unknown.len(),
            orders.unknown_found,
            pages.refused
        );
        drop(pages);
        let gaps: Vec<u64> = of(true).filter_map(|blow| book.gap_after(blow)).collect();
        line("leader: blow to the next acknowledged write, ms", gaps, 1e3);
        let pauses = of(false).map(|blow| longest_pause(book, blow.at, blow.at + 3_000_000)).collect();
        line("follower: longest pause of writes in the 3 s behind, ms", pauses, 1e3);
        line("quiet times: longest pause of each second, ms", self.quiet_pauses(book, first, last), 1e3);
        line("back: blow to caught up, ms", self.blows.iter().map(|b| b.over - b.at).collect(), 1e3);
        line(
            "restart: spawn to the end of the replay, ms",
            self.blows.iter().map(|b| b.start_ms).collect(),
            1.0,
        );
        let latencies = book.pages().acks.iter().map(|ack| ack.acked - ack.sent).collect();
        line("write latency, ms", latencies, 1e3);
        let mut silences = self.silences.clone();
        silences.sort_unstable_by(|a, b| b.cmp(a));
        silences.truncate(8);
        println!("longest silences of a live leader, ms: {silences:?}; {} over 1.5 heartbeats", self.late);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!("load averages at the end: {}", load.trim());
    }

    /// The longest pause of each second that no blow touches.
    fn quiet_pauses(&self, book: &Book, first: u64, last: u64) -> Vec<u64> {
        const SECOND: u64 = 1_000_000;
        let touched = |from: u64| {
            self.blows
                .iter()
                .any(|blow| from + 2 * SECOND > blow.at && from < blow.over.max(blow.at + 3 * SECOND))
        };
        (first..last.saturating_sub(SECOND))
            .step_by(SECOND as usize)
            .filter(|from| !touched(*from))
            .map(|from| longest_pause(book, from, from + SECOND))
            .collect()
    }
}

/// The longest time without an answer that begins within the window.
fn longest_pause(book: &Book, from: u64, to: u64) -> u64 {
    let pages = book.pages();
    let start = pages.acks.partition_point(|ack| ack.acked <= from);
    let mut before = from;
    let mut longest = 0;
    for ack in &pages.acks[start..] {
        longest = longest.max(ack.acked - before);
        before = ack.acked;
        if before > to {
            break;
        }
    }
    longest
}

fn line(what: &str, mut values: Vec<u64>, unit: f64) {
    if values.is_empty() {
        return;
    }
    values.sort_unstable();
    let at = |p: f64| {
        let rank = (p * values.len() as f64).ceil() as usize;
        values[rank.clamp(1, values.len()) - 1] as f64 / unit
    };
    println!(
        "{what}: n {} p50 {:.0} p90 {:.0} p99 {:.0} max {:.0}",
        values.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}
