//! Bounded log lines: clients cause them, so a flood of errors must not become a flood of lines.
//!
//! A number of lines goes out at once, and a number each second from then on. The next line says how many were left
//! out.

use parking_lot::Mutex;
use std::time::Instant;

/// A stream of log lines with a bound.
pub struct Lines {
    a_second: f64,
    at_once: f64,
    state: Mutex<State>,
}

struct State {
    since: Instant,
    free: f64,
    left_out: u64,
}

impl Lines {
    /// Allows so many lines at once, and so many each second from then on.
    #[must_use]
    pub fn new(at_once: u32, a_second: u32) -> Lines {
        let at_once = f64::from(at_once);
        let state = State { since: Instant::now(), free: at_once, left_out: 0 };
        Lines { a_second: f64::from(a_second), at_once, state: state.into() }
    }

    /// Takes a line if there is room, and tells how many were left out before it.
    pub fn one(&self) -> Option<u64> {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        let passed = now.saturating_duration_since(state.since).as_secs_f64();
        state.since = now;
        state.free = (state.free + passed * self.a_second).min(self.at_once);
        if state.free < 1.0 {
            state.left_out += 1;
            return None;
        }
        state.free -= 1.0;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lines_beyond_the_bound_are_counted_and_said_with_the_next() {
        let lines = Lines::new(3, 2);
        let now = Instant::now();
        let said: Vec<_> = (0..10).map(|_| lines.at(now)).collect();
        assert_eq!(said[..3], [Some(0); 3]);
        assert!(said[3..].iter().all(Option::is_none));
        let later = now + Duration::from_millis(600);
        assert_eq!((lines.at(later), lines.at(later)), (Some(7), None));
        let much_later = later + Duration::from_secs(3600);
        assert_eq!((0..10).filter_map(|_| lines.at(much_later)).collect::<Vec<_>>(), [1, 0, 0]);
    }
}
