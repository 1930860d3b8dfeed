//! Settings of memory: the pools that a busy node fills. `limits::fit` in core scales them down on a small machine.

use super::error::{ConfigError, range};
use callboard_core::limits::{Budgets, MIB};
use serde::Deserialize;

/// Sizes of the pools, in bytes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Produce requests that are not written yet.
    pub produce_memory_bytes: usize,
    /// The newest records of all partitions.
    pub tail_memory_bytes: usize,
    /// Fetched bytes that are not sent yet.
    pub response_memory_bytes: usize,
    /// redb's cache, for each shard.
    pub store_cache_bytes: usize,
}

impl Default for Memory {
    fn default() -> Memory {
        let budgets = Budgets::default();
        Memory {
            produce_memory_bytes: budgets.produce,
            tail_memory_bytes: budgets.tail,
            response_memory_bytes: budgets.responses,
            store_cache_bytes: budgets.redb_cache,
        }
    }
}

impl Memory {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        range("produce_memory_bytes", self.produce_memory_bytes, MIB, 1 << 40)?;
        range("tail_memory_bytes", self.tail_memory_bytes, 0, 1 << 40)?;
        range("response_memory_bytes", self.response_memory_bytes, MIB, 1 << 40)?;
        range("store_cache_bytes", self.store_cache_bytes, MIB, 1 << 40)
    }
}
