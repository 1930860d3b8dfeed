//! Clients that users have, as processes. [`need`] says whether one is installed; [`run`] runs one to its end, and
//! [`Running`] runs one beside the test.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::programs::find_program;
use super::{HANG, Lines, launch};

/// A client that takes longer counts as hung. The slowest, Java, takes a minute on a slow machine.
const LIMIT: Duration = Duration::from_secs(600);

/// Writes to the real stderr, because the test harness swallows the `eprintln!` of a passing test.
pub fn say(line: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Whether a suite can run. A missing client prints a line on a developer's machine, and is a failure in CI.
pub fn need<T>(suite: &str, what: &str, found: Option<T>) -> Result<Option<T>> {
    let found = verdict(suite, what, found, std::env::var_os("CALLBOARD_CI").is_some_and(|v| v == "1"))?;
    if found.is_none() {
        say(&format!("SKIPPED {suite}: it needs {what} (.ci/run installs it)"));
    }
    Ok(found)
}

fn verdict<T>(suite: &str, what: &str, found: Option<T>, ci: bool) -> Result<Option<T>> {
    if found.is_none() && ci {
        bail!("{suite} needs {what}, which is missing; CALLBOARD_CI=1 lets nothing be skipped");
    }
    Ok(found)
}

/// The Python that has a package: `CALLBOARD_PYTHON`, else `python3`.
pub fn find_python(package: &str) -> Option<PathBuf> {
    let python =
        std::env::var_os("CALLBOARD_PYTHON").map(PathBuf::from).or_else(|| find_program("python3"))?;
    let found = run(&python, &["-c", &format!("import {package}")], |_| ()).ok()?;
    found.status.success().then_some(python)
}

/// A temporary directory that lasts as long as the value.
pub fn scratch() -> Result<TempDir> {
    tempfile::Builder::new().prefix("callboard-test-").tempdir().context("a temporary directory")
}

/// The end of a client, and its whole output.
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Finished {
    /// The stdout of a client that ended well; else an error that shows both streams.
    pub fn good(self, what: &str) -> Result<Vec<u8>> {
        if !self.status.success() {
            let (out, err) = (String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr));
            let out: String = out.chars().take(4_000).collect();
            bail!("{what} ended with {}\n--- stdout\n{out}\n--- stderr\n{err}", self.status);
        }
        Ok(self.stdout)
    }
}

/// Runs a program to its end. Output goes through files, because a pipe can fill up.
pub fn run(program: &Path, args: &[&str], configure: impl FnOnce(&mut Command)) -> Result<Finished> {
    let dir = scratch()?;
    let (out, err) = (dir.path().join("stdout"), dir.path().join("stderr"));
    let mut command = launch::dies_with_us(program);
    command.args(args).stdin(Stdio::null());
    configure(&mut command);
    command.stdout(File::create(&out)?).stderr(File::create(&err)?);
    let mut child = launch::spawn(command)?;
    let status = launch::wait_end(&mut child, LIMIT)?;
    if status.is_none() {
        launch::kill_group(&mut child)?;
    }
    let (stdout, stderr) = (std::fs::read(&out)?, std::fs::read(&err)?);
    let Some(status) = status else {
        bail!("{} {args:?} hangs; it wrote\n{}", program.display(), String::from_utf8_lossy(&stderr));
    };
    Ok(Finished { status, stdout, stderr })
}

/// A program that runs beside the test. Drop kills it.
pub struct Running {
    child: Child,
    pub out: Lines,
    pub err: Lines,
}

impl Running {
    /// Starts the program and returns at once.
    pub fn start(program: &Path, args: &[&str]) -> Result<Self> {
        let mut command = launch::dies_with_us(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = launch::spawn(command)?;
        let out = Lines::follow(child.stdout.take().context("its stdout")?);
        let err = Lines::follow(child.stderr.take().context("its stderr")?);
        Ok(Self { child, out, err })
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL. All output has been read when this returns.
    pub fn kill9(&mut self) -> Result<()> {
        launch::kill_group(&mut self.child)?;
        self.out.wait_end(HANG);
        Ok(())
    }

    /// Sends SIGINT, on which the program must end with success.
    pub fn interrupt(&mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::INT).context("SIGINT")?;
        let status = launch::wait_end(&mut self.child, HANG)?;
        self.out.wait_end(HANG);
        match status {
            Some(status) if status.success() => Ok(()),
            ended => bail!("SIGINT: {ended:?}; it wrote\n{}", self.err.tail(20)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A drop has no caller to tell of an error.
        let _ = launch::kill_group(&mut self.child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_client_fails_in_ci_and_is_skipped_elsewhere() {
        assert!(verdict::<()>("suite", "nothing", None, false).unwrap().is_none());
        assert!(verdict::<()>("suite", "nothing", None, true).is_err());
        assert_eq!(verdict("suite", "something", Some(1), true).unwrap(), Some(1));
    }

    #[test]
    fn a_failing_program_shows_what_it_wrote() {
        let sh = find_program("sh").unwrap();
        let good = run(&sh, &["-c", "echo out; echo err >&2"], |_| ()).unwrap();
        assert_eq!(good.good("sh").unwrap(), b"out\n");
        let bad = run(&sh, &["-c", "echo out; echo reason >&2; exit 3"], |_| ()).unwrap();
        let error = bad.good("sh").unwrap_err().to_string();
        assert!(error.contains("reason") && error.contains('3'), "{error}");
    }
}
