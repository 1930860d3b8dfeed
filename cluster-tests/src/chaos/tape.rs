//! The times of all acknowledgements by track, and the longest gap within a span of time.
//!
//! A track is a partition of the topic, or the commits of the group. A gap lies between two neighbours; the neighbours just
//! outside a span count too, because the outage begins with the last acknowledgement before the kill.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Times of acknowledgements by track.
pub struct Tape(Mutex<Vec<Vec<Instant>>>);

impl Tape {
    /// A tape with so many empty tracks.
    #[must_use]
    pub fn new(tracks: usize) -> Tape {
        Tape(Mutex::new(vec![Vec::new(); tracks]))
    }

    /// Notes an acknowledgement that has just come.
    pub fn note(&self, track: usize) {
        let mut tracks = self.0.lock();
        if let Some(track) = tracks.get_mut(track) {
            track.push(Instant::now());
        }
    }

    /// Whether the track has an acknowledgement after this time.
    #[must_use]
    pub fn since(&self, track: usize, time: Instant) -> bool {
        self.0.lock().get(track).and_then(|track| track.last()).is_some_and(|last| *last > time)
    }

    /// The longest gap of a track that touches the span. Without a neighbour the span's own end stands in.
    #[must_use]
    pub fn gap(&self, track: usize, from: Instant, to: Instant) -> Duration {
        let tracks = self.0.lock();
        tracks.get(track).map_or(Duration::ZERO, |times| gap(times, from, to))
    }
}

fn gap(times: &[Instant], from: Instant, to: Instant) -> Duration {
    let first = times.partition_point(|time| *time <= from);
    let last = times.partition_point(|time| *time < to);
    let mut before = first.checked_sub(1).and_then(|at| times.get(at)).copied().unwrap_or(from);
    let mut longest = Duration::ZERO;
    for time in times.get(first..=last.min(times.len().saturating_sub(1))).unwrap_or_default() {
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
        let times = [at(100), at(200), at(900), at(1_000), at(3_000)];
        let gap_ms = |from, to| gap(&times, at(from), at(to)).as_millis();
        assert_eq!(gap_ms(0, 150), 100);
        assert_eq!(gap_ms(300, 400), 700);
        assert_eq!(gap_ms(150, 950), 700);
        assert_eq!(gap_ms(950, 1_100), 2_000);
        assert_eq!(gap_ms(3_100, 3_700), 700);
        assert_eq!(gap(&[], at(0), at(40)).as_millis(), 40);
    }
}
