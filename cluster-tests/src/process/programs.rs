//! Programs that the suites may use, looked up on the PATH, and the directories that they install into.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The path of an executable program on the PATH, if there is one.
pub fn find_program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Waits until nobody else installs into `dir`, which is made first; others wait until the returned file is dropped.
///
/// The tests of one binary run at once, and so may several binaries: two installers in one directory spoil it.
pub fn install_alone(dir: &Path) -> Result<File> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let lock = dir.join("lock");
    let file = File::create(&lock).with_context(|| lock.display().to_string())?;
    file.lock().with_context(|| lock.display().to_string())?;
    Ok(file)
}
