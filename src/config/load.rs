//! How a configuration is put together: the file, then environment variables, then flags; the last word wins.
//!
//! clap has merged environment and flags before. Each component reads its own fields out of the file; of all that is
//! wrong in a file, the error that stands first is told.

use super::Config;
use super::error::ConfigError;
use super::flags::Flags;
use super::names::Names;
use serde::de::DeserializeOwned;
use std::path::Path;

impl Config {
    /// Reads the file that the flags name, sets what the flags set, and checks the sum.
    pub fn load(flags: &Flags) -> Result<Config, ConfigError> {
        let mut config = match &flags.config {
            Some(path) => read(path)?,
            None => Config::default(),
        };
        config.set(flags);
        config.check()?;
        Ok(config)
    }

    fn set(&mut self, flags: &Flags) {
        fn set<T: Clone>(field: &mut T, flag: &Option<T>) {
            if let Some(value) = flag {
                field.clone_from(value);
            }
        }
        let Config { kafka, cluster, console, topics, storage, .. } = self;
        set(&mut storage.data, &flags.data);
        set(&mut kafka.listen, &flags.kafka);
        set(&mut kafka.advertised, &flags.advertised);
        set(&mut cluster.listen, &flags.cluster);
        set(&mut cluster.seeds, &flags.seeds);
        set(&mut cluster.cluster_secret_file, &flags.cluster_secret_file);
        set(&mut console.listen, &flags.http);
        set(&mut kafka.rack, &flags.rack);
        set(&mut topics.durability, &flags.durability);
        set(&mut storage.shards, &flags.shards);
        set(&mut topics.log_retention_check_interval_ms, &flags.log_retention_check_interval_ms);
        set(&mut topics.default_replication_factor, &flags.default_replication_factor);
        set(&mut topics.replica_lag_time_max_ms, &flags.replica_lag_time_max_ms);
        set(&mut storage.segment_bytes, &flags.segment_bytes);
        set(&mut storage.unsettled_bytes_max, &flags.unsettled_bytes_max);
        set(&mut storage.journal_bytes_max, &flags.journal_bytes_max);
        set(&mut storage.disk_reserve_bytes, &flags.disk_reserve_bytes);
    }
}

fn read(path: &Path) -> Result<Config, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.into(), error })?;
    parse(&text).map_err(|error| ConfigError::Parse { path: path.into(), error })
}

/// The configuration in a file's text; what the text does not set has its default.
pub(super) fn parse(text: &str) -> Result<Config, toml::de::Error> {
    let mut errors: Vec<_> = toml::from_str::<Names>(text).err().into_iter().collect();
    let config = Config {
        kafka: part(text, &mut errors),
        cluster: part(text, &mut errors),
        console: part(text, &mut errors),
        topics: part(text, &mut errors),
        groups: part(text, &mut errors),
        fetch: part(text, &mut errors),
        storage: part(text, &mut errors),
        memory: part(text, &mut errors),
    };
    let place = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    errors.into_iter().min_by_key(place).map_or(Ok(config), Err)
}

fn part<T: DeserializeOwned + Default>(text: &str, errors: &mut Vec<toml::de::Error>) -> T {
    toml::from_str(text).unwrap_or_else(|error| {
        errors.push(error);
        T::default()
    })
}
