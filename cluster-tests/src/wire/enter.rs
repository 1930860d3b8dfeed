//! Runs this program again within a network and a mount namespace of its own, so that the kernel takes down what it leaves.
//!
//! ```text
//!   outer   makes a scratch directory ──> unshare … inner ──> waits ──> removes the directory
//!   inner   all children die with it (`launch`), the namespaces with them, mounts with these, loop devices with the mounts
//! ```
//! Neither a panic nor kill -9 of the inner process leaves more than files; the outer process removes them. If it is killed
//! too, the next run's `cleanup` does. Root needs no user namespace; a user gets one, and may mount no images there.

use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::process::{find_program, run};

/// Set in the inner process.
const WITHIN: &str = "CALLBOARD_TEST_WITHIN_WIRE";
/// Time between two looks whether the inner process has ended.
const LOOK: Duration = Duration::from_millis(50);
const PREFIX: &str = "callboard-faults-";
/// A network with a TUN device, as the inner process will make it.
const TRY: &str = "ip link set lo up && ip tuntap add dev wire0 mode tun && ip link set wire0 up";

/// For root, and for a user who gets a user namespace with the others.
const FLAGS: [&str; 2] = ["-mn", "-rmn"];

/// Whether this is the inner process.
#[must_use]
pub fn within() -> bool {
    std::env::var_os(WITHIN).is_some()
}

/// The arguments of `unshare` that this machine allows, or why it allows none.
pub fn way() -> Result<&'static str, String> {
    let unshare = find_program("unshare").ok_or("no unshare on the PATH")?;
    for program in ["ip", "nsenter", "setpriv", "sh"] {
        find_program(program).ok_or_else(|| format!("no {program} on the PATH"))?;
    }
    let mut why = String::new();
    for flags in FLAGS {
        match run(&unshare, &[flags, "sh", "-c", TRY], |_| ()) {
            Ok(done) if done.status.success() => return Ok(flags),
            Ok(done) => why = String::from_utf8_lossy(&done.stderr).trim().to_owned(),
            Err(error) => why = format!("{error:#}"),
        }
    }
    Err(format!("this machine lets this user make no networks with a TUN device (unshare {FLAGS:?}): {why}"))
}

/// A directory for all files of an inner process.
pub fn scratch() -> Result<TempDir> {
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir().context("a directory for the faults")
}

/// Removes directories of processes that have ended without doing so.
pub fn cleanup() -> Vec<String> {
    let Ok(all) = std::fs::read_dir(std::env::temp_dir()) else { return Vec::new() };
    let mut removed = Vec::new();
    for entry in all.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let Some(owner) = owner.and_then(|owner| owner.parse::<u32>().ok()) else { continue };
        let gone = !Path::new("/proc").join(owner.to_string()).exists();
        if gone && std::fs::remove_dir_all(entry.path()).is_ok() {
            removed.push(name);
        }
    }
    removed
}

/// Runs this program with these arguments in namespaces of its own; what it writes goes where this one writes.
///
/// SIGINT and SIGTERM end the inner process, and this one lives on to clean up.
pub fn again(way: &str, scratch: &Path, args: &[&str]) -> Result<ExitStatus> {
    let unshare = find_program("unshare").context("no unshare")?;
    let this = std::env::current_exe().context("the path of this program")?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(unshare).arg(way).arg(this).args(args);
    command.env(WITHIN, "1").env("TMPDIR", scratch);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // The thread that forks lives as long as the child: the kernel ties the child to it.
        let mut child = command.spawn().context("this program, within namespaces")?;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            tokio::select! {
                _ = interrupt.recv() => child.kill()?,
                _ = terminate.recv() => child.kill()?,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    })
}
