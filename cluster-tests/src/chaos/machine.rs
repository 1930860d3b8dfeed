//! The abilities of this machine, found out by trying: namespaces with a wire, disks on loop devices, a broken disk, another clock.
//!
//! Each fault names what it needs (`Need`). A need that cannot be met has a reason in words, so a run says what it leaves out.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::disk::Disk;
use crate::process::faults::Faults;
use crate::process::{find_program, scratch};
use crate::wire::{Lan, Tool, way, within};

/// A thing that a fault needs of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Network namespaces with TUN devices.
    Wire,
    /// ext4 on loop devices, which only root may mount.
    Disks,
    /// The program `fsfreeze`, and disks.
    Freeze,
    /// A C compiler and seccomp notifications.
    Faults,
    /// libfaketime, which tells a process another wall clock.
    Clock,
}

/// The means that were found, or why each of them is missing.
pub struct Machine {
    tool: Result<Tool, String>,
    wire: Result<(), String>,
    disks: Result<(), String>,
    faults: Result<(), String>,
    clock: Result<PathBuf, String>,
}

impl Machine {
    /// Tries each of them once, and leaves nothing behind.
    #[must_use]
    pub fn look() -> Machine {
        let words =
            |error: anyhow::Error| format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
        let tool = Tool::build().map_err(words);
        let inside = if within() {
            Ok(())
        } else {
            Err(way().err().unwrap_or_else(|| "not within namespaces".into()))
        };
        let tried = |tool: &Tool| Lan::start(tool, 1, 0).map(drop).map_err(words);
        let ready = inside.and(tool.as_ref().map_err(Clone::clone));
        let wire = ready.clone().and_then(tried);
        let disks = ready.and_then(|_| disk().map_err(words));
        let faults = match Faults::build() {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("no C compiler, or no seccomp notifications".to_owned()),
            Err(error) => Err(words(error)),
        };
        Machine { tool, wire, disks, faults, clock: clock().map_err(words) }
    }

    /// Why a need cannot be met here.
    #[must_use]
    pub fn lacks(&self, need: Need) -> Option<String> {
        let freeze =
            || find_program("fsfreeze").map(drop).ok_or_else(|| "no fsfreeze on the PATH".to_owned());
        let met = match need {
            Need::Wire => self.wire.clone(),
            Need::Disks => self.disks.clone(),
            Need::Freeze => self.disks.clone().and_then(|()| freeze()),
            Need::Faults => self.faults.clone(),
            Need::Clock => self.clock.clone().map(drop),
        };
        met.err()
    }

    /// The program for what safe Rust cannot do.
    pub fn tool(&self) -> Result<&Tool> {
        self.tool.as_ref().map_err(|why| anyhow::anyhow!("{why}"))
    }

    /// The library that tells another time.
    pub fn clock(&self) -> Result<&PathBuf> {
        self.clock.as_ref().map_err(|why| anyhow::anyhow!("{why}"))
    }
}

fn disk() -> Result<()> {
    let dir = scratch()?;
    let mut disk =
        Disk::new(dir.path(), "tried").context("a disk on a loop device, which only root may mount")?;
    disk.unmount()
}

/// Debian, Fedora and a build of one's own put it in different places.
fn clock() -> Result<PathBuf> {
    const NAME: &str = "faketime/libfaketimeMT.so.1";
    let roots = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    let mut places: Vec<PathBuf> = roots.to_vec();
    for root in &roots {
        places.extend(std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    let found = places.into_iter().map(|place| place.join(NAME)).find(|path| path.is_file());
    found.context("no libfaketimeMT.so.1: install libfaketime")
}
