//! Segments made ahead of need, and unlinked when they are too many.
//!
//! ```text
//!   next segment ─┬─ a dead one, overwritten
//!                 ├─ a new file, where the disk has room
//!                 └─ none now ─> RoomMachine ─> the reserve is given back, and once more · or: the group waits
//! ```
//!
//! Lack of space is no fault, nor is lack of descriptors, because settling frees the one and clients that go free the
//! other. Which segments are dead is answered by `journal/dead.rs`, and what a full disk means by `room.rs`.

use crate::storage::disk::fault::{ShardFault, no_descriptor, no_space};
use crate::storage::journal::segment::Segment;
use crate::storage::shard::engine::Engine;
use callboard_actors::ports::Submission;
use callboard_core::storage::{ENTRY_HEADER, GROUP_HEADER, SEGMENT_HEADER, aligned, free_in_store, spares};
use std::io;

/// Bytes that a new segment leaves free: `identity` and the metadata log are small, and nothing works without them.
const LEFT_FOR_OTHERS: u64 = 1 << 20;

/// The outcome of making a segment ahead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ahead {
    /// A segment was made before.
    There,
    Made,
    /// No segment can be had now: there is no space for one, or no descriptor.
    Missing,
}

impl Engine {
    /// Looks at the file system.
    pub fn look_at_space(&self) {
        self.space.look(|| self.reusable());
    }

    /// Bytes that can be used again without asking the file system.
    fn reusable(&self) -> u64 {
        let db = &self.settled.db;
        let dead = self.journal.free_bytes(&self.settled);
        // Records that stay in the journal take no room in redb.
        let resident = db.resident_bytes();
        let records = db.sizes().map(|sizes| sizes.values().sum::<u64>().saturating_sub(resident));
        dead.saturating_add(records.map_or(0, |records| free_in_store(db.on_disk(), records)))
    }

    /// Makes the next segment ahead of need. Returns whether it made one; no space and no descriptor are no faults.
    pub fn prepare(&self) -> Result<bool, ShardFault> {
        self.healthy()?;
        let made = self.make_ahead(0);
        made.map(|ahead| ahead == Ahead::Made).inspect_err(|fault| self.fail(fault))
    }

    /// Whether the journal has room for these entries as one group; a segment is made if there has to be one. If not, the
    /// caller asks again, when settling has freed a segment or the file system has space.
    pub fn room_for(&self, batch: &[Submission]) -> Result<bool, ShardFault> {
        self.healthy()?;
        let payload: usize = batch.iter().map(|s| s.bytes.len()).sum();
        let room = aligned((GROUP_HEADER + batch.len() * ENTRY_HEADER + payload) as u64);
        if self.journal.has_room(room) {
            return Ok(true);
        }
        let made = self.make_ahead(room + SEGMENT_HEADER as u64);
        made.map(|ahead| ahead != Ahead::Missing).inspect_err(|fault| self.fail(fault))
    }

    /// Makes the next segment, with room for so many bytes, if it is not there.
    fn make_ahead(&self, needed: u64) -> Result<Ahead, ShardFault> {
        let mut spare = self.journal.spare();
        let first = self.journal.end();
        if spare.as_ref().is_some_and(|s| s.first == first && s.capacity >= needed) {
            return Ok(Ahead::There);
        }
        let capacity = self.options.segment_bytes.max(needed);
        loop {
            let old = self.journal.take_recyclable(&self.settled).or_else(|| self.take_dead_if_short());
            // A segment for which there is too little is not tried: zeros up to the last free byte would take it from redb.
            let enough = capacity.saturating_add(LEFT_FOR_OTHERS);
            let fits = old.is_some() || self.space.usable().is_ok_and(|free| free >= enough);
            let made = match fits {
                true => self.journal.make(old, first, capacity),
                false => Err(io::ErrorKind::StorageFull.into()),
            };
            match made {
                Ok(made) => {
                    *spare = Some(made);
                    self.space.segment_made();
                    return Ok(Ahead::Made);
                }
                Err(error) if no_space(&error) => {
                    // The part that was written takes room from others.
                    self.journal.files.clear_aside()?;
                    if !self.space.no_segment(self.journal.settling_frees()) {
                        return Ok(Ahead::Missing);
                    }
                }
                Err(error) if no_descriptor(&error) => {
                    // The half-made file is made anew.
                    self.journal.files.clear_aside()?;
                    self.space.say_starved(&error);
                    return Ok(Ahead::Missing);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Where room is short, a dead segment that may not be overwritten: it is unlinked before another is made.
    fn take_dead_if_short(&self) -> Option<Segment> {
        if self.room().short() { self.journal.take_surplus(usize::MAX - 1, &self.settled) } else { None }
    }

    /// Unlinks dead segments: those that may not be overwritten, and of the others all but a few.
    pub fn remove_surplus(&self) -> Result<(), ShardFault> {
        let usual = (self.options.unsettled_bytes_max / self.options.segment_bytes) as usize;
        let wanted = spares(self.journal.rolls.lately(), self.options.segment_bytes, &self.options.residence);
        let keep = 1 + if self.room().short() { 0 } else { usual + wanted };
        while let Some(segment) = self.journal.take_surplus(keep, &self.settled) {
            self.journal.files.remove(&segment)?;
        }
        Ok(())
    }
}
