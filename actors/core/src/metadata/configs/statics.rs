//! What the configuration file says of the broker configs: a layer that changes only with a new start.

use super::broker::config;
use std::collections::BTreeMap;

/// What the configuration file says, by Kafka's names: only what differs from the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statics(BTreeMap<String, String>);

impl Statics {
    /// Of these values; one that is the default says nothing.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = (&'static str, String)>) -> Statics {
        let says = |name: &str, value: &str| config(name).is_some_and(|c| c.default != Some(value));
        Statics(
            values
                .into_iter()
                .filter(|(name, value)| says(name, value))
                .map(|(n, v)| (n.to_owned(), v))
                .collect(),
        )
    }

    /// What the file says.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// What the file says, or the default.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).or_else(|| config(name)?.default)
    }

    pub(super) fn number(&self, name: &str, or: i64) -> i64 {
        self.value(name).and_then(|v| v.parse().ok()).unwrap_or(or)
    }
}
