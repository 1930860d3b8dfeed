//! The clock, as a port: actors hand its time to their machines.
//!
//! A machine reads no clock itself, so tests can set the time. The real clock stands here as well.

use callboard_core::{Millis, Now, UnixMillis};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time to actors and shells.
pub trait Clock: Send + Sync + 'static {
    /// The monotonic and the wall time at this moment.
    fn now(&self) -> Now;
}

/// The operating system's clocks. Monotonic time counts from the creation of this value.
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
