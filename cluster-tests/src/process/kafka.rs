//! Apache Kafka itself, as the reference: one node (KRaft) from Maven's jars, on free ports and a temporary directory.
//!
//! ```text
//!   format    kafka.tools.StorageTool, node 1, with the features of a new cluster
//!   start     kafka.Kafka; two ports that were free a moment ago: taken by another in between, two others are tried
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

use anyhow::{Result, bail};
use tempfile::TempDir;

use super::wire::{RETRY, Wire};
use super::{HANG, launch, run, scratch};

/// Any id will do.
const CLUSTER: &str = "Y2FsbGJvYXJkLXRvb2xzIQ";
const ATTEMPTS: u32 = 3;

/// A running node of Apache Kafka. Drop kills it.
pub struct Kafka {
    child: Child,
    addr: SocketAddr,
    dir: TempDir,
}

impl Kafka {
    /// Starts Kafka from the jars of `class_path` and waits until it serves.
    pub fn start(java: &Path, class_path: &str, settings: &[&str]) -> Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::attempt(java, class_path, settings) {
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
                Ok(kafka) => return Ok(kafka),
            }
        }
    }

    fn attempt(java: &Path, class_path: &str, settings: &[&str]) -> Result<Self> {
        let dir = scratch()?;
        let (kafka, controller) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let (addr, controller_port) = (kafka.local_addr()?, controller.local_addr()?.port());
        drop((kafka, controller));
        let file = dir.path().join("server.properties");
        std::fs::write(&file, properties(dir.path(), addr, controller_port, settings))?;
        let file = file.to_string_lossy().into_owned();
        let format = ["format", "--standalone", "--cluster-id", CLUSTER, "--config", &file];
        let args = [&["-cp", class_path, "kafka.tools.StorageTool"], &format[..]].concat();
        run(java, &args, |_| ())?.good("kafka.tools.StorageTool format")?;
        let mut command = launch::dies_with_us(java);
        command.args(["-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]);
        command.args(["-cp", class_path, "kafka.Kafka", &file]);
        let log = File::create(dir.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(dir.path());
        let mut kafka = Self { child: launch::spawn(command)?, addr, dir };
        kafka.wait_ready()?;
        Ok(kafka)
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

fn properties(dir: &Path, addr: SocketAddr, controller_port: u16, settings: &[&str]) -> String {
    let data = dir.join("data");
    let fixed = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=127.0.0.1:{controller_port}\n\
         listeners=PLAINTEXT://{addr},CONTROLLER://127.0.0.1:{controller_port}\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
         offsets.topic.replication.factor=1\n",
        data.display()
    );
    settings.iter().fold(fixed, |text, setting| text + setting + "\n")
}
