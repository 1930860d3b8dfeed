//! The directory that a command names: it has to be one, and that of a node that has served.
//!
//! Nothing is made here. A directory that is missing or empty is more likely a wrong word on the command line.

use crate::storage::{Identity, RealDisk, disk::Disk};
use anyhow::{Context as _, bail};
use std::path::Path;
use std::sync::Arc;

/// The identity of a directory that has served.
pub(super) fn identity(disk: &dyn Disk, dir: &Path) -> anyhow::Result<Identity> {
    let identity = Identity::read(disk, dir)?;
    identity.with_context(|| {
        format!("{} is not the data directory of a node: it holds no file `identity`", dir.display())
    })
}

/// The disk below a directory.
pub(super) fn real(dir: &Path) -> anyhow::Result<Arc<dyn Disk>> {
    if !dir.is_dir() {
        bail!("{} is not a directory: name the data directory with --data", dir.display());
    }
    Ok(Arc::new(RealDisk))
}
