//! The layer of the configuration file: broker configs that change only with a new start.

use super::broker::config;
use super::rows::FACTOR;
use std::collections::BTreeMap;

/// Values of the configuration file under Kafka's names; only those that differ from what holds without it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statics(BTreeMap<String, String>);

impl Statics {
    /// Takes these values. One that equals the default is left out, except where no value means something else.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = (&'static str, String)>) -> Statics {
        let says = |name: &str, value: &str| {
            config(name).is_some_and(|c| name == FACTOR || c.default != Some(value))
        };
        Statics(
            values
                .into_iter()
                .filter(|(name, value)| says(name, value))
                .map(|(n, v)| (n.to_owned(), v))
                .collect(),
        )
    }

    /// The value that the file sets.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value that the file sets, or the default.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).or_else(|| config(name)?.default)
    }

    pub(super) fn number(&self, name: &str, or: i64) -> i64 {
        self.value(name).and_then(|v| v.parse().ok()).unwrap_or(or)
    }
}
