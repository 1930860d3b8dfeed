//! A disk that takes every write and changes nothing: what is written lies in memory, over the files as they are.
//!
//! ```text
//!   reads ──> pages written since the opening ──> else the file below        writes ──> pages alone
//! ```
//! A stopped directory can be recovered on it as at a start, and looked at, without one byte of it being changed. Only a
//! lock goes down to the real file, because another process has to see it.

use crate::storage::disk::port::{Disk, DiskFile};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PAGE: u64 = 4096;

/// A disk over another one.
pub struct Overlay {
    base: Arc<dyn Disk>,
    changed: Mutex<Changed>,
}

#[derive(Default)]
struct Changed {
    /// Files that were opened or made here.
    files: BTreeMap<PathBuf, Arc<Layer>>,
    /// Files of the base that are gone here.
    removed: BTreeSet<PathBuf>,
    dirs: BTreeSet<PathBuf>,
}

impl Overlay {
    /// Nothing is changed yet.
    #[must_use]
    pub fn new(base: Arc<dyn Disk>) -> Overlay {
        Overlay { base, changed: Mutex::default() }
    }

    fn layer(&self, path: &Path, create: bool) -> io::Result<Arc<Layer>> {
        let mut changed = self.changed.lock();
        if let Some(layer) = changed.files.get(path) {
            return Ok(Arc::clone(layer));
        }
        let below = !changed.removed.contains(path) && self.base.exists(path)?;
        let layer = match (below, create) {
            (true, _) => Layer::over(self.base.open(path, false)?)?,
            (false, true) => Layer::default(),
            (false, false) => return Err(io::ErrorKind::NotFound.into()),
        };
        let layer = Arc::new(layer);
        changed.files.insert(path.to_owned(), Arc::clone(&layer));
        Ok(layer)
    }
}

impl Disk for Overlay {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if !self.base.exists(path)? {
            self.changed.lock().dirs.insert(path.to_owned());
        }
        Ok(())
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.layer(path, create)?)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let changed = self.changed.lock();
        let mut names = BTreeSet::new();
        if self.base.exists(dir)? {
            let below = self.base.list(dir)?.into_iter();
            names.extend(below.filter(|name| !changed.removed.contains(&dir.join(name))));
        }
        let here = changed.files.keys().chain(&changed.dirs).filter(|path| path.parent() == Some(dir));
        names.extend(here.filter_map(|path| path.file_name()).map(PathBuf::from));
        Ok(names.into_iter().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let layer = self.layer(from, false)?;
        let mut changed = self.changed.lock();
        changed.files.remove(from);
        changed.removed.insert(from.to_owned());
        changed.removed.remove(to);
        changed.files.insert(to.to_owned(), layer);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let known = self.exists(path)?;
        let mut changed = self.changed.lock();
        changed.files.remove(path);
        changed.removed.insert(path.to_owned());
        if known { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let changed = self.changed.lock();
        if changed.files.contains_key(path) || changed.dirs.contains(path) {
            return Ok(true);
        }
        Ok(!changed.removed.contains(path) && self.base.exists(path)?)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.base.free_bytes(path)
    }

    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.layer(path, true)?.set_len(bytes)
    }

    fn volume_bytes(&self, path: &Path) -> io::Result<u64> {
        self.base.volume_bytes(path)
    }
}

/// One file: pages over what is below.
#[derive(Default)]
struct Layer {
    base: Option<Arc<dyn DiskFile>>,
    state: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    len: u64,
    /// The bytes of the base that still count.
    below: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Layer {
    fn over(base: Arc<dyn DiskFile>) -> io::Result<Layer> {
        let len = base.len()?;
        let pages = BTreeMap::new();
        Ok(Layer { base: Some(base), state: Mutex::new(Pages { len, below: len, pages }) })
    }

    /// A page as it is below.
    fn page(&self, number: u64, below: u64) -> io::Result<Vec<u8>> {
        let (mut page, at) = (vec![0; PAGE as usize], number * PAGE);
        if let (Some(base), Some(rest)) = (&self.base, below.checked_sub(at).filter(|rest| *rest > 0)) {
            base.read_exact_at(&mut page[..rest.min(PAGE) as usize], at)?;
        }
        Ok(page)
    }
}

/// The page of a position, the place in it, and the bytes of so many that it takes.
fn part(at: u64, rest: usize) -> (u64, usize, usize) {
    let within = (at % PAGE) as usize;
    (at / PAGE, within, rest.min(PAGE as usize - within))
}

impl DiskFile for Layer {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        if len < state.len {
            state.below = state.below.min(len);
            let (first, within, _) = part(len, 0);
            state.pages.retain(|number, _| *number < first || (*number == first && within > 0));
            if let Some(page) = state.pages.get_mut(&first) {
                page[within..].fill(0);
            }
        }
        state.len = len;
        Ok(())
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let state = self.state.lock();
        if at.checked_add(buf.len() as u64).is_none_or(|end| end > state.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < buf.len() {
            let (number, within, bytes) = part(at + done as u64, buf.len() - done);
            let into = &mut buf[done..done + bytes];
            match state.pages.get(&number) {
                Some(page) => into.copy_from_slice(&page[within..within + bytes]),
                None => into.copy_from_slice(&self.page(number, state.below)?[within..within + bytes]),
            }
            done += bytes;
        }
        Ok(())
    }

    fn write_all_at(&self, bufs: &[&[u8]], mut at: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        for buf in bufs {
            let mut rest = *buf;
            while !rest.is_empty() {
                let (number, within, bytes) = part(at, rest.len());
                let (now, later) = rest.split_at(bytes);
                // Zeros where nothing is need no memory: a new segment is made of them.
                let needless = now.iter().all(|byte| *byte == 0) && number * PAGE >= state.below;
                if !needless || state.pages.contains_key(&number) {
                    if !state.pages.contains_key(&number) {
                        let page = self.page(number, state.below)?;
                        state.pages.insert(number, page);
                    }
                    if let Some(page) = state.pages.get_mut(&number) {
                        page[within..within + bytes].copy_from_slice(now);
                    }
                }
                at += bytes as u64;
                rest = later;
            }
        }
        state.len = state.len.max(at);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<()> {
        self.base.as_ref().map_or(Ok(()), |base| base.try_lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::disk::real::RealDisk;

    #[test]
    fn what_is_written_is_read_back_and_reaches_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, gone, made) = (dir.path().join("kept"), dir.path().join("gone"), dir.path().join("made"));
        let bytes: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
        std::fs::write(&kept, &bytes).unwrap();
        std::fs::write(&gone, b"gone").unwrap();
        let overlay = Overlay::new(Arc::new(RealDisk));
        let file = overlay.open(&kept, false).unwrap();
        file.write_all_at(&[b"ab", b"cd"], 4094).unwrap();
        file.write_all_at(&[b"end"], 12_000).unwrap();
        let mut wanted = bytes.clone();
        wanted[4094..4098].copy_from_slice(b"abcd");
        wanted.resize(12_000, 0);
        wanted.extend_from_slice(b"end");
        assert_eq!(file.read_vec(wanted.len(), 0).unwrap(), wanted);
        assert!(file.read_vec(2, 12_002).is_err(), "behind the end");
        file.set_len(4096).unwrap();
        file.set_len(9000).unwrap();
        wanted.truncate(4096);
        wanted.resize(9000, 0);
        assert_eq!(file.read_vec(9000, 0).unwrap(), wanted, "what was cut off does not come back");
        overlay.remove(&gone).unwrap();
        assert!(!overlay.exists(&gone).unwrap() && overlay.open(&gone, false).is_err());
        overlay.open(&made, true).unwrap().write_all_at(&[b"new"], 0).unwrap();
        overlay.rename(&made, &gone).unwrap();
        assert_eq!(overlay.list(dir.path()).unwrap(), [PathBuf::from("gone"), PathBuf::from("kept")]);
        assert_eq!(overlay.open(&gone, false).unwrap().read_vec(3, 0).unwrap(), b"new");
        assert_eq!(std::fs::read(&kept).unwrap(), bytes);
        assert_eq!(std::fs::read(&gone).unwrap(), b"gone");
        assert!(!made.exists());
    }
}
