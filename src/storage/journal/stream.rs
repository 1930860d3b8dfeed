//! The journal of one shard: its files, its index, and where it stands.
//!
//! All replicas of a shard write into one endless stream of groups, cut into segment files. The struct here owns that
//! stream. `writer.rs` appends to it, `dead.rs` says which of its segments may be used again. A fault goes to the caller,
//! which stops the shard.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::index::Index;
use crate::storage::journal::position::SyncedTo;
use crate::storage::journal::rolls::Rolls;
use crate::storage::journal::segment::{Segment, Segments};
use crate::storage::journal::watch::SyncWatch;
use callboard_core::storage::fresh;
use callboard_core::{Lsn, ReplicaId};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the next group goes. The journal thread holds it while it writes and syncs.
pub struct Writer {
    pub pos: Lsn,
    /// Checksum of the last group.
    pub last_crc: u32,
    /// The segment in use.
    pub segment: Arc<Segment>,
    /// Everything below is synced.
    pub synced: Lsn,
    /// The position that the last group on disk says was synced: behind `synced` until another group is written.
    pub proved: Lsn,
    /// Replicas with entries behind `synced`.
    pub unsynced: BTreeSet<ReplicaId>,
    /// The write or sync that failed. Nothing is written or synced after it (R22).
    pub failed: Option<ShardFault>,
}

/// How segments are made.
#[derive(Clone, Copy, Debug)]
pub struct Making {
    pub segment_bytes: u64,
    /// A new segment is written with zeros where the journal is synced more often than once in so many bytes.
    pub zeros_below: u64,
}

/// What recovery hands over: the journal as it goes on from there.
pub struct Start {
    /// The end of the stream; everything before it is synced.
    pub end: SyncedTo,
    /// The segment in use.
    pub segment: Arc<Segment>,
    pub index: Index,
    /// Segments that hold what a corrupt replica has left: they are never used again.
    pub pinned: BTreeSet<Lsn>,
}

/// One shard's journal. `shard/engine.rs` says in which order its locks may be taken.
pub struct Journal {
    pub shard: u16,
    pub uuid: [u8; 16],
    pub making: Making,
    pub files: Segments,
    /// Replicas, their unsettled runs, and the open segments.
    pub index: Mutex<Index>,
    pub pinned: BTreeSet<Lsn>,
    pub rolls: Rolls,
    pub sync: SyncWatch,
    pub(super) writer: Mutex<Writer>,
    /// A segment made ahead. The lock is held while one is made: there is one file aside, and one place behind the last
    /// segment of the index.
    spare: Mutex<Option<Segment>>,
    pub(super) synced: Mutex<SyncedTo>,
    pub(super) written: AtomicU64,
}

impl Journal {
    /// A journal that goes on where recovery left it.
    #[must_use]
    pub fn new(shard: u16, uuid: [u8; 16], making: Making, files: Segments, start: Start) -> Journal {
        let Start { end, segment, index, pinned } = start;
        let unsynced = BTreeSet::new();
        let writer = Writer {
            pos: end.lsn,
            last_crc: end.crc,
            segment,
            synced: end.lsn,
            proved: end.lsn,
            unsynced,
            failed: None,
        };
        Journal {
            shard,
            uuid,
            making,
            files,
            index: Mutex::new(index),
            pinned,
            rolls: Rolls::default(),
            sync: SyncWatch::default(),
            writer: Mutex::new(writer),
            spare: Mutex::new(None),
            synced: Mutex::new(end),
            written: AtomicU64::new(end.lsn.0),
        }
    }

    /// Where the next group goes, as far as groups are written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Up to where the journal is synced.
    #[must_use]
    pub fn synced_to(&self) -> SyncedTo {
        *self.synced.lock()
    }

    /// Whether entries of some replica are written and not synced yet.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.writer.lock().unsynced.is_empty()
    }

    /// Whether no later group proves the last sync yet.
    #[must_use]
    pub fn is_unproved(&self) -> bool {
        let writer = self.writer.lock();
        writer.proved < writer.synced
    }

    /// Whether the segment in use has room for so many bytes.
    #[must_use]
    pub fn has_room(&self, bytes: u64) -> bool {
        let writer = self.writer.lock();
        writer.pos.0 + bytes <= writer.segment.end().0
    }

    /// The segment made ahead, locked: no other thread makes one meanwhile.
    pub fn spare(&self) -> MutexGuard<'_, Option<Segment>> {
        self.spare.lock()
    }

    /// Whether no segment is made ahead, nor being made.
    #[must_use]
    pub fn wants_segment(&self) -> bool {
        self.spare.try_lock().is_some_and(|spare| spare.is_none())
    }

    /// Position behind the last segment.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.index.lock().end()
    }

    /// Makes a segment that starts at `first`, out of `old` if there is one. The caller holds `spare`.
    pub fn make(&self, old: Option<Segment>, first: Lsn, capacity: u64) -> io::Result<Segment> {
        let how = fresh(self.rolls.filled(), self.making.zeros_below);
        self.files.make(old, how, first, capacity, None, &[])
    }

    /// The open segment that holds a position.
    #[must_use]
    pub fn segment(&self, at: Lsn) -> Option<Arc<Segment>> {
        self.index.lock().segment(at)
    }

    /// The same; a position that no segment holds is a fault.
    pub fn segment_of(&self, at: Lsn) -> Result<Arc<Segment>, ShardFault> {
        self.segment(at).ok_or_else(|| ShardFault::no_segment(at))
    }
}
