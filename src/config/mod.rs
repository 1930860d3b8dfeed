//! Configuration: file ← environment ← flags. `config/callboard.toml` shows every field with its default; a test keeps
//! both in step.

use callboard_core::fetch_session;
use callboard_core::group::GroupConfig;
use callboard_core::limits::{self, Budgets};
use callboard_core::metadata::configs::Statics;
use callboard_core::partition::LeaderConfig;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What an acknowledgement means, for topics that do not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Journaled and synced.
    Fsync,
    /// In the page cache, synced within a second.
    Os,
}

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Data directory.
    pub data: PathBuf,
    /// Where Kafka clients connect: HOST:PORT.
    pub kafka: String,
    /// What clients are told to connect to: HOST:PORT; empty: the address they reached.
    pub advertised: String,
    /// Where metrics and health are served over HTTP: HOST:PORT; empty: nowhere.
    pub http: String,
    /// Whether partitions have series of their own in the metrics (the first 1,000).
    pub metrics_partitions: bool,
    /// Rack of this node; empty: none.
    pub rack: String,
    /// What an acknowledgement means, for topics that do not say.
    pub durability: Durability,
    /// Store shards, fixed at the first start; 0: one per two cores.
    pub shards: usize,
    /// Partitions of topics that do not say (Kafka: `num.partitions`).
    pub num_partitions: i32,
    /// Whether asking for a topic makes it (Kafka: `auto.create.topics.enable`).
    pub auto_create_topics_enable: bool,
    /// How long records are kept where nobody says; -1: for ever (Kafka: `log.retention.ms`).
    pub log_retention_ms: i64,
    /// Bytes that a partition keeps where nobody says; -1: no bound (Kafka: `log.retention.bytes`).
    pub log_retention_bytes: i64,
    /// Largest batch where nobody says (Kafka: `message.max.bytes`).
    pub message_max_bytes: usize,
    /// A producer that sends a partition nothing for so long is forgotten there; a start begins the time anew (Kafka:
    /// `producer.id.expiration.ms`).
    pub producer_id_expiration_ms: i64,
    /// Expired records are looked for this often (Kafka: `log.retention.check.interval.ms`).
    pub log_retention_check_interval_ms: u64,
    /// An idle connection is closed after this (Kafka: `connections.max.idle.ms`).
    pub connections_max_idle_ms: u64,
    /// Connections at most; 0: 10,000, or as many as there are descriptors and memory for (Kafka: `max.connections`).
    pub max_connections: usize,
    /// Largest request (Kafka: `socket.request.max.bytes`).
    pub socket_request_max_bytes: usize,
    /// What the system buffers of answers for a connection; -1: as it likes (Kafka: `socket.send.buffer.bytes`).
    pub socket_send_buffer_bytes: i32,
    /// A new group waits so long for more members (Kafka: `group.initial.rebalance.delay.ms`).
    pub group_initial_rebalance_delay_ms: u64,
    /// Shortest session timeout a member may ask for (Kafka: `group.min.session.timeout.ms`).
    pub group_min_session_timeout_ms: i32,
    /// Longest session timeout a member may ask for (Kafka: `group.max.session.timeout.ms`).
    pub group_max_session_timeout_ms: i32,
    /// Members of a group at most (Kafka: `group.max.size`).
    pub group_max_size: usize,
    /// Committed offsets of a group without members are kept so long (Kafka: `offsets.retention.minutes`).
    pub offsets_retention_minutes: u32,
    /// Offsets are looked through this often for those that have expired (Kafka: `offsets.retention.check.interval.ms`).
    pub offsets_retention_check_interval_ms: u64,
    /// Longest metadata of a committed offset (Kafka: `offset.metadata.max.bytes`).
    pub offset_metadata_max_bytes: usize,
    /// Partitions of `__consumer_offsets`, when it is made (Kafka: `offsets.topic.num.partitions`).
    pub offsets_topic_num_partitions: i32,
    /// A partition of `__consumer_offsets` is written anew above so many bytes, if little of it is live.
    pub offsets_rewrite_bytes: u64,
    /// Fetch sessions at most (Kafka: `max.incremental.fetch.session.cache.slots`).
    pub max_incremental_fetch_session_cache_slots: usize,
    /// Bytes of a journal segment.
    pub segment_bytes: u64,
    /// Journaled and not yet settled bytes of a shard at which producers slow down.
    pub unsettled_bytes_max: u64,
    /// Journals of all shards together, at which records that stay in them move into redb; -1: a quarter of the disk.
    pub journal_bytes_max: i64,
    /// Held back on the disk for what frees space; less free refuses produce. 0: the smaller of 1 GiB and 5 %.
    pub disk_reserve_bytes: u64,
    /// Memory for produce requests that are not written yet.
    pub produce_memory_bytes: usize,
    /// Memory for the newest records of all partitions.
    pub tail_memory_bytes: usize,
    /// Memory for fetched bytes that are not sent yet.
    pub response_memory_bytes: usize,
    /// redb's cache, a shard.
    pub store_cache_bytes: usize,
}

impl Default for Config {
    fn default() -> Config {
        let budgets = Budgets::default();
        Config {
            data: PathBuf::from("data"),
            kafka: "localhost:9092".to_owned(),
            advertised: String::new(),
            http: "127.0.0.1:9644".to_owned(),
            metrics_partitions: false,
            rack: String::new(),
            durability: Durability::Fsync,
            shards: 0,
            num_partitions: 1,
            auto_create_topics_enable: true,
            log_retention_ms: LeaderConfig::default().retention_ms,
            log_retention_bytes: LeaderConfig::default().retention_bytes,
            message_max_bytes: limits::MESSAGE_MAX_BYTES_DEFAULT,
            producer_id_expiration_ms: LeaderConfig::default().producer_expiration_ms,
            log_retention_check_interval_ms: LeaderConfig::default().retention_check_ms,
            connections_max_idle_ms: 600_000,
            max_connections: 0,
            socket_request_max_bytes: limits::SOCKET_REQUEST_MAX_BYTES,
            socket_send_buffer_bytes: limits::SOCKET_SEND_BUFFER_BYTES,
            group_initial_rebalance_delay_ms: 3_000,
            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 1_800_000,
            group_max_size: i32::MAX as usize,
            offsets_retention_minutes: 10_080,
            offsets_retention_check_interval_ms: 600_000,
            offset_metadata_max_bytes: 4_096,
            offsets_topic_num_partitions: 50,
            offsets_rewrite_bytes: 64 << 20,
            max_incremental_fetch_session_cache_slots: fetch_session::Limits::default().slots,
            segment_bytes: 64 << 20,
            unsettled_bytes_max: budgets.unsettled as u64,
            journal_bytes_max: -1,
            disk_reserve_bytes: 0,
            produce_memory_bytes: budgets.produce,
            tail_memory_bytes: budgets.tail,
            response_memory_bytes: budgets.responses,
            store_cache_bytes: budgets.redb_cache,
        }
    }
}

/// Flags of `callboard start`; each is also an environment variable and a field of the file.
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "CALLBOARD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Data directory
    #[arg(long, value_name = "DIR", env = "CALLBOARD_DATA")]
    pub data: Option<PathBuf>,
    /// Where Kafka clients connect
    #[arg(long, value_name = "HOST:PORT", env = "CALLBOARD_KAFKA")]
    pub kafka: Option<String>,
    /// What clients are told to connect to [default: the address they reached]
    #[arg(long, value_name = "HOST:PORT", env = "CALLBOARD_ADVERTISED")]
    pub advertised: Option<String>,
    /// Where metrics and health are served over HTTP; empty: nowhere [default: 127.0.0.1:9644]
    #[arg(long, value_name = "HOST:PORT", env = "CALLBOARD_HTTP")]
    pub http: Option<String>,
    /// Rack of this node
    #[arg(long, value_name = "RACK", env = "CALLBOARD_RACK")]
    pub rack: Option<String>,
    /// What an acknowledgement means, for topics that do not say
    #[arg(long, value_enum, env = "CALLBOARD_DURABILITY")]
    pub durability: Option<Durability>,
    /// Store shards, fixed at the first start [default: one per two cores]
    #[arg(long, value_name = "N", env = "CALLBOARD_SHARDS")]
    pub shards: Option<usize>,
    /// Expired records are looked for this often
    #[arg(long, value_name = "MS", env = "CALLBOARD_LOG_RETENTION_CHECK_INTERVAL_MS", hide = true)]
    pub log_retention_check_interval_ms: Option<u64>,
    /// Bytes of a journal segment
    #[arg(long, value_name = "BYTES", env = "CALLBOARD_SEGMENT_BYTES", hide = true)]
    pub segment_bytes: Option<u64>,
    /// Unsettled bytes of a shard at which producers slow down
    #[arg(long, value_name = "BYTES", env = "CALLBOARD_UNSETTLED_BYTES_MAX", hide = true)]
    pub unsettled_bytes_max: Option<u64>,
    /// Journals of all shards together, at which records that stay in them move into redb
    #[arg(long, value_name = "BYTES", env = "CALLBOARD_JOURNAL_BYTES_MAX", hide = true)]
    pub journal_bytes_max: Option<i64>,
    /// Held back on the disk for what frees space
    #[arg(long, value_name = "BYTES", env = "CALLBOARD_DISK_RESERVE_BYTES", hide = true)]
    pub disk_reserve_bytes: Option<u64>,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {error}; check the path given with --config")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file does not parse, or names a field that does not exist.
    #[error("{path}: {error}\nsee config/callboard.toml for every field")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        error: toml::de::Error,
    },
    /// A value that cannot be.
    #[error("{field} = {value}: {wants}")]
    Value {
        /// Which field.
        field: &'static str,
        /// What it is set to.
        value: String,
        /// What it takes.
        wants: String,
    },
}

impl ConfigError {
    /// Of a field that is set to this and takes something else.
    pub fn value(field: &'static str, value: impl Display, wants: impl Into<String>) -> ConfigError {
        ConfigError::Value { field, value: value.to_string(), wants: wants.into() }
    }
}

impl Config {
    /// File, then environment and flags (clap has merged those).
    pub fn load(flags: &Flags) -> Result<Config, ConfigError> {
        let mut config = match &flags.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        fn set<T: Clone>(field: &mut T, flag: &Option<T>) {
            if let Some(value) = flag {
                field.clone_from(value);
            }
        }
        set(&mut config.data, &flags.data);
        set(&mut config.kafka, &flags.kafka);
        set(&mut config.advertised, &flags.advertised);
        set(&mut config.http, &flags.http);
        set(&mut config.rack, &flags.rack);
        set(&mut config.durability, &flags.durability);
        set(&mut config.shards, &flags.shards);
        set(&mut config.log_retention_check_interval_ms, &flags.log_retention_check_interval_ms);
        set(&mut config.segment_bytes, &flags.segment_bytes);
        set(&mut config.unsettled_bytes_max, &flags.unsettled_bytes_max);
        set(&mut config.journal_bytes_max, &flags.journal_bytes_max);
        set(&mut config.disk_reserve_bytes, &flags.disk_reserve_bytes);
        config.check()?;
        Ok(config)
    }

    fn read(path: &Path) -> Result<Config, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.into(), error })?;
        toml::from_str(&text).map_err(|error| ConfigError::Parse { path: path.into(), error })
    }

    fn check(&self) -> Result<(), ConfigError> {
        fn range<T: PartialOrd + Display>(
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
        let mib = limits::MIB;
        range("shards", self.shards, 0, 256)?;
        range("num_partitions", self.num_partitions, 1, 10_000)?;
        range("log_retention_ms", self.log_retention_ms, -1, i64::MAX)?;
        range("log_retention_bytes", self.log_retention_bytes, -1, i64::MAX)?;
        range("message_max_bytes", self.message_max_bytes, 0, limits::MESSAGE_MAX_BYTES_CEILING)?;
        range("producer_id_expiration_ms", self.producer_id_expiration_ms, 1, i64::from(i32::MAX))?;
        let check_interval = self.log_retention_check_interval_ms;
        range("log_retention_check_interval_ms", check_interval, 1, u64::from(u32::MAX))?;
        range("connections_max_idle_ms", self.connections_max_idle_ms, 1000, u64::from(u32::MAX))?;
        range("max_connections", self.max_connections, 0, i32::MAX as usize)?;
        range("socket_request_max_bytes", self.socket_request_max_bytes, 64 * 1024, 1 << 30)?;
        range("group_initial_rebalance_delay_ms", self.group_initial_rebalance_delay_ms, 0, 3_600_000)?;
        range("group_min_session_timeout_ms", self.group_min_session_timeout_ms, 1, i32::MAX)?;
        let least = self.group_min_session_timeout_ms;
        range("group_max_session_timeout_ms", self.group_max_session_timeout_ms, least, i32::MAX)?;
        range("group_max_size", self.group_max_size, 1, i32::MAX as usize)?;
        range("offsets_retention_minutes", self.offsets_retention_minutes, 1, i32::MAX as u32)?;
        range("offsets_retention_check_interval_ms", self.offsets_retention_check_interval_ms, 1, 1 << 40)?;
        range("offset_metadata_max_bytes", self.offset_metadata_max_bytes, 0, i16::MAX as usize)?;
        range("offsets_topic_num_partitions", self.offsets_topic_num_partitions, 1, 10_000)?;
        range("offsets_rewrite_bytes", self.offsets_rewrite_bytes, 64 << 10, 1 << 40)?;
        let slots = self.max_incremental_fetch_session_cache_slots;
        range("max_incremental_fetch_session_cache_slots", slots, 0, 100_000)?;
        range("segment_bytes", self.segment_bytes, 64 << 10, 1 << 30)?;
        range("unsettled_bytes_max", self.unsettled_bytes_max, 128 << 10, 1 << 40)?;
        range("journal_bytes_max", self.journal_bytes_max, -1, 1 << 50)?;
        range("disk_reserve_bytes", self.disk_reserve_bytes, 0, 1 << 50)?;
        range("produce_memory_bytes", self.produce_memory_bytes, mib, 1 << 40)?;
        range("tail_memory_bytes", self.tail_memory_bytes, 0, 1 << 40)?;
        range("response_memory_bytes", self.response_memory_bytes, mib, 1 << 40)?;
        range("store_cache_bytes", self.store_cache_bytes, mib, 1 << 40)?;
        if !self.segment_bytes.is_multiple_of(512) {
            return Err(ConfigError::value(
                "segment_bytes",
                self.segment_bytes,
                "it takes a multiple of 512",
            ));
        }
        let buffer = self.socket_send_buffer_bytes;
        if buffer != -1 && !(4096..=1 << 30).contains(&buffer) {
            let wants = "it takes -1, or 4096 to 1073741824";
            return Err(ConfigError::value("socket_send_buffer_bytes", buffer, wants));
        }
        self.advertised_parts().map(|_| ())
    }

    /// Host and port that clients are told, if set.
    pub fn advertised_parts(&self) -> Result<Option<(String, u16)>, ConfigError> {
        if self.advertised.is_empty() {
            return Ok(None);
        }
        let parts = self.advertised.rsplit_once(':').and_then(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            (!host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))
        });
        parts
            .map(Some)
            .ok_or_else(|| ConfigError::value("advertised", &self.advertised, "it takes HOST:PORT"))
    }

    /// What this says of Kafka's broker configs.
    #[must_use]
    pub fn statics(&self, node_id: i32, address: SocketAddr) -> Statics {
        let host = self.kafka.rsplit_once(':').map_or("", |(host, _)| host);
        let mut out = vec![
            ("auto.create.topics.enable", self.auto_create_topics_enable.to_string()),
            ("broker.id", node_id.to_string()),
            ("callboard.segment.bytes", self.segment_bytes.to_string()),
            ("connections.max.idle.ms", self.connections_max_idle_ms.to_string()),
            ("group.initial.rebalance.delay.ms", self.group_initial_rebalance_delay_ms.to_string()),
            ("group.max.session.timeout.ms", self.group_max_session_timeout_ms.to_string()),
            ("group.max.size", self.group_max_size.to_string()),
            ("group.min.session.timeout.ms", self.group_min_session_timeout_ms.to_string()),
            ("listeners", format!("PLAINTEXT://{host}:{}", address.port())),
            ("log.dirs", self.data_dir()),
            ("log.retention.bytes", self.log_retention_bytes.to_string()),
            ("log.retention.check.interval.ms", self.log_retention_check_interval_ms.to_string()),
            (
                "max.incremental.fetch.session.cache.slots",
                self.max_incremental_fetch_session_cache_slots.to_string(),
            ),
            ("max.connections", self.max_connections.to_string()),
            ("message.max.bytes", self.message_max_bytes.to_string()),
            ("node.id", node_id.to_string()),
            ("num.partitions", self.num_partitions.to_string()),
            ("offset.metadata.max.bytes", self.offset_metadata_max_bytes.to_string()),
            ("offsets.retention.check.interval.ms", self.offsets_retention_check_interval_ms.to_string()),
            ("offsets.retention.minutes", self.offsets_retention_minutes.to_string()),
            ("offsets.topic.num.partitions", self.offsets_topic_num_partitions.to_string()),
            ("offsets.topic.replication.factor", "1".to_owned()),
            ("process.roles", "broker,controller".to_owned()),
            ("producer.id.expiration.ms", self.producer_id_expiration_ms.to_string()),
            ("socket.request.max.bytes", self.socket_request_max_bytes.to_string()),
            ("socket.send.buffer.bytes", self.socket_send_buffer_bytes.to_string()),
        ];
        if self.durability == Durability::Os {
            out.push(("callboard.durability", "os".to_owned()));
            // The same in Kafka's words, and its default: nothing is flushed for being a message.
            out.push(("log.flush.interval.messages", i64::MAX.to_string()));
        }
        if !self.advertised.is_empty() {
            out.push(("advertised.listeners", format!("PLAINTEXT://{}", self.advertised)));
        }
        if !self.rack.is_empty() {
            out.push(("broker.rack", self.rack.clone()));
        }
        // Kafka's default has no value under this name: log.retention.hours says it.
        if self.log_retention_ms != Config::default().log_retention_ms {
            out.push(("log.retention.ms", self.log_retention_ms.to_string()));
        }
        Statics::new(out)
    }

    /// The data directory from the root on.
    #[must_use]
    pub fn data_dir(&self) -> String {
        std::path::absolute(&self.data).unwrap_or_else(|_| self.data.clone()).display().to_string()
    }

    /// Bounds and times of groups.
    #[must_use]
    pub fn groups(&self) -> GroupConfig {
        GroupConfig {
            initial_rebalance_delay_ms: self.group_initial_rebalance_delay_ms,
            min_session_timeout_ms: self.group_min_session_timeout_ms,
            max_session_timeout_ms: self.group_max_session_timeout_ms,
            max_size: self.group_max_size,
            offsets_retention_ms: i64::from(self.offsets_retention_minutes) * 60_000,
            offsets_retention_check_ms: self.offsets_retention_check_interval_ms,
            offset_metadata_max_bytes: self.offset_metadata_max_bytes,
        }
    }

    /// Bounds of fetch sessions.
    #[must_use]
    pub fn fetch_sessions(&self) -> fetch_session::Limits {
        fetch_session::Limits { slots: self.max_incremental_fetch_session_cache_slots, ..Default::default() }
    }

    /// Memory budgets, as set or by default; what fits the machine is said by `limits::fit`.
    #[must_use]
    pub fn budgets(&self) -> Budgets {
        Budgets {
            connections: match self.max_connections {
                0 => limits::CONNECTIONS_DEFAULT,
                set => set,
            },
            produce: self.produce_memory_bytes,
            responses: self.response_memory_bytes,
            tail: self.tail_memory_bytes,
            redb_cache: self.store_cache_bytes,
            unsettled: usize::try_from(self.unsettled_bytes_max).unwrap_or(usize::MAX),
            ..Budgets::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_shows_every_field_with_its_default() {
        let sample = include_str!("../../config/callboard.toml");
        assert_eq!(toml::from_str::<Config>(sample).unwrap(), Config::default());
        let table: toml::Table = toml::from_str(sample).unwrap();
        let source = include_str!("mod.rs");
        let body = source.split("pub struct Config {").nth(1).unwrap().split("\n}").next().unwrap();
        let fields: Vec<&str> =
            body.lines().filter_map(|l| l.trim().strip_prefix("pub ")?.split(':').next()).collect();
        assert_eq!(fields.len(), table.len());
        for field in fields {
            assert!(table.contains_key(field), "{field} is missing in config/callboard.toml");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        let with = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(with(|c| c.shards = 1000).contains("shards = 1000"));
        assert!(with(|c| c.advertised = "nohost".into()).contains("HOST:PORT"));
        assert!(with(|c| c.segment_bytes = 100_000).contains("multiple of 512"));
        assert!(toml::from_str::<Config>("no_such_field = 1").is_err());
    }

    #[test]
    fn flags_win_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "kafka = \"a:1\"\nshards = 3\n").unwrap();
        let flags = Flags { config: Some(path), kafka: Some("b:2".into()), ..Flags::default() };
        let config = Config::load(&flags).unwrap();
        assert_eq!((config.kafka.as_str(), config.shards), ("b:2", 3));
    }
}
