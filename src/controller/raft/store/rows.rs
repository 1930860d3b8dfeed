//! The tables of a voter, and the bytes of one row.
//!
//! A row is sealed as in a single node's file: a checksum, a version, then JSON. Nothing is repaired.

use super::super::super::rows::{RAFT_LOG, seal, unseal};
use redb::TableDefinition;
use serde::{Serialize, de::DeserializeOwned};
use std::io;

/// One row an entry, without a gap from the purged position on.
pub const LOG: TableDefinition<'static, u64, &[u8]> = TableDefinition::new(RAFT_LOG);
/// Single rows, by the names below.
pub const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("raft_meta");

/// The node whose votes these are.
pub const NODE: &str = "node";
/// The newest vote of the node.
pub const VOTE: &str = "vote";
/// A position that was committed, perhaps not the newest.
pub const COMMITTED: &str = "committed";
/// The position up to which entries were removed.
pub const PURGED: &str = "purged";
/// The image with its position.
pub const SNAPSHOT: &str = "snapshot";

/// The advice to whoever has a damaged file.
pub const RESTORE: &str = "empty the directory, or restore all of it";

/// The bytes of a row with this value.
pub fn encode<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    serde_json::to_vec(value).map(seal).map_err(io::Error::other)
}

/// The value of a row whose checksum and version are right.
pub fn decode<T: DeserializeOwned>(row: &[u8]) -> io::Result<T> {
    let json = unseal(row).map_err(io::Error::other)?;
    serde_json::from_slice(json)
        .map_err(|e| io::Error::other(format!("a row does not parse: {e}: run the build that wrote it")))
}

/// Any error of redb, as openraft takes it.
pub fn other(error: impl Into<redb::Error>) -> io::Error {
    io::Error::other(error.into().to_string())
}
