//! Clocks: one true time, and what each node takes it for.
//!
//! A monotonic clock runs up to 5 % fast or slow, and begins anew with each process. A wall clock may be a day ahead or
//! behind, and may step.

use callboard_core::{Millis, Now, UnixMillis};

use crate::sim::options::{MS, Time};

/// A moment that every wall clock is compared with: Unix milliseconds.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// The clocks of one node.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Parts per million by which it is fast.
    rate: i64,
    /// Milliseconds by which the wall clock is ahead.
    pub wall: i64,
    /// When the process began.
    began: Time,
    /// True time that was skipped since then.
    skipped: Time,
}

impl Clock {
    /// A clock with this rate and wall.
    #[must_use]
    pub fn new(rate: i64, wall: i64) -> Clock {
        Clock { rate, wall, began: 0, skipped: 0 }
    }

    /// Begins the monotonic time of a new process.
    pub fn begin(&mut self, now: Time) {
        (self.began, self.skipped) = (now, 0);
    }

    /// Skips some time, in which nothing happens anywhere.
    pub fn skip(&mut self, time: Time) {
        self.skipped += time;
        self.wall += (time / MS) as i64;
    }

    /// The node's reading at this time.
    #[must_use]
    pub fn read(&self, now: Time) -> Now {
        let since = (now.saturating_sub(self.began) + self.skipped) as i64;
        let mono =
            (since + since / 1_000_000 * self.rate + since % 1_000_000 * self.rate / 1_000_000) / MS as i64;
        Now { mono: Millis(mono as u64), wall: UnixMillis(EPOCH_MS + (now / MS) as i64 + self.wall) }
    }

    /// The true time at which the node's clock shows this moment.
    #[must_use]
    pub fn when(&self, moment: Millis) -> Time {
        let micros = u128::from(moment.0) * u128::from(MS);
        let at = micros * 1_000_000 / (1_000_000 + self.rate) as u128;
        // Rounded up, so that a timer never fires before its moment.
        let at = u64::try_from(at).unwrap_or(u64::MAX / 2).saturating_add(2);
        self.began.saturating_add(at).saturating_sub(self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_time_has_passed() {
        let mut clock = Clock::new(50_000, 0);
        clock.begin(1_000_000);
        let before = clock.read(3_000_000);
        clock.skip(600_000_000);
        let after = clock.read(3_000_000);
        assert_eq!(after.mono.0 - before.mono.0, 630_000, "the clock is fast");
        assert_eq!(after.wall.0 - before.wall.0, 600_000);
        assert!(clock.read(clock.when(Millis(700_000))).mono.0.abs_diff(700_000) <= 1);
    }

    #[test]
    fn a_timer_fires_at_its_moment_or_just_after() {
        for rate in [-50_000, -1, 0, 7, 50_000] {
            let mut clock = Clock::new(rate, 0);
            clock.begin(12_345_678);
            for moment in [0, 1, 499, 500, 3_000, 123_456, 9_999_999] {
                let shown = clock.read(clock.when(Millis(moment))).mono.0;
                assert!((moment..=moment + 1).contains(&shown), "rate {rate}: {moment} shows as {shown}");
            }
        }
    }
}
