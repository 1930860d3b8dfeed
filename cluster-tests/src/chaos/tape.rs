//! The times of all acknowledgements by track, and the longest gap within a span of time.
//!
//! A track is a partition of the topic, or the commits of the group. A gap lies between two neighbours; the neighbours just
//! outside a span count too, because the outage begins with the last acknowledgement before the kill.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Times of acknowledgements by track, and how long each had been waited for.
pub struct Tape(Mutex<Vec<Vec<(Instant, Duration)>>>);

impl Tape {
    /// A tape with so many empty tracks.
    #[must_use]
    pub fn new(tracks: usize) -> Tape {
        Tape(Mutex::new(vec![Vec::new(); tracks]))
    }

    /// Notes an acknowledgement that has just come, of what was sent first at `sent`.
    pub fn note(&self, track: usize, sent: Instant) {
        let mut tracks = self.0.lock();
        if let Some(track) = tracks.get_mut(track) {
            track.push((Instant::now(), sent.elapsed()));
        }
    }

    /// Whether the track has an acknowledgement after this time.
    #[must_use]
    pub fn since(&self, track: usize, time: Instant) -> bool {
        self.0.lock().get(track).and_then(|track| track.last()).is_some_and(|(last, _)| *last > time)
    }

    /// The longest gap of a track that touches the span. Without a neighbour the span's own end stands in.
    #[must_use]
    pub fn gap(&self, track: usize, from: Instant, to: Instant) -> Duration {
        let tracks = self.0.lock();
        tracks.get(track).map_or(Duration::ZERO, |times| gap(times, from, to))
    }

    /// The highest wait but one in a hundred of these tracks within the span.
    #[must_use]
    pub fn p99(&self, of: impl Iterator<Item = usize>, from: Instant, to: Instant) -> Option<Duration> {
        let tracks = self.0.lock();
        let records = of.filter_map(|track| tracks.get(track)).flatten();
        let mut waits: Vec<Duration> =
            records.filter(|(time, _)| (from..to).contains(time)).map(|(_, wait)| *wait).collect();
        waits.sort_unstable();
        waits.get((waits.len() * 99).div_ceil(100).checked_sub(1)?).copied()
    }
}

fn gap(times: &[(Instant, Duration)], from: Instant, to: Instant) -> Duration {
    let first = times.partition_point(|(time, _)| *time <= from);
    let last = times.partition_point(|(time, _)| *time < to);
    let mut before = first.checked_sub(1).and_then(|at| times.get(at)).map_or(from, |(time, _)| *time);
    let mut longest = Duration::ZERO;
    for (time, _) in times.get(first..=last.min(times.len().saturating_sub(1))).unwrap_or_default() {
        longest = longest.max(time.saturating_duration_since(before));
        before = *time;
    }
    longest.max(to.saturating_duration_since(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_reaches_over_both_ends_of_its_span() {
        let zero = Instant::now();
        let at = |ms: u64| zero + Duration::from_millis(ms);
        let times = [at(100), at(200), at(900), at(1_000), at(3_000)].map(|time| (time, Duration::ZERO));
        let gap_ms = |from, to| gap(&times, at(from), at(to)).as_millis();
        assert_eq!(gap_ms(0, 150), 100);
        assert_eq!(gap_ms(300, 400), 700);
        assert_eq!(gap_ms(150, 950), 700);
        assert_eq!(gap_ms(950, 1_100), 2_000);
        assert_eq!(gap_ms(3_100, 3_700), 700);
        assert_eq!(gap(&[], at(0), at(40)).as_millis(), 40);
    }
}
