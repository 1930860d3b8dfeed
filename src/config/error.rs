//! Why a configuration is refused, in words that name the field, its value and what it takes.

use std::fmt::Display;
use std::path::PathBuf;

/// The reason for which a configuration is refused; the log shows it and the process ends.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file given with `--config` cannot be read.
    #[error("{path}: {error}; check the path given with --config")]
    Read { path: PathBuf, error: std::io::Error },
    /// The file is no TOML, sets a field to a wrong type, or names a field that does not exist.
    #[error("{path}: {error}\nsee config/callboard.toml for every field")]
    Parse { path: PathBuf, error: toml::de::Error },
    /// The file parses, and a value lies outside the field's range.
    #[error("{field} = {value}: {wants}")]
    Value { field: &'static str, value: String, wants: String },
}

impl ConfigError {
    /// Refuses `field`, which is set to `value` and takes what `wants` says.
    pub fn value(field: &'static str, value: impl Display, wants: impl Into<String>) -> ConfigError {
        ConfigError::Value { field, value: value.to_string(), wants: wants.into() }
    }
}

/// Refuses a value below `least` or above `most`.
pub(super) fn range<T: PartialOrd + Display>(
    field: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), ConfigError> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(ConfigError::value(field, value, format!("it takes {least} to {most}")))
}
