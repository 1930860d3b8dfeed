//! Starts child processes, and keeps a child from outliving the test.
//!
//! Each child leads a process group of its own, so that one signal reaches all that it has started. A child also asks the
//! kernel (through `setpriv --pdeathsig`) to be killed when its parent ends, so a killed test leaves nothing behind. The
//! kernel takes the *thread* that forked for the parent. So one thread, which lives as long as the process, does all forks.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::programs::find_program;

/// The broker's binary: `CALLBOARD_BIN`, else the one that cargo built beside this program.
pub fn binary() -> Result<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(|| locate().map_err(|e| format!("{e:#}"))).clone().map_err(anyhow::Error::msg)
}

fn locate() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CALLBOARD_BIN") {
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!("CALLBOARD_BIN names {}, which is not a file", path.display());
        }
        return Ok(path);
    }
    let exe = std::env::current_exe().context("the path of this program")?;
    let dir = exe.parent().context("this program lies in no directory")?;
    // A test lies in target/<profile>/deps; the command lies one level higher.
    let profile_dir = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
    let path = profile_dir.join("callboard");
    if !path.is_file() {
        build(profile_dir)?;
    }
    if !path.is_file() {
        bail!("no broker at {}: build it with `cargo build -p callboard`", path.display());
    }
    Ok(path)
}

/// Builds the broker if the tests of one package run by themselves; `cargo test --workspace` has built it before.
fn build(profile_dir: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--package", "callboard", "--bin", "callboard"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    if let Some(target) = profile_dir.parent() {
        command.arg("--target-dir").arg(target);
    }
    if profile_dir.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status().context("cargo build -p callboard")?;
    if !status.success() {
        bail!("cargo build -p callboard ended with {status}");
    }
    Ok(())
}

type Job = (Command, Sender<io::Result<Child>>);

/// Spawns `command` as described above.
pub(super) fn spawn(mut command: Command) -> Result<Child> {
    static FORKER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let forker = FORKER.get_or_init(|| {
        let (jobs, queue) = channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in queue {
                // The asker waits for the answer; an asker that is gone needs none.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(jobs)
    });
    command.process_group(0);
    let what = format!("{command:?}");
    let (answer, child) = channel();
    let jobs = forker.lock().map_err(|_| anyhow::anyhow!("the forking thread has failed"))?.clone();
    jobs.send((command, answer)).context("the forking thread has ended")?;
    child.recv().context("the forking thread has ended")?.with_context(|| format!("could not start {what}"))
}

/// A command whose process is killed when this process ends, where the system can do that.
pub(super) fn dies_with_us(program: &Path) -> Command {
    static SETPRIV: OnceLock<Option<PathBuf>> = OnceLock::new();
    let setpriv = SETPRIV.get_or_init(|| find_program("setpriv").filter(|path| knows_pdeathsig(path)));
    match setpriv {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

fn knows_pdeathsig(setpriv: &Path) -> bool {
    Command::new(setpriv)
        .args(["--pdeathsig", "KILL", "--", "true"])
        .output()
        .is_ok_and(|o| o.status.success())
}

/// Sends SIGKILL to the child and all that it started, and waits for its end.
pub(super) fn kill_group(child: &mut Child) -> io::Result<ExitStatus> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    // The child has not been waited for, so the process id is still its own.
    kill_process_group(Pid::from_child(child), Signal::KILL)?;
    child.wait()
}

/// Waits for a child's end; `None` when it hangs.
pub(super) fn wait_end(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() > limit {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
