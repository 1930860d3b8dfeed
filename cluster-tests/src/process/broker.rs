//! One broker process with a data directory of its own. A test starts it as a user does, and kills it as a machine does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{HANG, Lines, launch};

/// Words of the log line that says that the broker serves. The space keeps out "already in use".
const READY: &str = " ready in";

/// Options of a broker's start. Its ports are free ones.
#[derive(Clone, Debug)]
pub struct Options {
    pub shards: u32,
    pub durability: &'static str,
    /// `None` takes a new temporary directory of the broker's own.
    pub data: Option<PathBuf>,
    /// A program and its arguments that start the binary; the binary's path follows them.
    pub wrap: Vec<String>,
    /// The value of `--kafka`, if not a free port of this machine. The broker's address is that of the first listener.
    pub listeners: Option<String>,
    /// Environment variables of the broker (`CALLBOARD_…`), for further settings.
    pub env: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shards: 1,
            durability: "fsync",
            data: None,
            wrap: Vec::new(),
            listeners: None,
            env: Vec::new(),
        }
    }
}

impl Options {
    /// Adds an environment variable of the broker.
    pub fn with_env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A broker, running or not. Drop kills it and removes its directory.
pub struct Broker {
    options: Options,
    dir: TempDir,
    /// Where clients connect. The first start takes a free port; later starts take the same.
    addr: Option<SocketAddr>,
    child: Option<Child>,
    lines: Lines,
}

impl Broker {
    /// Starts a broker on a new directory and waits until it serves.
    pub fn start(options: Options) -> Result<Self> {
        let mut broker = Self::new(options)?;
        broker.launch()?;
        broker.wait_ready()?;
        Ok(broker)
    }

    /// Makes a broker that does not run yet, and its directory.
    pub fn new(options: Options) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("callboard-test-")
            .tempdir()
            .context("a directory for the broker")?;
        Ok(Self { options, dir, addr: None, child: None, lines: Lines::default() })
    }

    /// Starts the process and returns at once, for tests that act before it serves.
    pub fn launch(&mut self) -> Result<()> {
        if self.child.is_some() {
            bail!("the broker runs already");
        }
        let free = || "127.0.0.1:0".to_owned();
        let kafka = match &self.options.listeners {
            Some(listeners) => listeners.clone(),
            None => self.addr.map_or_else(free, |addr| addr.to_string()),
        };
        let binary = launch::binary()?;
        let mut command = match self.options.wrap.split_first() {
            None => launch::dies_with_us(&binary),
            Some((first, rest)) => {
                let mut command = launch::dies_with_us(Path::new(first));
                command.args(rest).arg(&binary);
                command
            }
        };
        command.arg("start").arg("--data").arg(self.data());
        command.args(["--kafka", &kafka, "--durability", self.options.durability]);
        command.arg("--shards").arg(self.options.shards.to_string());
        for (name, _) in std::env::vars_os() {
            // These steer the suites, and are no configuration of the broker.
            if name.to_string_lossy().starts_with("CALLBOARD_") {
                command.env_remove(name);
            }
        }
        // A free port, as for Kafka, unless the test sets one.
        command.env("CALLBOARD_HTTP", "127.0.0.1:0");
        // A machine that runs many brokers at once has no GiB of reserve for each.
        command.env("CALLBOARD_DISK_RESERVE_BYTES", "1048576");
        command.env("RUST_LOG", "info").env("NO_COLOR", "1").envs(self.options.env.iter().cloned());
        command.current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = launch::spawn(command)?;
        self.lines = Lines::follow(child.stderr.take().context("the broker's stderr")?);
        self.child = Some(child);
        Ok(())
    }

    /// Where the broker serves metrics and health. This run's log says it early in the start.
    pub fn http(&mut self) -> Result<SocketAddr> {
        const SERVES: &str = "listening for http on ";
        let line = self.wait_line(SERVES)?;
        let addr = line.split(SERVES).nth(1).unwrap_or_default().trim();
        addr.parse().with_context(|| format!("no address in the broker's line: {line}"))
    }

    /// Waits for two log lines: the address on which the broker listens, and that it serves.
    pub fn wait_ready(&mut self) -> Result<()> {
        const LISTENS: &str = "listening for kafka clients on ";
        let line = self.wait_line(LISTENS)?;
        self.wait_line(READY)?;
        let place =
            line.split(LISTENS).nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
        // The bracket belongs to an IPv6 address.
        let addr = place.trim_matches(|c: char| !c.is_ascii_digit() && c != '[');
        let addr: SocketAddr =
            addr.parse().with_context(|| format!("no address in the broker's line: {line}"))?;
        match self.addr {
            Some(before) if before != addr => bail!("restarted for {before}, the broker listens on {addr}"),
            _ => self.addr = Some(addr),
        }
        Ok(())
    }

    fn wait_line(&mut self, text: &str) -> Result<String> {
        self.lines.wait_for(text, 0, HANG).ok_or_else(|| self.broken(&format!("it did not say `{text}`")))
    }

    /// An error that shows the broker's last lines.
    pub fn broken(&mut self, what: &str) -> anyhow::Error {
        let state = match self.child.as_mut().map(Child::try_wait) {
            None => "not running".to_owned(),
            Some(Ok(Some(status))) => format!("ended with {status}"),
            Some(Ok(None)) => "running".to_owned(),
            Some(Err(error)) => format!("not to be asked: {error}"),
        };
        anyhow!("the broker ({state}): {what}; its last lines:\n{}", self.lines.tail(60))
    }

    /// Whether the process still runs.
    pub fn running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Whether no process runs. One that has ended by itself is forgotten, so that the broker can be started again.
    pub fn gone(&mut self) -> bool {
        if !self.running() {
            self.child = None;
        }
        self.child.is_none()
    }

    /// The address where clients connect.
    pub fn addr(&self) -> SocketAddr {
        // Known as soon as `start` has returned.
        self.addr.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The address where clients connect, as text.
    pub fn bootstrap(&self) -> String {
        self.addr().to_string()
    }

    /// Sets an environment variable for the next starts.
    pub fn set_env(&mut self, name: &str, value: impl ToString) {
        self.options.env.retain(|(known, _)| known != name);
        self.options.env.push((name.to_owned(), value.to_string()));
    }

    /// Sets the program and arguments that start the binary from the next start on.
    pub fn set_wrap(&mut self, wrap: Vec<String>) {
        self.options.wrap = wrap;
    }

    /// The data directory of this broker.
    pub fn data(&self) -> PathBuf {
        self.options.data.clone().unwrap_or_else(|| self.dir.path().join("data"))
    }

    /// Bytes of memory that the process has in use now (`VmRSS`).
    pub fn resident(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// Bytes of memory that the process had in use at most (`VmHWM`).
    pub fn resident_at_most(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, what: &str) -> Result<u64> {
        let pid = self.child.as_ref().context("the broker does not run")?.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(what)).context("no such line")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().context("no number")?;
        Ok(kib * 1024)
    }

    /// The process id, while the broker runs.
    pub fn pid(&self) -> Option<Pid> {
        self.child.as_ref().map(Pid::from_child)
    }

    /// A directory for a test's own files, removed with the broker's.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The log of this run.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Sends SIGKILL to the process group; returns when the process is gone and all its log has been read.
    pub fn kill9(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the broker does not run")?;
        if let Some(status) = child.try_wait()? {
            return Err(self.broken(&format!("it ended by itself with {status}")));
        }
        launch::kill_group(&mut child)?;
        if !self.lines.wait_end(HANG) {
            bail!("something that the broker started outlived its process group");
        }
        Ok(())
    }

    /// Starts the broker again on the same port and directory and waits until it serves.
    pub fn restart(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_ready()
    }

    /// Starts the broker where it must refuse to start; returns its exit code and its log.
    pub fn refuses(&mut self) -> Result<(Option<i32>, String)> {
        self.launch()?;
        let mut child = self.child.take().context("the broker does not run")?;
        let ready = self.lines.wait_for(READY, 0, HANG).is_some();
        if ready {
            launch::kill_group(&mut child)?;
            return Err(self.broken("it started where it must refuse to"));
        }
        let Some(status) = launch::wait_end(&mut child, HANG)? else {
            launch::kill_group(&mut child)?;
            return Err(self.broken("it neither serves nor ends"));
        };
        self.lines.wait_end(HANG);
        Ok((status.code(), self.lines.tail(usize::MAX)))
    }

    /// Waits until the broker ends by itself; returns its exit code and its log.
    pub fn ends(&mut self) -> Result<(Option<i32>, String)> {
        let mut child = self.child.take().context("the broker does not run")?;
        let Some(status) = launch::wait_end(&mut child, HANG)? else {
            launch::kill_group(&mut child)?;
            return Err(self.broken("it did not end by itself"));
        };
        self.lines.wait_end(HANG);
        Ok((status.code(), self.lines.tail(usize::MAX)))
    }

    /// Sends SIGTERM and waits for an orderly end, which must have exit code 0.
    pub fn stop(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the broker does not run")?;
        kill_process(Pid::from_child(&child), Signal::TERM).context("SIGTERM to the broker")?;
        let Some(status) = launch::wait_end(&mut child, HANG)? else {
            launch::kill_group(&mut child)?;
            return Err(self.broken("it did not end on SIGTERM"));
        };
        if !status.success() {
            self.lines.wait_end(HANG);
            return Err(self.broken(&format!("SIGTERM ended it with {status}, not with exit code 0")));
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A drop has no caller to tell of an error.
            let _ = launch::kill_group(&mut child);
        }
        if std::thread::panicking() {
            super::say(&format!("the broker's last lines:\n{}", self.lines.tail(40)));
        }
    }
}
