//! This machine's own pulse: the longest time for which a thread that wants to run every few milliseconds did not.
//!
//! A pause of a node and a machine that gives nobody a turn look alike from outside. The pulse tells them apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const BEAT: Duration = Duration::from_millis(10);

/// A pulse that is felt until the value is dropped.
pub struct Pulse {
    end: Arc<AtomicBool>,
    longest: Arc<AtomicU64>,
}

impl Pulse {
    pub fn start() -> Pulse {
        let pulse = Pulse { end: Arc::default(), longest: Arc::default() };
        let (end, longest) = (Arc::clone(&pulse.end), Arc::clone(&pulse.longest));
        std::thread::spawn(move || {
            while !end.load(Ordering::SeqCst) {
                let begun = Instant::now();
                std::thread::sleep(BEAT);
                let late = begun.elapsed().saturating_sub(BEAT).as_millis();
                longest.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::SeqCst);
            }
        });
        pulse
    }

    /// The longest standstill so far.
    pub fn longest(&self) -> Duration {
        Duration::from_millis(self.longest.load(Ordering::SeqCst))
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
    }
}
