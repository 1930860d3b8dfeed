//! A record batch as the simulator knows it: its head, and one number that stands for all its bytes.
//!
//! A leader gives a batch its place and its epoch, and both belong to the bytes. So two logs are the same up to an offset
//! if their batches below it have equal places, epochs and values.

use callboard_core::records::BatchHead;
use callboard_core::{Offset, Seq};

/// One batch in a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Batch {
    pub head: BatchHead,
    /// Names the payload: equal for two sends of one batch, else never.
    pub value: u32,
    /// The entry of this replica's journal that holds it.
    pub seq: Seq,
}

impl Batch {
    /// The first offset of the batch in the log.
    #[must_use]
    pub fn base(&self) -> Offset {
        self.head.base_offset
    }

    /// The offset behind the last one.
    #[must_use]
    pub fn next(&self) -> Offset {
        self.head.next_offset()
    }

    /// Whether two logs hold the same bytes here.
    #[must_use]
    pub fn same(&self, other: &Batch) -> bool {
        self.value == other.value
            && self.head.base_offset == other.head.base_offset
            && self.head.leader_epoch == other.head.leader_epoch
            && self.head.last_offset_delta == other.head.last_offset_delta
    }
}

/// The place in a log of the first batch that ends above this offset.
#[must_use]
pub fn above(log: &[Batch], offset: Offset) -> usize {
    log.partition_point(|batch| batch.next() <= offset)
}

/// The batches that overlap these offsets.
#[must_use]
pub fn between(log: &[Batch], from: Offset, until: Offset) -> &[Batch] {
    if from >= until {
        return &[];
    }
    let first = above(log, from);
    let behind = log.partition_point(|batch| batch.base() < until).max(first);
    &log[first..behind]
}
