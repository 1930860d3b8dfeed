//! Changes that the plays make to directories of nodes that do not run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::{find_program, run};

/// Copies a directory with everything below it; holes stay holes.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    program("cp", &["-a", "--sparse=auto", &from.to_string_lossy(), &to.to_string_lossy()])
}

/// Removes a directory with everything below it; one that is not there is none.
pub(super) fn remove(dir: &Path) -> Result<()> {
    program("rm", &["-rf", &dir.to_string_lossy()])
}

fn program(name: &str, args: &[&str]) -> Result<()> {
    let path = find_program(name).with_context(|| format!("no {name} on the PATH"))?;
    run(&path, args, |_| ())?.good(name)?;
    Ok(())
}

/// A directory beside a node's own, on the same disk.
pub(super) fn beside(data: &Path, name: &str) -> PathBuf {
    data.with_file_name(name)
}
