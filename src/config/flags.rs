//! Flags of the command line. Each is also an environment variable, and a field of the file under the same name.
//!
//! A doc comment here is what `--help` prints.

use super::topics::Durability;
use clap::Args;
use std::path::PathBuf;

/// Flags of `callboard start`; each is also an environment variable and a field of the file.
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "CALLBOARD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Data directory
    #[arg(long, value_name = "DIR", env = "CALLBOARD_DATA")]
    pub data: Option<PathBuf>,
    /// Where Kafka clients connect; several networks: NAME://HOST:PORT,…
    #[arg(long, value_name = "HOST:PORT", env = "CALLBOARD_KAFKA")]
    pub kafka: Option<String>,
    /// The addresses that clients are told; several networks: NAME://HOST:PORT,… [default: the address they reached]
    #[arg(long, value_name = "HOST:PORT", env = "CALLBOARD_ADVERTISED")]
    pub advertised: Option<String>,
    /// Where other nodes connect, by UDP [default with seeds: 0.0.0.0:7946]
    #[arg(long, value_name = "HOST:PORT", env = "CALLBOARD_CLUSTER")]
    pub cluster: Option<String>,
    /// The nodes that form the cluster, the same list on every node
    #[arg(long, value_name = "HOST:PORT,…", env = "CALLBOARD_SEEDS", value_delimiter = ',')]
    pub seeds: Option<Vec<String>>,
    /// File with the secret that all nodes of the cluster share
    #[arg(long, value_name = "FILE", env = "CALLBOARD_CLUSTER_SECRET_FILE")]
    pub cluster_secret_file: Option<PathBuf>,
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
    /// Replicas of a new topic that states no number [default: 3, or as many as there are nodes]
    #[arg(long, value_name = "N", env = "CALLBOARD_DEFAULT_REPLICATION_FACTOR", hide = true)]
    pub default_replication_factor: Option<i32>,
    /// A follower whose records lag for so long leaves the in-sync replicas
    #[arg(long, value_name = "MS", env = "CALLBOARD_REPLICA_LAG_TIME_MAX_MS", hide = true)]
    pub replica_lag_time_max_ms: Option<u64>,
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
