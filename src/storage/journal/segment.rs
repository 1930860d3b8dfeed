//! A journal segment: one file of fixed length, named by the position of its first byte in the shard's stream.
//!
//! A segment is made in full before it gets its name: bytes, header, fsync, rename, fsync of the directory. Its bytes are
//! zeros, the old ones of a dead segment, or room that the file system promises. Overwriting bytes that exist is what
//! makes the journal's syncs cheap. Where syncs are few, writing everything twice costs more;
//! `callboard_core::storage::fresh` says which to choose.
//!
//! A segment that was sent from is never overwritten, because sockets refer to its pages after the call has returned. Over
//! loopback they do so until the peer has read. Which segments are dead is not decided here but in `dead.rs`.

use crate::storage::disk::port::{Disk, DiskFile, zeros};
use bytes::Bytes;
use callboard_actors::ports::{FileRange, SendFile};
use callboard_core::Lsn;
use callboard_core::mutant::{Mutant, planted};
use callboard_core::storage::{FrameError, Fresh, SEGMENT_HEADER, SegmentCut, SegmentHeader, SegmentInfo};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The file of a segment that has no name of its own yet.
const ASIDE: &str = "aside.tmp";

/// An open segment file.
pub struct Segment {
    /// Position of its first byte.
    pub first: Lsn,
    /// Bytes of the file.
    pub capacity: u64,
    /// Set in the first segment of a run of the process.
    pub cut: Option<SegmentCut>,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// A socket may refer to the file's pages, now or after the call that sent them.
    sent: AtomicBool,
}

impl Segment {
    /// Position behind its last byte.
    #[must_use]
    pub fn end(&self) -> Lsn {
        Lsn(self.first.0 + self.capacity)
    }

    /// Position of its first group.
    #[must_use]
    pub fn start(&self) -> Lsn {
        Lsn(self.first.0 + SEGMENT_HEADER as u64)
    }

    /// The segment as recovery's walk sees it.
    #[must_use]
    pub fn info(&self) -> SegmentInfo {
        SegmentInfo { first: self.first, capacity: self.capacity, cut: self.cut }
    }

    /// Reads `len` bytes at a position of the stream.
    pub fn read(&self, at: Lsn, len: usize) -> io::Result<Bytes> {
        let from = at.0.checked_sub(self.first.0).ok_or(io::ErrorKind::InvalidInput)?;
        if from + len as u64 > self.capacity {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_vec(len, from).map(Bytes::from)
    }

    /// A stretch of the file, to be sent as it lies; none where the kernel cannot do that. The stretch is in the page
    /// cache when this returns.
    pub fn range(self: &Arc<Segment>, at: Lsn, len: usize) -> io::Result<Option<FileRange>> {
        let from = at.0.checked_sub(self.first.0).ok_or(io::ErrorKind::InvalidInput)?;
        if from + len as u64 > self.capacity {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.file.descriptor().is_none() {
            return Ok(None);
        }
        if !planted(Mutant::SentSegmentOverwritten) {
            self.sent.store(true, Ordering::Release);
        }
        self.file.warm(len, from)?;
        Ok(Some(FileRange::new(Arc::clone(self) as Arc<dyn SendFile>, from, len)))
    }

    /// Whether the file may be overwritten once the segment is dead.
    #[must_use]
    pub fn may_be_overwritten(&self) -> bool {
        !self.sent.load(Ordering::Acquire)
    }

    /// Writes at a position of the stream.
    pub fn write(&self, pieces: &[&[u8]], at: Lsn) -> io::Result<()> {
        self.file.write_all_at(pieces, at.0 - self.first.0)
    }

    /// Makes written bytes durable.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl SendFile for Segment {
    fn send(&self, to: BorrowedFd<'_>, at: u64, len: usize) -> io::Result<usize> {
        let file = self.file.descriptor().ok_or(io::ErrorKind::Unsupported)?;
        let mut from = at;
        Ok(rustix::fs::sendfile(to, file, Some(&mut from), len)?)
    }

    fn read(&self, at: u64, len: usize) -> io::Result<Bytes> {
        self.file.read_vec(len, at).map(Bytes::from)
    }
}

/// A file that has a segment's name and cannot be read as one. Its header was synced before it got the name, so it rotted.
pub struct Unreadable {
    /// Position of its first byte, by its name.
    pub first: Lsn,
    /// Position behind its last byte.
    pub end: Lsn,
    /// The file's name, and what is wrong with it.
    pub why: String,
}

/// Groups with their places, to be written into a segment before it gets its name.
pub type Placed = Vec<(Lsn, Vec<Bytes>)>;

/// The directory of one journal.
pub struct Segments {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    shard: [u8; 16],
}

impl Segments {
    /// The journal of this shard.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf, shard: [u8; 16]) -> Segments {
        Segments { disk, dir, shard }
    }

    fn name(&self, first: Lsn) -> PathBuf {
        self.dir.join(format!("{:020}.seg", first.0))
    }

    /// Opens all segments, in order, and lists those that are not readable. One of a newer format is an error.
    pub fn open_all(&self) -> io::Result<(Vec<Segment>, Vec<Unreadable>)> {
        let (mut found, mut bad) = (Vec::new(), Vec::new());
        for name in self.disk.list(&self.dir)? {
            let at = name.to_str().and_then(|n| n.strip_suffix(".seg")).and_then(|n| n.parse().ok());
            let Some(first) = at.map(Lsn) else { continue };
            let file = self.disk.open(&self.dir.join(&name), false)?;
            let end = Lsn(first.0.saturating_add(file.len()?));
            match self.open(&self.dir.join(&name), file) {
                Ok(segment) => found.push(segment),
                Err(newer @ FrameError::Format(_)) => {
                    return Err(io::Error::other(format!("segment {}: {newer}", name.display())));
                }
                Err(why) => bad.push(Unreadable { first, end, why: format!("{}: {why}", name.display()) }),
            }
        }
        found.sort_by_key(|s| s.first);
        Ok((found, bad))
    }

    fn open(&self, path: &Path, file: Arc<dyn DiskFile>) -> Result<Segment, FrameError> {
        let unread = |_| FrameError::Invalid("its header cannot be read");
        let capacity = file.len().map_err(unread)?;
        let mut head = [0; SEGMENT_HEADER];
        file.read_exact_at(&mut head, 0).map_err(unread)?;
        let header = SegmentHeader::decode(&head)?;
        if header.shard != self.shard {
            return Err(FrameError::Invalid("it is of another shard"));
        }
        if self.name(header.first) != path {
            return Err(FrameError::Invalid("its header says another position than its name"));
        }
        // Sockets of a former life may still send from it: a closed socket goes on until its peer has read.
        let (path, sent) = (path.to_owned(), AtomicBool::new(true));
        Ok(Segment { first: header.first, capacity, cut: header.cut, file, path, sent })
    }

    /// Makes a segment out of `old`, or as `fresh` says. `groups` are written into it before it gets its name.
    pub fn make(
        &self,
        old: Option<Segment>,
        fresh: Fresh,
        first: Lsn,
        capacity: u64,
        cut: Option<SegmentCut>,
        groups: &[(Lsn, Vec<Bytes>)],
    ) -> io::Result<Segment> {
        let aside = self.dir.join(ASIDE);
        let file = match old {
            Some(old) if old.capacity == capacity && old.may_be_overwritten() => {
                self.disk.rename(&old.path, &aside)?;
                old.file
            }
            other => {
                // A file of another length, or one that a socket may still refer to, is of no more use.
                if let Some(old) = other {
                    self.disk.remove(&old.path)?;
                }
                self.fresh(&aside, capacity, fresh)?
            }
        };
        for (at, pieces) in groups {
            let pieces: Vec<&[u8]> = pieces.iter().map(|p| &p[..]).collect();
            file.write_all_at(&pieces, at.0 - first.0)?;
        }
        let header = SegmentHeader { shard: self.shard, first, cut };
        file.write_all_at(&[&header.encode()], 0)?;
        if !(cut.is_some() && planted(Mutant::RecoveredTailNotSynced)) {
            file.sync_data()?;
        }
        let path = self.name(first);
        self.disk.rename(&aside, &path)?;
        if !planted(Mutant::DirectoryNotSynced) {
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(Segment { first, capacity, cut, file, path, sent: AtomicBool::new(false) })
    }

    fn fresh(&self, path: &Path, capacity: u64, how: Fresh) -> io::Result<Arc<dyn DiskFile>> {
        if self.disk.exists(path)? {
            self.disk.remove(path)?;
        }
        match how {
            Fresh::Promised => match self.disk.allocate(path, capacity) {
                // A file system that makes no promises gets zeros.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    zeros(&*self.disk, path, capacity)
                }
                allocated => allocated.and_then(|()| self.disk.open(path, false)),
            },
            Fresh::Zeros => zeros(&*self.disk, path, capacity),
        }
    }

    /// Removes the file that an unfinished start or maker left aside.
    pub fn clear_aside(&self) -> io::Result<()> {
        let aside = self.dir.join(ASIDE);
        if self.disk.exists(&aside)? { self.disk.remove(&aside) } else { Ok(()) }
    }

    /// Unlinks a dead segment. A reader that still holds it reads on.
    pub fn remove(&self, segment: &Segment) -> io::Result<()> {
        self.disk.remove(&segment.path)
    }
}
