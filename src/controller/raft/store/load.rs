//! A start: the file is made whole or not at all, and read whole before anything trusts it.
//!
//! A new file gets its tables under another name, and its own name only then. So a file that is there was once complete,
//! and an error in it is never the trace of a first start. A voter that forgets its vote can elect two leaders, so nothing
//! is made anew and nothing is repaired.
//!
//! Every row is checked against its checksum. Entries behind the snapshot must parse too, because they will be
//! applied. Gaps are refused: no crash leaves one.

use super::super::super::file::{Place, tables};
use super::super::super::rows::{ALONE, RAFT_LOG, unseal};
use super::super::types::{Entry, LogId, SnapshotMeta, Vote, next};
use super::rows::{COMMITTED, LOG, META, NODE, PURGED, RESTORE, SNAPSHOT, VOTE, decode, encode, other};
use callboard_core::BrokerId;
use callboard_core::metadata::{Image, MetadataRecord};
use openraft::EntryPayload;
use redb::{Database, Durability, ReadableDatabase, ReadableTable};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io;
use std::path::Path;
use std::sync::Arc;

const FOUNDED_ALONE: &str = "this directory was founded alone; growing it into a cluster comes with a later release: \
                             start the node without seeds, or with an empty directory";

/// The snapshot as a row.
#[derive(Clone, Serialize, Deserialize)]
pub struct Stored {
    pub meta: SnapshotMeta,
    pub image: Arc<Image>,
}

/// The content of a file.
#[derive(Default)]
pub struct Loaded {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    pub last: Option<LogId>,
    pub snapshot: Option<Stored>,
    /// The cluster epoch of the snapshot.
    pub cluster_epoch: u32,
    /// The cluster that the snapshot or an entry names. An entry may be one that was never committed.
    pub cluster: Option<String>,
}

impl Loaded {
    /// Whether any entry was ever in this log.
    pub fn holds_entries(&self) -> bool {
        self.last.is_some() || self.snapshot.is_some()
    }
}

/// Makes the file of a node in its directory, whole or not at all.
pub fn make(place: &Place, dir: &Path, node: BrokerId) -> Result<(), String> {
    let half = place.path.with_extension("redb.new");
    let disk = &place.disk;
    let text = |e: io::Error| e.to_string();
    if disk.exists(&half).map_err(text)? {
        disk.remove(&half).map_err(text)?;
    }
    let db = Place::new(disk, &half).open()?;
    create_tables(&db, node).map_err(text)?;
    drop(db);
    disk.rename(&half, &place.path).map_err(text)?;
    disk.sync_dir(dir).map_err(text)
}

fn create_tables(db: &Database, node: BrokerId) -> io::Result<()> {
    let mut tx = db.begin_write().map_err(other)?;
    tx.set_durability(Durability::Immediate).map_err(other)?;
    tx.set_quick_repair(true);
    tx.open_table(LOG).map_err(other)?;
    tx.open_table(META).map_err(other)?.insert(NODE, encode(&node)?.as_slice()).map_err(other)?;
    tx.commit().map_err(other)
}

/// Reads the file of a node, and refuses in words what is not whole or not its own.
pub fn load(db: &Database, node: BrokerId) -> Result<Loaded, String> {
    let names = tables(db)?;
    if ALONE.iter().any(|alone| names.contains(*alone)) {
        return Err(FOUNDED_ALONE.to_owned());
    }
    if !names.contains(RAFT_LOG) {
        // A single node's first start was killed before its first record.
        create_tables(db, node).map_err(|e| e.to_string())?;
    }
    read(db, node).map_err(|e| e.to_string())
}

/// One of the single rows.
pub fn single<T: DeserializeOwned>(db: &Database, key: &str) -> io::Result<Option<T>> {
    let tx = db.begin_read().map_err(other)?;
    let table = tx.open_table(META).map_err(other)?;
    let row = table.get(key).map_err(other)?;
    let named = |e: io::Error| io::Error::other(format!("{key}: {e}"));
    row.map(|row| decode(row.value()).map_err(named)).transpose()
}

fn read(db: &Database, node: BrokerId) -> io::Result<Loaded> {
    let whose: Option<BrokerId> = single(db, NODE)?;
    if whose != Some(node) {
        let whose = whose.map_or("no node".to_owned(), |whose| format!("node {whose}"));
        return Err(io::Error::other(format!(
            "it holds the votes of {whose}, this is node {node}: give each node its own directory back"
        )));
    }
    let snapshot: Option<Stored> = single(db, SNAPSHOT)?;
    let mut loaded = Loaded {
        vote: single(db, VOTE)?,
        committed: single(db, COMMITTED)?,
        purged: single(db, PURGED)?,
        last: None,
        cluster_epoch: snapshot.as_ref().map_or(0, |snapshot| snapshot.image.cluster_epoch),
        cluster: snapshot.as_ref().and_then(|snapshot| snapshot.image.cluster_id.clone()),
        snapshot,
    };
    loaded.last = loaded.purged;
    entries(db, &mut loaded)?;
    whole(&loaded).map_err(io::Error::other)?;
    Ok(loaded)
}

fn entries(db: &Database, loaded: &mut Loaded) -> io::Result<()> {
    let covered = loaded.snapshot.as_ref().and_then(|snapshot| snapshot.meta.last_log_id);
    let tx = db.begin_read().map_err(other)?;
    let table = tx.open_table(LOG).map_err(other)?;
    let newest = table.last().map_err(other)?.map(|(index, _)| index.value());
    let mut expected = next(loaded.purged);
    for row in table.iter().map_err(other)? {
        let (index, row) = row.map_err(other)?;
        let (index, row) = (index.value(), row.value());
        let named = |e: String| io::Error::other(format!("entry {index}: {e}"));
        if index != expected {
            return Err(io::Error::other(format!("entry {expected} is missing: {RESTORE}")));
        }
        expected = index.saturating_add(1);
        if index < next(covered) && Some(index) != newest {
            unseal(row).map_err(named)?;
            continue;
        }
        let entry: Entry = decode(row).map_err(|e| named(e.to_string()))?;
        if entry.log_id.index != index || Some(entry.log_id) < loaded.last {
            return Err(named(format!("it says that it is {}: {RESTORE}", entry.log_id)));
        }
        loaded.last = Some(entry.log_id);
        if let (None, EntryPayload::Normal(batch)) = (&loaded.cluster, &entry.payload) {
            loaded.cluster = batch.records.iter().find_map(founds);
        }
    }
    Ok(())
}

fn founds(record: &MetadataRecord) -> Option<String> {
    match record {
        MetadataRecord::Cluster { cluster_id, .. } => Some(cluster_id.clone()),
        _ => None,
    }
}

/// Positions must lie within what is there, because no crash takes away what they name.
fn whole(loaded: &Loaded) -> Result<(), String> {
    let covered = loaded.snapshot.as_ref().and_then(|snapshot| snapshot.meta.last_log_id);
    if next(loaded.purged) > next(covered) {
        return Err(format!("entries are gone that the snapshot does not cover: {RESTORE}"));
    }
    if next(loaded.committed) > next(loaded.last).max(next(covered)) {
        return Err(format!("committed entries are missing: {RESTORE}"));
    }
    Ok(())
}
