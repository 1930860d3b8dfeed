//! Settings of the store: where its data lies, how many shards it has, how much of the disk it uses.

use super::error::{ConfigError, range};
use callboard_core::limits::Budgets;
use serde::Deserialize;
use std::path::PathBuf;

/// The data directory and the bounds of its journals.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Storage {
    /// Data directory, made at the first start; one process at a time may use it.
    pub data: PathBuf,
    /// Store shards; the first start fixes them, and 0 takes one per two cores.
    pub shards: usize,
    /// Bytes of a journal segment, a multiple of 512.
    pub segment_bytes: u64,
    /// Producers slow down when so many journaled bytes of a shard are not settled yet.
    pub unsettled_bytes_max: u64,
    /// Bytes of all journals together, above which kept records move into redb; -1 takes a quarter of the disk.
    pub journal_bytes_max: i64,
    /// Bytes of the disk held back for work that frees space; less free space refuses produce. 0 takes the smaller of
    /// 1 GiB and 5 %.
    pub disk_reserve_bytes: u64,
}

impl Default for Storage {
    fn default() -> Storage {
        Storage {
            data: PathBuf::from("data"),
            shards: 0,
            segment_bytes: 64 << 20,
            unsettled_bytes_max: Budgets::default().unsettled as u64,
            journal_bytes_max: -1,
            disk_reserve_bytes: 0,
        }
    }
}

impl Storage {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        range("shards", self.shards, 0, 256)?;
        range("segment_bytes", self.segment_bytes, 64 << 10, 1 << 30)?;
        range("unsettled_bytes_max", self.unsettled_bytes_max, 128 << 10, 1 << 40)?;
        range("journal_bytes_max", self.journal_bytes_max, -1, 1 << 50)?;
        range("disk_reserve_bytes", self.disk_reserve_bytes, 0, 1 << 50)?;
        if !self.segment_bytes.is_multiple_of(512) {
            let wants = "it takes a multiple of 512";
            return Err(ConfigError::value("segment_bytes", self.segment_bytes, wants));
        }
        Ok(())
    }

    /// The data directory from the root on.
    #[must_use]
    pub fn data_dir(&self) -> String {
        std::path::absolute(&self.data).unwrap_or_else(|_| self.data.clone()).display().to_string()
    }

    /// These settings under Kafka's names, where Kafka has one.
    pub(super) fn statics(&self) -> Vec<(&'static str, String)> {
        vec![("callboard.segment.bytes", self.segment_bytes.to_string()), ("log.dirs", self.data_dir())]
    }
}
