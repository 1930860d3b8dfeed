//! Log, vote and snapshot of one voter in one redb file.
//!
//! One thread owns every write (`writer`); vote and log pass through its one queue, so their order on disk
//! is the order of the calls. `log` keeps the newest entries in memory, which makes an appended
//! entry readable before it is durable. `snapshot` is one row.
//! Nothing here knows what an entry means.

mod log;
mod snapshot;
#[cfg(test)]
mod tests;
mod view;
mod writer;

use std::{io, path::Path, sync::Arc};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Serialize, de::DeserializeOwned};

pub use log::LogStore;
pub use snapshot::SnapshotStore;

/// Entries by index.
const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
/// Single rows: the vote, the committed and the purged position, the snapshot.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

const VOTE: &str = "vote";
const COMMITTED: &str = "committed";
const PURGED: &str = "purged";
const SNAPSHOT: &str = "snapshot";

/// Opens or creates the file; both stores share its writer, which ends with the last of them.
pub fn open(path: &Path) -> io::Result<(LogStore, SnapshotStore)> {
    let db = Database::builder().set_cache_size(16 << 20).create(path).map_err(other)?;
    create_tables(&db)?;
    let db = Arc::new(db);
    let view = view::View::load(&db)?;
    let writer = Arc::new(writer::Writer::start(db.clone())?);
    let snapshots = SnapshotStore::load(db.clone(), writer.clone())?;
    Ok((LogStore::new(db, writer, view), snapshots))
}

/// Later reads can then assume both tables.
fn create_tables(db: &Database) -> io::Result<()> {
    let mut tx = db.begin_write().map_err(other)?;
    tx.set_quick_repair(true);
    tx.open_table(LOG).map_err(other)?;
    tx.open_table(META).map_err(other)?;
    tx.commit().map_err(other)
}

fn read_meta<T: DeserializeOwned>(db: &Database, key: &str) -> io::Result<Option<T>> {
    let tx = db.begin_read().map_err(other)?;
    let table = tx.open_table(META).map_err(other)?;
    let row = table.get(key).map_err(other)?;
    row.map(|row| decode(row.value())).transpose()
}

fn last_entry_row(db: &Database) -> io::Result<Option<Vec<u8>>> {
    let tx = db.begin_read().map_err(other)?;
    let table = tx.open_table(LOG).map_err(other)?;
    let last = table.last().map_err(other)?;
    Ok(last.map(|(_, row)| row.value().to_vec()))
}

fn encode<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(other)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(other)
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}
