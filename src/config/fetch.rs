//! Settings of fetch sessions: how many clients may name their partitions once and then fetch by a session's id.

use super::error::{ConfigError, range};
use callboard_core::fetch_session::Limits;
use serde::Deserialize;

/// The bound of fetch sessions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Fetch {
    /// Fetch sessions at most (Kafka: `max.incremental.fetch.session.cache.slots`).
    pub max_incremental_fetch_session_cache_slots: usize,
}

impl Default for Fetch {
    fn default() -> Fetch {
        Fetch { max_incremental_fetch_session_cache_slots: Limits::default().slots }
    }
}

impl Fetch {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let slots = self.max_incremental_fetch_session_cache_slots;
        range("max_incremental_fetch_session_cache_slots", slots, 0, 100_000)
    }

    /// The bounds that the cache of sessions keeps.
    #[must_use]
    pub fn sessions(&self) -> Limits {
        Limits { slots: self.max_incremental_fetch_session_cache_slots, ..Default::default() }
    }

    /// These settings under Kafka's names.
    pub(super) fn statics(&self) -> Vec<(&'static str, String)> {
        let slots = self.max_incremental_fetch_session_cache_slots.to_string();
        vec![("max.incremental.fetch.session.cache.slots", slots)]
    }
}
