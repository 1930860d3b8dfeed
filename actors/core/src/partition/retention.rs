//! When a leader asks the store what has expired: soon after its start and after a change of its configuration, then
//! once an interval (Kafka: `log.retention.check.interval.ms`), one question at a time.
//!
//! ```text
//!   begin ─> due ──(Tick)──> asked ──(Expired)──> due again an interval after it was asked
//!             └──<── configured ──┘  the answer to older rules does not count
//! ```
//!
//! What expires is decided in `storage::retention`; the log start is moved by the leader.

use super::config::ReplicaConfig;
use crate::storage::Retention;
use crate::time::{Millis, Now};

/// The first look comes no later than this after a start or a change (Kafka: `log.initial.task.delay.ms`).
const SOON_MS: u64 = 30_000;

/// The checks of one partition.
#[derive(Debug, Default)]
pub struct Checks {
    due: Option<Millis>,
    asked: bool,
    /// The configuration has changed since it was asked.
    outdated: bool,
}

impl Checks {
    /// Called with every step: the first one starts the clock.
    pub fn begin(&mut self, now: Millis, config: &ReplicaConfig) {
        if self.due.is_none() {
            self.soon(now, config);
        }
    }

    /// The configuration is a new one.
    pub fn configured(&mut self, now: Millis, config: &ReplicaConfig) {
        self.outdated = self.asked;
        self.due = None;
        self.soon(now, config);
    }

    fn soon(&mut self, now: Millis, config: &ReplicaConfig) {
        let bounded = config.delete && (config.retention_ms >= 0 || config.retention_bytes >= 0);
        self.due = bounded.then(|| now.plus(config.retention_check_ms.min(SOON_MS)));
    }

    /// When to look next; none while an answer is awaited.
    #[must_use]
    pub fn next(&self) -> Option<Millis> {
        self.due.filter(|_| !self.asked)
    }

    /// The rules to ask by, if it is time and there is something that could expire.
    pub fn due(&mut self, now: Now, config: &ReplicaConfig, some: bool) -> Option<Retention> {
        self.next().filter(|due| *due <= now.mono)?;
        self.due = Some(now.mono.plus(config.retention_check_ms));
        let rules = Retention::of(now.wall, config.retention_ms, config.retention_bytes).filter(|_| some)?;
        self.asked = true;
        Some(rules)
    }

    /// The answer is here. Whether it counts.
    pub fn answered(&mut self, now: Millis, config: &ReplicaConfig) -> bool {
        self.asked = false;
        let outdated = std::mem::take(&mut self.outdated);
        if outdated {
            self.soon(now, config);
        }
        !outdated
    }
}
