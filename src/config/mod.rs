//! Configuration: one struct for each component, each in a file of its own.
//!
//! ```text
//!   cluster.rs kafka.rs console.rs topics.rs groups.rs fetch.rs storage.rs memory.rs   fields, defaults, checks
//!   listeners.rs   addresses with names
//!   flags.rs   the command line and the environment
//!   load.rs    file <- environment <- flags
//!   names.rs   which names a file may set; error.rs: why one is refused
//! ```
//! The file has no tables: all fields lie side by side in it, and `config/callboard.toml` shows each with its default. A
//! new setting is a field, a default and a check in its component's file, and a line in the sample; tests hold these
//! together. This module decides nothing about the machine: `limits::fit` in core scales memory down.

mod cluster;
mod console;
mod error;
mod fetch;
mod flags;
mod groups;
mod kafka;
mod listeners;
mod load;
mod memory;
mod names;
mod storage;
#[cfg(test)]
mod tests;
mod topics;

pub use cluster::Cluster;
pub use console::Console;
pub use error::ConfigError;
pub use fetch::Fetch;
pub use flags::Flags;
pub use groups::Groups;
pub use kafka::Kafka;
pub use listeners::{NamedAddress, PLAINTEXT};
pub use memory::Memory;
pub use storage::Storage;
pub use topics::{Durability, Topics};

use callboard_core::limits::{self, Budgets};
use callboard_core::metadata::configs::Statics;

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub kafka: Kafka,
    pub cluster: Cluster,
    pub console: Console,
    pub topics: Topics,
    pub groups: Groups,
    pub fetch: Fetch,
    pub storage: Storage,
    pub memory: Memory,
}

impl Config {
    fn check(&self) -> Result<(), ConfigError> {
        self.topics.check()?;
        self.kafka.check()?;
        self.cluster.check()?;
        self.groups.check()?;
        self.fetch.check()?;
        self.storage.check()?;
        self.memory.check()
    }

    /// These settings under the names of Kafka's broker configs. `ports` are those that the listeners got.
    #[must_use]
    pub fn statics(&self, node_id: i32, ports: &[u16]) -> Statics {
        let node = [
            ("broker.id", node_id.to_string()),
            ("node.id", node_id.to_string()),
            ("process.roles", "broker,controller".to_owned()),
        ];
        let parts = [
            self.kafka.statics(ports),
            self.topics.statics(),
            self.groups.statics(),
            self.fetch.statics(),
            self.storage.statics(),
        ];
        Statics::new(node.into_iter().chain(parts.into_iter().flatten()))
    }

    /// Memory budgets as they are set or by default; `limits::fit` says what of them fits the machine.
    #[must_use]
    pub fn budgets(&self) -> Budgets {
        Budgets {
            connections: match self.kafka.max_connections {
                0 => limits::CONNECTIONS_DEFAULT,
                set => set,
            },
            produce: self.memory.produce_memory_bytes,
            responses: self.memory.response_memory_bytes,
            tail: self.memory.tail_memory_bytes,
            redb_cache: self.memory.store_cache_bytes,
            unsettled: usize::try_from(self.storage.unsettled_bytes_max).unwrap_or(usize::MAX),
            ..Budgets::default()
        }
    }
}
