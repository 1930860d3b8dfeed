//! `meta.redb` as a file: where it lies, how it opens, and the words of a refusal.
//!
//! Both metadata logs keep one redb file of this name in the data directory, each with tables of its own. A file that
//! holds the tables of one is refused by the other. The file does not know what its rows mean.

use crate::storage::{Backend, disk::Disk};
use callboard_core::BrokerId;
use callboard_core::metadata::ProposalId;
use callboard_core::mutant::{Mutant, planted};
use redb::{Database, DatabaseError, ReadableDatabase, StorageError, TableHandle};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes held back in a file. On a full disk they give room to a few batches, so that deletes can be committed.
pub(super) const RESERVE_BYTES: u64 = 2 << 20;

/// The reason why the metadata log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct OpenError {
    pub(super) path: PathBuf,
    pub(super) why: String,
}

/// The words of a file that is missing although its cluster is known.
pub(super) fn missing(cluster: &str) -> String {
    format!(
        "the metadata of cluster {cluster} is missing: restore the file from a backup; nothing is created in its place"
    )
}

/// The words of a file that is of another cluster, or of none.
pub(super) fn foreign(found: Option<&str>, cluster: &str) -> String {
    let found = found.unwrap_or("no cluster");
    format!("it is of {found}, the data directory of cluster {cluster}: restore the file from its own backup")
}

/// The place of the file, so that it can be opened again.
pub(super) struct Place {
    pub disk: Arc<dyn Disk>,
    pub path: PathBuf,
    pub ran_out: Arc<AtomicBool>,
}

impl Place {
    pub fn new(disk: &Arc<dyn Disk>, path: &Path) -> Place {
        Place { disk: Arc::clone(disk), path: path.to_owned(), ran_out: Arc::default() }
    }

    /// Opens the file, or makes it. Every page is compared with its checksum first, because a rotten key hides its row.
    pub fn open(&self) -> Result<Database, String> {
        let file = self.disk.open(&self.path, true).map_err(|e| e.to_string())?;
        let backend = Backend::new(file, Arc::clone(&self.ran_out));
        let builder = &mut Database::builder();
        builder.set_check_integrity_on_open(!planted(Mutant::RaftDamageUnnoticed));
        builder.set_cache_size(4 << 20).create_with_backend(backend).map_err(words)
    }

    /// Whether a write has found the disk full since the last call.
    pub fn ran_out(&self) -> bool {
        self.ran_out.swap(false, Ordering::AcqRel)
    }

    /// The same, without forgetting it.
    pub fn ran_out_now(&self) -> bool {
        self.ran_out.load(Ordering::Acquire)
    }
}

/// The words of a file that does not open.
fn words(error: DatabaseError) -> String {
    let damage = match error {
        DatabaseError::Storage(StorageError::Corrupted(why)) => why,
        // No database at all, or one that names places behind its end.
        DatabaseError::Storage(StorageError::Io(why))
            if matches!(why.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            why.to_string()
        }
        DatabaseError::UpgradeRequired(version) => format!("it claims version {version} of its format"),
        other => return other.to_string(),
    };
    format!("it is damaged: {damage}: empty the directory, or restore all of it")
}

/// The names of the tables in a file.
pub(super) fn tables(db: &Database) -> Result<BTreeSet<String>, String> {
    let text = |e: redb::Error| e.to_string();
    let tx = db.begin_read().map_err(|e| text(e.into()))?;
    let names = tx.list_tables().map_err(|e| text(e.into()))?;
    Ok(names.map(|table| table.name().to_owned()).collect())
}

/// The id of a process's first proposal. Random bits keep its number apart from those of former processes.
pub(super) fn first_proposal(node: BrokerId) -> ProposalId {
    let [.., a, b, c, d, e, f, g, h] = *uuid::Uuid::new_v4().as_bytes();
    ProposalId { node, number: u64::from_be_bytes([a, b, c, d, e, f, g, h]) }
}
