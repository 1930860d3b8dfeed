//! The metadata of a node that does not run: read as they lie in `meta.redb`, and rewritten by an operator's recovery.
//!
//! ```text
//!   tables of a single node ─> rows.rs           tables of a voter ─> raft/offline.rs
//!                       └────> Kept: the image, how far it is committed, who votes <────┘
//! ```
//! Nothing else of the node may be open meanwhile: the caller holds the directory's lock.

use super::file::{OpenError, Place, tables};
use super::kept::Kept;
use super::raft::offline;
use super::rows::{self, RAFT_LOG};
use crate::storage::disk::Disk;
use callboard_core::BrokerId;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn path(dir: &Path) -> PathBuf {
    dir.join("meta.redb")
}

fn place(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Place, OpenError> {
    let path = path(dir);
    let failed = |why: &str| OpenError { path: path.clone(), why: why.to_owned() };
    match disk.exists(&path) {
        Ok(true) => Ok(Place::new(disk, &path)),
        Ok(false) => Err(failed("there is no such file: name the data directory of a node that has served")),
        Err(error) => Err(failed(&error.to_string())),
    }
}

/// Reads the metadata of a node. On a disk that keeps changes in memory not even redb changes the file.
pub fn kept(disk: &Arc<dyn Disk>, dir: &Path, node: BrokerId) -> Result<Kept, OpenError> {
    let place = place(disk, dir)?;
    let failed = |why: String| OpenError { path: path(dir), why };
    let db = place.open().map_err(failed)?;
    if tables(&db).map_err(failed)?.contains(RAFT_LOG) {
        return offline::kept(&db, node).map_err(failed);
    }
    let image = rows::load(&db).map_err(failed)?.image;
    let (committed, last) = (Some(image.applied), image.applied);
    Ok(Kept { image, committed, last, term: super::single::SINGLE_TERM, voters: Vec::new() })
}

/// Makes this node the only voter, with all entries of its log taken as committed, under a higher cluster epoch.
/// `above` is a broker epoch that the node was granted. Returns the new cluster epoch.
pub fn sole_voter(disk: &Arc<dyn Disk>, dir: &Path, node: BrokerId, above: u64) -> Result<u32, OpenError> {
    let place = place(disk, dir)?;
    let failed = |why: String| OpenError { path: path(dir), why };
    let db = place.open().map_err(failed)?;
    offline::sole_voter(&db, node, above).map_err(failed)
}
