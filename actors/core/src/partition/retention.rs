//! The timer of retention: when a leader asks the store which records have expired.
//!
//! A leader asks soon after its start and after a change of its configuration, then once an interval (Kafka:
//! `log.retention.check.interval.ms`). One question is under way at a time.
//!
//! ```text
//!   begin ─> due ──(Tick)──> asked ──(Expired)──> due again an interval after it was asked
//!             └──<── configured ──┘  the answer to older rules does not count
//! ```
//!
//! `storage::retention` decides which records expire, and the replica moves the log start. This file only keeps the
//! time.

use super::config::ReplicaConfig;
use crate::storage::Retention;
use crate::time::{Millis, Now};

/// Milliseconds to the first look after a start or a change, at most (Kafka: `log.initial.task.delay.ms`).
const SOON_MS: u64 = 30_000;

/// The timer of one partition.
#[derive(Debug, Default)]
pub struct Checks {
    due: Option<Millis>,
    asked: bool,
    /// The configuration has changed since the store was asked.
    outdated: bool,
}

impl Checks {
    /// Starts the clock, the first time that it is called.
    pub fn begin(&mut self, now: Millis, config: &ReplicaConfig) {
        if self.due.is_none() {
            self.soon(now, config);
        }
    }

    /// Takes a new configuration: the next look comes soon, and an answer under way no longer counts.
    pub fn configured(&mut self, now: Millis, config: &ReplicaConfig) {
        self.outdated = self.asked;
        self.due = None;
        self.soon(now, config);
    }

    fn soon(&mut self, now: Millis, config: &ReplicaConfig) {
        let bounded = config.delete && (config.retention_ms >= 0 || config.retention_bytes >= 0);
        self.due = bounded.then(|| now.plus(config.retention_check_ms.min(SOON_MS)));
    }

    /// The moment of the next look; none while an answer is awaited.
    #[must_use]
    pub fn next(&self) -> Option<Millis> {
        self.due.filter(|_| !self.asked)
    }

    /// The rules to ask by, if a look is due. `some` says whether the log holds any record that could expire.
    pub fn due(&mut self, now: Now, config: &ReplicaConfig, some: bool) -> Option<Retention> {
        self.next().filter(|due| *due <= now.mono)?;
        self.due = Some(now.mono.plus(config.retention_check_ms));
        let rules = Retention::of(now.wall, config.retention_ms, config.retention_bytes).filter(|_| some)?;
        self.asked = true;
        Some(rules)
    }

    /// Takes note of the store's answer, and says whether it counts.
    pub fn answered(&mut self, now: Millis, config: &ReplicaConfig) -> bool {
        self.asked = false;
        let outdated = std::mem::take(&mut self.outdated);
        if outdated {
            self.soon(now, config);
        }
        !outdated
    }
}
