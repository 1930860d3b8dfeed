//! The content of a disk, twice: as processes see it now, and as it would come back after a power cut.
//!
//! ```text
//!   file   live pages        every write, at once                 directory   live names
//!          durable pages     what a sync has confirmed                        durable names
//!          pending           writes and lengths since then                    pending creations, renames, removals
//! ```
//!
//! A power cut keeps the durable image, and no pending change, every one, or any part of them. It tears writes at 512
//! bytes, sector by sector. Of a directory's changes a first part comes through, in their order, as in journaling file
//! systems. A sync of a file does not sync its name. Directories themselves are durable when made.
//!
//! Clones share their pages. An image therefore costs next to nothing to keep, and a run can be cut everywhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::process::load::Rng;

const PAGE: usize = 4096;
/// Bytes of a sector: a disk writes them all or none.
const SECTOR: usize = 512;

/// The bytes of a file, in shared pages.
#[derive(Clone, Default)]
pub struct Pages {
    pages: Vec<Arc<[u8; PAGE]>>,
    len: u64,
}

impl Pages {
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets the length; new bytes are zeros.
    pub fn set_len(&mut self, len: u64) {
        let pages = (len as usize).div_ceil(PAGE);
        if len < self.len {
            self.pages.truncate(pages);
            let rest = len as usize % PAGE;
            if let Some(last) = self.pages.last_mut().filter(|_| rest > 0) {
                Arc::make_mut(last)[rest..].fill(0);
            }
        }
        self.pages.resize_with(pages, || Arc::new([0; PAGE]));
        self.len = len;
    }

    /// Overwrites bytes; the file grows as needed.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        let end = at + bytes.len() as u64;
        if end > self.len {
            self.set_len(end);
        }
        let (mut at, mut rest) = (at as usize, bytes);
        while !rest.is_empty() {
            let now = (PAGE - at % PAGE).min(rest.len());
            let page = Arc::make_mut(&mut self.pages[at / PAGE]);
            page[at % PAGE..at % PAGE + now].copy_from_slice(&rest[..now]);
            (at, rest) = (at + now, &rest[now..]);
        }
    }

    /// Fills `out`; false if the file ends before.
    #[must_use]
    pub fn read(&self, at: u64, out: &mut [u8]) -> bool {
        if at + out.len() as u64 > self.len {
            return false;
        }
        let mut at = at as usize;
        let mut rest = out;
        while !rest.is_empty() {
            let now = (PAGE - at % PAGE).min(rest.len());
            rest[..now].copy_from_slice(&self.pages[at / PAGE][at % PAGE..at % PAGE + now]);
            at += now;
            rest = &mut rest[now..];
        }
        true
    }
}

/// A change of a file that no sync has confirmed.
#[derive(Clone)]
enum Change {
    Write(u64, Arc<[u8]>),
    Length(u64),
}

#[derive(Clone, Default)]
pub(super) struct Inode {
    pub live: Pages,
    durable: Pages,
    pending: Vec<Change>,
    pub locked: bool,
}

/// A change of a directory that no sync has confirmed.
#[derive(Clone)]
enum Rename {
    Create(PathBuf, u64),
    Move(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Rename {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Rename::Create(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Rename::Move(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Rename::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

#[derive(Clone, Default)]
struct Directory {
    live: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    pending: Vec<Rename>,
}

/// The end of all that runs on a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The process dies; the page cache lives on.
    Kill,
    /// The power goes, and every change that no sync had confirmed is gone.
    PowerDrop,
    /// The power goes after every change has reached the disk by itself.
    PowerKeep,
    /// The power goes, and any part of the unconfirmed changes has reached the disk; the seed chooses.
    PowerTear(u64),
}

impl Outcome {
    /// Whether the machine starts again with the kernel that it had.
    #[must_use]
    pub fn same_boot(self) -> bool {
        self == Outcome::Kill
    }
}

/// Everything on a disk.
#[derive(Clone, Default)]
pub struct Image {
    inodes: BTreeMap<u64, Inode>,
    directories: BTreeMap<PathBuf, Directory>,
}

fn split(path: &Path) -> (PathBuf, PathBuf) {
    let name = path.file_name().map(PathBuf::from).unwrap_or_default();
    (path.parent().map(PathBuf::from).unwrap_or_default(), name)
}

impl Image {
    /// The image that is left after this outcome.
    #[must_use]
    pub fn after(&self, outcome: Outcome) -> Image {
        let mut next = self.clone();
        next.inodes.values_mut().for_each(|inode| inode.locked = false);
        let mut rng = match outcome {
            Outcome::Kill => return next,
            Outcome::PowerTear(seed) => Some(Rng::new(seed)),
            Outcome::PowerDrop | Outcome::PowerKeep => None,
        };
        for inode in next.inodes.values_mut() {
            let pending = std::mem::take(&mut inode.pending);
            match (&mut rng, outcome) {
                (Some(rng), _) => pending.iter().for_each(|change| tear(change, &mut inode.durable, rng)),
                (None, Outcome::PowerKeep) => inode.durable = inode.live.clone(),
                (None, _) => {}
            }
            inode.live = inode.durable.clone();
        }
        for directory in next.directories.values_mut() {
            let pending = std::mem::take(&mut directory.pending);
            let through = match (&mut rng, outcome) {
                (Some(rng), _) => rng.below(pending.len() as u64 + 1) as usize,
                (None, Outcome::PowerKeep) => pending.len(),
                (None, _) => 0,
            };
            pending[..through].iter().for_each(|change| change.apply(&mut directory.durable));
            directory.live = directory.durable.clone();
        }
        next
    }

    pub(super) fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.entry(inode).or_default()
    }

    pub(super) fn write(&mut self, inode: u64, at: u64, bytes: &[u8]) {
        let inode = self.inode(inode);
        inode.live.write(at, bytes);
        inode.pending.push(Change::Write(at, bytes.into()));
    }

    pub(super) fn set_len(&mut self, inode: u64, len: u64) {
        let inode = self.inode(inode);
        inode.live.set_len(len);
        inode.pending.push(Change::Length(len));
    }

    pub(super) fn sync(&mut self, inode: u64) {
        let inode = self.inode(inode);
        for change in std::mem::take(&mut inode.pending) {
            match change {
                Change::Write(at, bytes) => inode.durable.write(at, &bytes),
                Change::Length(len) => inode.durable.set_len(len),
            }
        }
    }

    /// Fails a sync: pending changes count as clean in the page cache and will never reach the disk.
    pub(super) fn fail_sync(&mut self, inode: u64) {
        self.inode(inode).pending.clear();
    }

    /// The inode that a path names now.
    #[must_use]
    pub(super) fn find(&self, path: &Path) -> Option<u64> {
        let (directory, name) = split(path);
        self.directories.get(&directory)?.live.get(&name).copied()
    }

    pub(super) fn is_directory(&self, path: &Path) -> bool {
        self.directories.contains_key(path)
    }

    pub(super) fn make_directory(&mut self, path: &Path) {
        for path in path.ancestors().filter(|p| !p.as_os_str().is_empty()) {
            self.directories.entry(path.to_owned()).or_default();
        }
    }

    pub(super) fn names(&self, path: &Path) -> Option<Vec<PathBuf>> {
        let mut names: Vec<PathBuf> = self.directories.get(path)?.live.keys().cloned().collect();
        let below = self.directories.keys().filter(|d| d.parent() == Some(path));
        names.extend(below.filter_map(|d| d.file_name()).map(PathBuf::from));
        names.sort();
        Some(names)
    }

    fn change(&mut self, directory: PathBuf, change: Rename) {
        let directory = self.directories.entry(directory).or_default();
        change.apply(&mut directory.live);
        directory.pending.push(change);
    }

    pub(super) fn create(&mut self, path: &Path) -> u64 {
        let inode = self.inodes.last_key_value().map_or(1, |(last, _)| last + 1);
        self.inodes.insert(inode, Inode::default());
        let (directory, name) = split(path);
        self.change(directory, Rename::Create(name, inode));
        inode
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        let ((directory, from), (other, to)) = (split(from), split(to));
        assert_eq!(directory, other, "renames stay within a directory");
        self.change(directory, Rename::Move(from, to));
    }

    pub(super) fn remove(&mut self, path: &Path) {
        let (directory, name) = split(path);
        self.change(directory, Rename::Remove(name));
    }

    pub(super) fn sync_directory(&mut self, path: &Path) {
        let directory = self.directories.entry(path.to_owned()).or_default();
        directory.pending.clear();
        directory.durable = directory.live.clone();
    }

    /// Files whose names end with `suffix`: path, inode, and the bytes as processes see them.
    #[must_use]
    pub fn files(&self, suffix: &str) -> Vec<(PathBuf, u64, Pages)> {
        let mut out = Vec::new();
        for (path, directory) in &self.directories {
            for (name, inode) in &directory.live {
                if name.to_string_lossy().ends_with(suffix) {
                    out.push((path.join(name), *inode, self.inodes[inode].live.clone()));
                }
            }
        }
        out
    }

    /// Flips a bit on the disk, for good.
    pub fn rot(&mut self, inode: u64, at: u64) {
        self.flip(inode, at, 4);
    }

    /// Flips this bit of a byte on the disk, for good.
    pub fn flip(&mut self, inode: u64, at: u64, bit: u8) {
        let inode = self.inode(inode);
        let mut byte = [0];
        if inode.live.read(at, &mut byte) {
            inode.live.write(at, &[byte[0] ^ (1 << bit)]);
            inode.durable.write(at, &[byte[0] ^ (1 << bit)]);
        }
    }
}

/// Lets any part of a change through, sector by sector.
fn tear(change: &Change, durable: &mut Pages, rng: &mut Rng) {
    match change {
        Change::Length(len) if rng.below(2) == 0 => durable.set_len(*len),
        Change::Length(_) => {}
        Change::Write(at, bytes) => {
            // One write in four comes through whole, one not at all, the others in parts.
            let how = rng.below(4);
            let mut from = 0;
            while from < bytes.len() {
                let sector = (*at as usize + from) / SECTOR;
                let to = ((sector + 1) * SECTOR - *at as usize).min(bytes.len());
                if how == 0 || (how > 1 && rng.below(2) == 0) {
                    durable.write(at + from as u64, &bytes[from..to]);
                }
                from = to;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(image: &Image, path: &str) -> Option<Vec<u8>> {
        let inode = image.find(Path::new(path))?;
        let pages = &image.inodes[&inode].live;
        let mut out = vec![0; pages.len() as usize];
        assert!(pages.read(0, &mut out));
        Some(out)
    }

    #[test]
    fn only_what_was_synced_survives_a_cut_and_a_kill_loses_nothing() {
        let mut image = Image::default();
        image.make_directory(Path::new("d"));
        let inode = image.create(Path::new("d/a"));
        image.write(inode, 0, b"one");
        assert_eq!(bytes(&image.after(Outcome::PowerDrop), "d/a"), None, "its name is not durable");
        image.sync_directory(Path::new("d"));
        assert_eq!(bytes(&image.after(Outcome::PowerDrop), "d/a"), Some(vec![]));
        image.sync(inode);
        image.write(inode, 1, b"XY");
        assert_eq!(bytes(&image.after(Outcome::PowerDrop), "d/a").unwrap(), b"one");
        assert_eq!(bytes(&image.after(Outcome::PowerKeep), "d/a").unwrap(), b"oXY");
        let killed = image.after(Outcome::Kill);
        assert_eq!(bytes(&killed, "d/a").unwrap(), b"oXY");
        assert_eq!(bytes(&killed.after(Outcome::PowerDrop), "d/a").unwrap(), b"one", "still not on disk");
        image.rename(Path::new("d/a"), Path::new("d/b"));
        assert_eq!(bytes(&image.after(Outcome::PowerDrop), "d/b"), None);
        image.sync_directory(Path::new("d"));
        assert_eq!(bytes(&image.after(Outcome::PowerDrop), "d/a"), None);
        assert_eq!(bytes(&image.after(Outcome::PowerDrop), "d/b").unwrap(), b"one");
    }

    #[test]
    fn a_torn_write_comes_through_in_whole_sectors() {
        let mut image = Image::default();
        image.make_directory(Path::new("d"));
        let inode = image.create(Path::new("d/a"));
        image.set_len(inode, 4096);
        image.sync(inode);
        image.sync_directory(Path::new("d"));
        image.write(inode, 256, &[7; 2048]);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let after = bytes(&image.after(Outcome::PowerTear(seed)), "d/a").unwrap();
            for sector in after.chunks(512) {
                let ones = sector.iter().filter(|b| **b == 7).count();
                assert!(matches!(ones, 0 | 256 | 512), "half a sector");
            }
            seen.insert(after);
        }
        assert!(seen.len() > 10, "tears differ");
    }

    #[test]
    fn a_failed_sync_leaves_what_no_later_sync_brings_back() {
        let mut image = Image::default();
        image.make_directory(Path::new("d"));
        let inode = image.create(Path::new("d/a"));
        image.sync(inode);
        image.sync_directory(Path::new("d"));
        image.write(inode, 0, b"gone");
        image.fail_sync(inode);
        image.sync(inode);
        assert_eq!(bytes(&image.after(Outcome::Kill), "d/a").unwrap(), b"gone");
        assert_eq!(bytes(&image.after(Outcome::PowerDrop), "d/a").unwrap(), b"");
    }
}
