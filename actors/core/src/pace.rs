//! How fast a transfer moves over a socket. It hears from time to time how many bytes are done, and says when to
//! end.
//!
//! ```text
//!   at(now, done) ─> nothing moved for `idle`: ended, whoever waits
//!                 └> below 64 KiB/s for ten seconds, and others wait for the memory it holds: ended
//! ```
//!
//! Frames that come in and answers that go out have the same rule. Time in which the broker keeps a transfer
//! waiting does not count. A pace holds no socket and reads no clock.

use crate::limits::{LEAST_BYTES_A_SECOND, PATIENCE_MS};
use crate::time::Millis;

/// A pace is measured over this time at least.
const WINDOW_MS: u64 = 1_000;

/// Why a transfer is to be ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Nothing moved for too long.
    Idle,
    /// The transfer trickled while others waited.
    Slow,
}

/// The progress of one transfer.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The last moment at which it was fast enough, and the bytes done then.
    since: Millis,
    mark: u64,
    /// The last moment at which a byte moved, and the bytes done then.
    last: Millis,
    seen: u64,
    /// Whether it has been too slow since `since`.
    slow: bool,
}

impl Pace {
    /// Begins a transfer with so many bytes done.
    #[must_use]
    pub fn new(now: Millis, done: u64) -> Pace {
        Pace { since: now, mark: done, last: now, seen: done, slow: false }
    }

    /// Takes off time in which the broker kept it waiting.
    pub fn excuse(&mut self, ms: u64) {
        (self.since, self.last) = (self.since.plus(ms), self.last.plus(ms));
    }

    /// Notes the bytes done. It asks whether others wait only if the answer matters.
    pub fn at(
        &mut self,
        now: Millis,
        done: u64,
        idle_ms: u64,
        others_wait: impl FnOnce() -> bool,
    ) -> Option<Ended> {
        if done > self.seen {
            (self.seen, self.last) = (done, now);
        }
        if now.0.saturating_sub(self.last.0) >= idle_ms {
            return Some(Ended::Idle);
        }
        let window = now.0.saturating_sub(self.since.0);
        let moved = done.saturating_sub(self.mark);
        let fast = window >= WINDOW_MS && moved >= LEAST_BYTES_A_SECOND.saturating_mul(window) / 1000;
        if fast || window >= PATIENCE_MS {
            self.slow = !fast;
            (self.since, self.mark) = (now, done);
        }
        (self.slow && others_wait()).then_some(Ended::Slow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: u64 = 600_000;

    #[test]
    fn what_trickles_is_ended_once_others_wait() {
        let mut pace = Pace::new(Millis(1_000), 0);
        for second in 1..10 {
            assert_eq!(pace.at(Millis(1_000 + second * 1_000), second * 1_000, IDLE, || true), None);
        }
        assert_eq!(pace.at(Millis(11_000), 10_000, IDLE, || false), None, "nobody waits");
        assert_eq!(pace.at(Millis(11_001), 10_001, IDLE, || true), Some(Ended::Slow), "somebody does");
    }

    #[test]
    fn what_is_fast_enough_goes_on_and_one_that_was_slow_may_mend() {
        let mut pace = Pace::new(Millis(0), 0);
        let rate = LEAST_BYTES_A_SECOND;
        assert_eq!(pace.at(Millis(10_000), 10 * rate, IDLE, || true), None, "64 KiB/s");
        assert_eq!(pace.at(Millis(20_000), 20 * rate - 1, IDLE, || false), None);
        assert_eq!(pace.at(Millis(20_001), 20 * rate, IDLE, || true), Some(Ended::Slow));
        assert_eq!(pace.at(Millis(30_000), 40 * rate, IDLE, || true), None, "a whole window faster");
    }

    #[test]
    fn what_came_fast_at_first_excuses_no_more_than_its_own_time() {
        let mut pace = Pace::new(Millis(0), 0);
        let burst = 50 * LEAST_BYTES_A_SECOND;
        assert_eq!(pace.at(Millis(900), burst, IDLE, || true), None);
        for second in 1..11 {
            assert_eq!(pace.at(Millis(second * 1_000), burst, IDLE, || true), None);
        }
        assert_eq!(pace.at(Millis(11_000), burst, IDLE, || true), Some(Ended::Slow));
    }

    #[test]
    fn silence_ends_it_in_any_case_and_our_own_delays_do_not_count() {
        let mut pace = Pace::new(Millis(0), 5);
        assert_eq!(pace.at(Millis(IDLE - 1), 5, IDLE, || false), None);
        pace.excuse(1_000);
        assert_eq!(pace.at(Millis(IDLE), 5, IDLE, || false), None);
        assert_eq!(pace.at(Millis(IDLE + 1_000), 5, IDLE, || false), Some(Ended::Idle));
        let mut pace = Pace::new(Millis(0), 0);
        pace.excuse(9_999);
        assert_eq!(pace.at(Millis(19_000), 0, IDLE, || true), None, "its own ten seconds are not over");
        assert_eq!(pace.at(Millis(19_999), 0, IDLE, || true), Some(Ended::Slow));
    }
}
