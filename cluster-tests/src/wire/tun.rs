//! A namespace with a TUN device. A process of `faults/kernel.c` keeps both, and dies with this one.
//!
//! The process opens the device within its namespace and says the number of its descriptor; this one copies the descriptor
//! (`pidfd_getfd`), which needs no call that safe Rust cannot make. `ip` gives the device its address.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use tempfile::TempDir;

use crate::process::{HANG, Running, find_program, run, scratch};

const DEVICE: &str = "wire0";
/// A burst of one sender fits before the switch reads it.
const QUEUE: &str = "2000";

/// The compiled C program.
pub struct Tool {
    dir: TempDir,
}

impl Tool {
    /// Compiles it; the error says what is missing.
    pub fn build() -> Result<Tool> {
        let cc = find_program("cc").context("no C compiler: install gcc or clang")?;
        let tool = Tool { dir: scratch()? };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/faults/kernel.c");
        run(&cc, &["-O1", "-o", &tool.path().to_string_lossy(), source], |_| ())?.good("cc kernel.c")?;
        Ok(tool)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("kernel")
    }

    /// Cuts the power of the file system at this path.
    pub fn power_cut(&self, path: &Path) -> Result<()> {
        run(&self.path(), &["shutdown", &path.to_string_lossy()], |_| ())?.good("the shutdown of a disk")?;
        Ok(())
    }
}

/// One end of the wire. Drop ends its namespace, once no other process is in it.
pub(super) struct End {
    holder: Running,
    own: bool,
}

impl End {
    /// Makes an end with this address, in a new namespace or in that of this process.
    pub(super) fn new(tool: &Tool, address: &str, own: bool) -> Result<(End, File)> {
        let path = tool.path();
        let program = if own { find_program("unshare").context("no unshare")? } else { path.clone() };
        let path = path.to_string_lossy();
        let args: &[&str] = if own { &["--net", &path, "tun", DEVICE] } else { &["tun", DEVICE] };
        let holder = Running::start(&program, args)?;
        let said = holder.out.wait_for("tun ", 0, HANG);
        let said = said.ok_or_else(|| anyhow!("no TUN device: {}", holder.err.tail(3).trim()))?;
        let fd: i32 = said.trim_start_matches("tun ").trim().parse().context("no descriptor")?;
        let pid = i32::try_from(holder.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        let process = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open")?;
        let tun = pidfd_getfd(&process, fd, PidfdGetfdFlags::empty()).context("pidfd_getfd")?;
        fcntl_setfl(&tun, OFlags::RDWR | OFlags::NONBLOCK).context("a TUN that does not block")?;
        let end = End { holder, own };
        end.ip(&["link", "set", "lo", "up"])?;
        end.ip(&["addr", "add", &format!("{address}/24"), "dev", DEVICE])?;
        end.ip(&["link", "set", DEVICE, "txqueuelen", QUEUE, "up"])?;
        Ok((end, File::from(tun)))
    }

    /// The program and arguments that start another one in this namespace.
    pub(super) fn wrap(&self) -> Vec<String> {
        if !self.own {
            return Vec::new();
        }
        vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.holder.id()), "--".to_owned()]
    }

    fn ip(&self, args: &[&str]) -> Result<()> {
        let wrap = self.wrap();
        let all: Vec<&str> =
            wrap.iter().map(String::as_str).chain(["ip"]).chain(args.iter().copied()).collect();
        let (program, args) = all.split_first().context("no program")?;
        let program = find_program(program).with_context(|| format!("no {program}"))?;
        run(&program, args, |_| ())?.good("ip")?;
        Ok(())
    }
}
