//! The memory and the descriptors of this machine, and the configuration that fits them.
//!
//! ```text
//!   memory       the least of MemTotal and the limits of every control group that holds us (v2 and v1)
//!   descriptors  the soft limit, raised to the hard one; less what the store may open: for connections
//! ```
//!
//! `limits::fit` in core decides. This module only finds out the facts, and writes the result into configuration
//! and log.

use crate::config::{Config, ConfigError};
use crate::kafka::Bounds;
use callboard_core::limits::{self, Budgets, Extent, TooLittle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::{Path, PathBuf};

/// A configuration whose bounds fit the machine.
pub(super) struct Fitted {
    /// The configuration, with the values that were scaled or chosen.
    pub config: Config,
    pub budgets: Budgets,
    /// Compressed batches that may be opened at once.
    pub look_ups: usize,
    /// The terms of the sum, for metrics.
    pub bounds: Bounds,
}

/// Why a node does not start on this machine.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// The bounds are larger than the memory.
    #[error(transparent)]
    Memory(#[from] TooLittle),
    /// There are fewer descriptors than connections.
    #[error(transparent)]
    Descriptors(#[from] ConfigError),
}

impl Fitted {
    /// Fits a configuration to this machine, and logs what was scaled.
    pub fn new(config: Config, cores: usize) -> Result<Fitted, Unfit> {
        let shards = shards_of(&config, cores);
        let memory = memory();
        let fitted = Fitted::on(config, cores, shards, memory, descriptors())?;
        let (sum, default) = (fitted.budgets.sum(&fitted.extent(cores, shards)), Budgets::default());
        let connections = fitted.budgets.connections;
        tracing::debug!(
            "memory: bounds of {} MiB in all, of {} MiB; connections: {connections} at most",
            sum / limits::MIB,
            memory / limits::MIB
        );
        if fitted.budgets.requests < default.requests {
            tracing::info!("little memory: bounds were scaled down: {:?}", fitted.budgets);
        }
        Ok(fitted)
    }

    fn on(
        mut config: Config,
        cores: usize,
        shards: usize,
        memory: usize,
        descriptors: usize,
    ) -> Result<Fitted, Unfit> {
        let set = config.kafka.max_connections;
        let of_shard = limits::files_of_shard(
            config.storage.unsettled_bytes_max as usize,
            config.storage.segment_bytes as usize,
        );
        let for_store = shards.saturating_mul(of_shard);
        let kept = for_store.saturating_add(limits::FILES_KEPT);
        let free = descriptors.saturating_sub(kept);
        if set > free {
            let wants = format!(
                "of {descriptors} file descriptors {kept} are kept for files: it takes at most {free}, or raise the limit \
                 (ulimit -n)"
            );
            return Err(ConfigError::value("max_connections", set, wants).into());
        }
        let mut budgets = config.budgets();
        if set == 0 {
            // Many segments still leave some descriptors to connections.
            budgets.connections = budgets.connections.min(free.max(descriptors / 4).max(1));
        }
        let extent = extent(&config, cores, shards);
        let budgets = limits::fit(budgets, &extent, memory)?;
        config.kafka.max_connections = budgets.connections;
        config.memory.produce_memory_bytes = budgets.produce;
        config.memory.response_memory_bytes = budgets.responses;
        config.memory.tail_memory_bytes = budgets.tail;
        config.memory.store_cache_bytes = budgets.redb_cache;
        let bounds = Bounds { terms: budgets.terms(&extent), memory };
        Ok(Fitted { config, budgets, look_ups: extent.look_ups, bounds })
    }

    fn extent(&self, cores: usize, shards: usize) -> Extent {
        extent(&self.config, cores, shards)
    }
}

fn extent(config: &Config, cores: usize, shards: usize) -> Extent {
    let request_max = config.kafka.socket_request_max_bytes;
    // One seed is this node.
    let peers = config.cluster.seeds.len().saturating_sub(1);
    Extent { shards, readers: 2 * cores, look_ups: cores, request_max, peers }
}

/// The number of shards: those in the data directory, else the configured number.
fn shards_of(config: &Config, cores: usize) -> usize {
    let there = std::fs::read_dir(&config.storage.data).into_iter().flatten().flatten();
    let there = there.filter(|entry| entry.file_name().to_string_lossy().starts_with("shard-")).count();
    let wanted = if config.storage.shards > 0 { config.storage.shards } else { (cores / 2).max(1) };
    if there > 0 { there } else { wanted }
}

/// Raises the soft limit of open files as far as it goes, and returns it.
fn descriptors() -> usize {
    let now = getrlimit(Resource::Nofile);
    if now.current < now.maximum || (now.current.is_some() && now.maximum.is_none()) {
        // The kernel may refuse an unlimited number; then the soft limit stays.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    }
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

/// Bytes of memory that this process may use; without a known limit, all of the address space.
fn memory() -> usize {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let total = read(Path::new("/proc/meminfo")).as_deref().and_then(total_of);
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = limit_files(&groups).into_iter().filter_map(|path| read(&path)?.trim().parse().ok());
    limits.chain(total).min().unwrap_or(usize::MAX)
}

fn total_of(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// Files that may hold a limit: of the group in `/proc/self/cgroup` and of all groups above it. A container that
/// sees only its own group has the limit in the root, because the path belongs to another namespace.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            some if some.split(',').any(|c| c == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let path = path.trim_start_matches('/');
        files.extend(Path::new(path).ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: usize = 1 << 30;

    #[test]
    fn connections_follow_descriptors_unless_set() {
        let with = |max_connections| {
            let mut config = Config::default();
            config.kafka.max_connections = max_connections;
            config
        };
        let on = |max_connections, descriptors| Fitted::on(with(max_connections), 2, 1, 4 * GIB, descriptors);
        assert_eq!(on(0, 1 << 20).unwrap().config.kafka.max_connections, limits::CONNECTIONS_DEFAULT);
        assert_eq!(on(0, 1024).unwrap().config.kafka.max_connections, 1024 - limits::FILES_KEPT - 20);
        assert_eq!(on(0, 100).unwrap().config.kafka.max_connections, 25);
        assert_eq!(on(700, 1024).unwrap().config.kafka.max_connections, 700);
        let refused = on(1000, 1024).err().unwrap().to_string();
        assert!(refused.contains("max_connections = 1000") && refused.contains("at most 748"), "{refused}");
    }

    #[test]
    fn what_was_scaled_is_what_the_configuration_says() {
        let fitted = Fitted::on(Config::default(), 2, 1, GIB / 2, 1 << 20).unwrap();
        assert_eq!(fitted.config.memory.produce_memory_bytes, fitted.budgets.produce);
        assert!(fitted.budgets.produce < Config::default().memory.produce_memory_bytes);
        assert_eq!(fitted.config.kafka.max_connections, fitted.budgets.connections);
        assert_eq!(fitted.bounds.memory, GIB / 2);
        let refused = Fitted::on(Config::default(), 2, 1, GIB / 8, 1 << 20).err().unwrap().to_string();
        assert!(refused.contains("reserve 104857600"), "{refused}");
    }

    #[test]
    fn limits_of_all_groups_above_are_looked_for() {
        let files = |text: &str| -> Vec<String> {
            limit_files(text).iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(
            files("0::/a/b\n"),
            ["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"]
        );
        assert_eq!(
            files("5:cpu:/x\n4:memory:/\n"),
            ["/sys/fs/cgroup/memory/memory.limit_in_bytes"],
            "version 1"
        );
        assert_eq!(total_of("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2 << 20));
    }
}
