//! Apache Kafka itself, as the reference: nodes (KRaft) from Maven's jars, on free ports and temporary directories.
//!
//! ```text
//!   format    kafka.tools.StorageTool, with the features of a new cluster; several nodes know each other as voters
//!   start     kafka.Kafka; ports that were free a moment ago: taken by another in between, others are tried
//!   ready     when it answers ApiVersions
//!   drop      killed with its process group; its directory is removed
//! ```
//!
//! The suites ask this Kafka and never change it, because its behaviour is the reference.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::wire::{RETRY, Wire};
use super::{HANG, launch, run, scratch};

/// Any id will do.
const CLUSTER: &str = "Y2FsbGJvYXJkLXRvb2xzIQ";
const ATTEMPTS: u32 = 3;
const PROPERTIES: &str = "server.properties";

/// A node of Apache Kafka. Drop kills it.
pub struct Kafka {
    child: Child,
    addr: SocketAddr,
    dir: TempDir,
}

/// One node's place among the voters, while none runs yet.
struct Seat {
    id: usize,
    addr: SocketAddr,
    controller: SocketAddr,
}

impl Kafka {
    /// Starts one node from the jars of `class_path` and waits until it serves.
    pub fn start(java: &Path, class_path: &str, settings: &[&str]) -> Result<Self> {
        let settings = [&["offsets.topic.replication.factor=1"], settings].concat();
        let nodes = Self::start_all(java, class_path, 1, &settings, &["--standalone"])?;
        nodes.into_iter().next().context("the one node")
    }

    /// Starts so many nodes as one cluster, each of them broker and voter, with the ids 1, 2 and so on. `format` are further
    /// words of StorageTool; without `--standalone` among them the nodes are the voters.
    pub fn start_all(
        java: &Path,
        class_path: &str,
        count: usize,
        settings: &[&str],
        format: &[&str],
    ) -> Result<Vec<Self>> {
        let mut attempt = 1;
        loop {
            match Self::attempt(java, class_path, count, settings, format) {
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
                Ok(nodes) => return Ok(nodes),
            }
        }
    }

    fn attempt(
        java: &Path,
        class_path: &str,
        count: usize,
        settings: &[&str],
        format: &[&str],
    ) -> Result<Vec<Self>> {
        let free = || TcpListener::bind("127.0.0.1:0");
        // All ports are held until each has been drawn, so that no two nodes get the same.
        let held = (0..count).map(|_| Ok((free()?, free()?))).collect::<Result<Vec<_>>>()?;
        let seat = |(n, (kafka, controller)): (usize, &(TcpListener, TcpListener))| {
            Ok(Seat { id: n + 1, addr: kafka.local_addr()?, controller: controller.local_addr()? })
        };
        let seats = held.iter().enumerate().map(seat).collect::<Result<Vec<_>>>()?;
        drop(held);
        let start = |seat: &Seat| {
            let dir = scratch()?;
            let file = dir.path().join(PROPERTIES);
            std::fs::write(&file, properties(dir.path(), seat, &seats, settings))?;
            make(java, class_path, &file, &seats, format)?;
            Ok(Self { child: spawn(java, class_path, dir.path())?, addr: seat.addr, dir })
        };
        let mut nodes = seats.iter().map(start).collect::<Result<Vec<_>>>()?;
        nodes.iter_mut().try_for_each(Self::wait_ready)?;
        Ok(nodes)
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill9(&mut self) -> Result<()> {
        launch::kill_group(&mut self.child)?;
        Ok(())
    }

    /// Starts a node that has ended, on the same ports and directory, and waits until it serves.
    pub fn restart(&mut self, java: &Path, class_path: &str) -> Result<()> {
        self.child = spawn(java, class_path, self.dir.path())?;
        self.wait_ready()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the reference Kafka ended with {status}:\n{}", self.log());
            }
            // Another process that has taken the port would not list the key of UnregisterBroker.
            if Wire::connect(self.addr).and_then(|mut wire| wire.lists(64)).is_ok_and(|listed| listed) {
                return Ok(());
            }
            if begun.elapsed() > HANG {
                bail!("the reference Kafka does not serve:\n{}", self.log());
            }
            std::thread::sleep(RETRY);
        }
    }

    /// The log of this Kafka so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The address where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address where clients connect, as text.
    pub fn bootstrap(&self) -> String {
        self.addr.to_string()
    }

    /// A directory for a test's own files, removed with Kafka's.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // A drop has no caller to tell of an error.
        let _ = launch::kill_group(&mut self.child);
    }
}

/// Makes a node's directory that of a voter.
fn make(java: &Path, class_path: &str, file: &Path, seats: &[Seat], format: &[&str]) -> Result<()> {
    // The directories of the voters have any ids that are Kafka's base64 of 16 bytes.
    let voter = |seat: &Seat| format!("{}@{}:callboard-voter-{:05}w", seat.id, seat.controller, seat.id);
    let voters = seats.iter().map(voter).collect::<Vec<_>>().join(",");
    let file = file.to_string_lossy();
    let tool = ["-cp", class_path, "kafka.tools.StorageTool", "format"];
    let common = ["--cluster-id", CLUSTER, "--config", &file];
    let quorum = ["--initial-controllers", &voters];
    let quorum = if format.contains(&"--standalone") { &[][..] } else { &quorum };
    let args = [&tool[..], &common, quorum, format].concat();
    run(java, &args, |_| ())?.good("kafka.tools.StorageTool format")?;
    Ok(())
}

fn spawn(java: &Path, class_path: &str, dir: &Path) -> Result<Child> {
    let mut command = launch::dies_with_us(java);
    command.args(["-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]);
    command.args(["-cp", class_path, "kafka.Kafka"]).arg(dir.join(PROPERTIES));
    let log = File::options().create(true).append(true).open(dir.join("log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(dir);
    launch::spawn(command)
}

fn properties(dir: &Path, seat: &Seat, seats: &[Seat], settings: &[&str]) -> String {
    let voters: Vec<String> = seats.iter().map(|seat| seat.controller.to_string()).collect();
    let fixed = format!(
        "process.roles=broker,controller\nnode.id={}\ncontroller.quorum.bootstrap.servers={}\n\
         listeners=PLAINTEXT://{},CONTROLLER://{}\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n",
        seat.id,
        voters.join(","),
        seat.addr,
        seat.controller,
        dir.join("data").display()
    );
    settings.iter().fold(fixed, |text, setting| text + setting + "\n")
}
