//! A node's disk: an ext4 file system in a file, on a loop device, which can lose its power, fill up or hang.
//!
//! ```text
//!   power cut   SIGSTOP the node ── 150 ms ── shutdown without a flush of the journal ── kill -9 ── unmount … mount, reboot
//! ```
//! The pause and the quiet time keep a write of the same instant from racing the cut. The mount belongs to a namespace of
//! this run (`wire/enter.rs`), and the loop device goes with the mount. Torn and reordered writes are not made here.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::reboot::reboot;
use crate::process::{HANG, find_program, run};
use crate::wire::Tool;

/// The image is sparse, so it takes what is written to it.
const SIZE: &str = "4G";
const RETRY: Duration = Duration::from_millis(50);
/// Freezes, and thaws when its input ends, however the process at the other end of the pipe has ended.
const FREEZE: &str =
    r#"trap "" INT TERM HUP; fsfreeze -f "$0" || exit 1; echo frozen; read -r _; fsfreeze -u "$0""#;

/// A disk in a file; drop removes it.
pub struct Disk {
    image: PathBuf,
    at: PathBuf,
    mounted: bool,
    /// Whether a power cut has ended it since it was mounted last.
    cut: bool,
}

impl Disk {
    /// Makes and mounts a disk in this directory.
    pub fn new(dir: &Path, name: &str) -> Result<Disk> {
        let disk =
            Disk { image: dir.join(format!("{name}.img")), at: dir.join(name), mounted: false, cut: false };
        std::fs::create_dir_all(&disk.at)?;
        let image = disk.image.to_string_lossy();
        program("truncate", &["-s", SIZE, &image])?;
        let lazy = "lazy_itable_init=1,lazy_journal_init=1";
        program("mkfs.ext4", &["-q", "-F", "-m", "0", "-E", lazy, &image])?;
        let mut disk = disk;
        disk.mount()?;
        Ok(disk)
    }

    /// Where a node keeps its data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.at.join("data")
    }

    /// Mounts it, if it is not mounted. The kernel replays the journal, as after a real cut, and the machine has booted.
    pub fn mount(&mut self) -> Result<()> {
        if !self.mounted {
            program("mount", &["-o", "loop", &self.image.to_string_lossy(), &self.at.to_string_lossy()])?;
            self.mounted = true;
            if std::mem::take(&mut self.cut) {
                reboot(&self.data())?;
            }
        }
        Ok(())
    }

    /// Unmounts it, once the last file on it is closed.
    pub fn unmount(&mut self) -> Result<()> {
        let until = Instant::now() + HANG;
        while self.mounted {
            match program("umount", &[&self.at.to_string_lossy()]) {
                Ok(()) => self.mounted = false,
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => std::thread::sleep(RETRY),
            }
        }
        Ok(())
    }

    /// Ends the file system as a power cut does.
    pub fn power_cut(&mut self, tool: &Tool) -> Result<()> {
        self.cut = true;
        tool.power_cut(&self.at)
    }

    /// Another program takes all free space.
    pub fn fill(&self) -> Result<()> {
        let at = self.at.to_string_lossy();
        // The largest piece first, then ever smaller ones, until not one block is free.
        let script = r#"n=0; for mib in 4096 1024 256 64 16 4 1; do
            while fallocate -l ${mib}M "$0/other.$n" 2>/dev/null; do n=$((n+1)); done; rm -f "$0/other.$n"; done
            cat /dev/zero > "$0/other.last" 2>/dev/null; true"#;
        program("sh", &["-c", script, &at])
    }

    /// Gives back the space that `fill` took.
    pub fn unfill(&self) -> Result<()> {
        program("sh", &["-c", r#"rm -f "$0"/other.*"#, &self.at.to_string_lossy()])
    }

    /// Lets every write hang until the returned value is dropped.
    pub fn freeze(&self) -> Result<Frozen> {
        let mut command = Command::new("sh");
        command.args(["-c", FREEZE]).arg(&self.at).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Neither the terminal's Ctrl-C nor the end of this process reaches it: it thaws when the pipe ends.
        let mut child = command.process_group(0).spawn().context("sh")?;
        let mut line = String::new();
        let out = child.stdout.take().context("its stdout")?;
        let frozen = Frozen(child);
        BufReader::new(out).read_line(&mut line)?;
        ensure!(line.trim() == "frozen", "fsfreeze -f did not freeze {}", self.at.display());
        Ok(frozen)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // The namespace's end unmounts what is busy now.
            let _ = program("umount", &["-l", &self.at.to_string_lossy()]);
        }
        let _ = std::fs::remove_file(&self.image);
    }
}

/// A hung disk. Drop thaws it.
pub struct Frozen(Child);

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // A shell that has ended has thawed or never frozen.
        let _ = self.0.wait();
    }
}

fn program(name: &str, args: &[&str]) -> Result<()> {
    let Some(path) = find_program(name) else { bail!("no {name} on the PATH") };
    run(&path, args, |_| ())?.good(name)?;
    Ok(())
}
