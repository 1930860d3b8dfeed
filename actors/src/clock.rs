//! The clock, as a port: actors hand its time to their machines, which never look themselves.

use callboard_core::{Millis, Now, UnixMillis};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            mono: Millis(self.started.elapsed().as_millis() as u64),
            wall: UnixMillis(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}
