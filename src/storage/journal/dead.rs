//! Dead segments: those that nothing needs, to be overwritten or unlinked.
//!
//! A segment is dead when it is settled to its end and no row in redb refers to it. Nor may a reader hold it or a corrupt
//! replica pin it. The journal knows the last two; a [`Keeper`] above it knows the first two. Overwriting a dead segment is
//! cheaper than making a new one, so some are kept.

use crate::storage::journal::index::Index;
use crate::storage::journal::segment::Segment;
use crate::storage::journal::stream::Journal;
use callboard_core::Lsn;
use callboard_core::mutant::{Mutant, planted};
use callboard_core::storage::may_recycle;
use std::sync::Arc;

/// Knows what of the journal is still needed. `settled::state::Settled` is the one.
pub trait Keeper {
    /// Everything below this position is in redb, durably.
    fn x(&self) -> Lsn;
    /// Whether rows refer to the segment that starts here.
    fn refers_to(&self, first: Lsn) -> bool;
    /// How many segments rows refer to.
    fn referred(&self) -> u64;
}

impl Journal {
    /// Segments that nothing needs any more, oldest first. X is asked before the rows: a settle moves it after them.
    fn dead(&self, index: &Index, keeper: &dyn Keeper) -> Vec<Lsn> {
        let x = keeper.x();
        let synced = self.synced_to().lsn;
        let referred = |first| keeper.refers_to(first) && !planted(Mutant::RecycleWhileReferred);
        let dead = index.segments.iter().filter(|(first, s)| {
            may_recycle(s.end(), x, synced)
                && !self.pinned.contains(first)
                && Arc::strong_count(s) == 1
                && !referred(**first)
        });
        dead.map(|(first, _)| *first).collect()
    }

    /// Bytes of segments that are settled and that no row refers to.
    pub fn free_bytes(&self, keeper: &dyn Keeper) -> u64 {
        let x = keeper.x();
        let index = self.index.lock();
        let free = |s: &&Arc<Segment>| s.end() <= x && !keeper.refers_to(s.first);
        index.segments.values().filter(free).map(|s| s.capacity).sum()
    }

    /// Takes the oldest segment that may be overwritten out of the index.
    pub fn take_recyclable(&self, keeper: &dyn Keeper) -> Option<Segment> {
        let mut index = self.index.lock();
        let fits = |first: &&Lsn| index.segments.get(first).is_some_and(|s| s.may_be_overwritten());
        let first = *self.dead(&index, keeper).iter().find(fits)?;
        Arc::into_inner(index.segments.remove(&first)?)
    }

    /// Takes a dead segment out of the index, to be unlinked. One that may not be overwritten goes in any case, another only
    /// if there are more than `keep`.
    pub fn take_surplus(&self, keep: usize, keeper: &dyn Keeper) -> Option<Segment> {
        let mut index = self.index.lock();
        let dead = self.dead(&index, keeper);
        let sent = |first: &&Lsn| index.segments.get(first).is_some_and(|s| !s.may_be_overwritten());
        let many = index.segments.len().saturating_sub(keeper.referred() as usize) > keep + 1;
        let first = *dead.iter().find(sent).or(dead.first().filter(|_| many))?;
        Arc::into_inner(index.segments.remove(&first)?)
    }

    /// Whether a segment before the one in use can come free by settling.
    pub fn settling_frees(&self) -> bool {
        let index = self.index.lock();
        let before = index.segments.len().saturating_sub(1);
        index.segments.keys().take(before).any(|first| !self.pinned.contains(first))
    }
}
