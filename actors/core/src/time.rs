//! Time as machines see it: each step gets it as an argument, so a test can choose it.

/// Milliseconds on a monotonic clock: deadlines, sessions, lag.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Millis(pub u64);

impl Millis {
    /// This moment plus a duration in milliseconds; saturates.
    #[must_use]
    pub fn plus(self, ms: u64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }
}

/// Milliseconds since the Unix epoch, by the wall clock: record timestamps, retention.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct UnixMillis(pub i64);

/// The moment of a step, on both clocks.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Now {
    pub mono: Millis,
    pub wall: UnixMillis,
}
