//! The journal's vocabulary: every change of a replica is one of these entries.
//!
//! Their bytes stand in `frame.rs`. Which entry may follow which is decided in `rules.rs`.

use crate::ids::{LeaderEpoch, Offset, TopicPartition};
use crate::time::UnixMillis;

/// What the acknowledgement of a batch promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// The batch is journaled and synced.
    #[default]
    Fsync,
    /// The batch is in the page cache, and will be synced within a second.
    Os,
}

/// One change of one replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// The replica's first entry: it exists from here on.
    Open { id: TopicPartition },
    /// A batch follows as payload. Gaps before `base` come from compaction; a leader leaves none.
    Append { base: Offset, epoch: LeaderEpoch },
    /// Everything at and above `to` is gone.
    Truncate { to: Offset },
    /// Everything below `to` is gone. Past the end it does what `Reset` does.
    LogStart { to: Offset },
    /// The log is empty, its leader epochs and producers included. Log start and next offset are `at` (R39).
    Reset { at: Offset },
    /// The committed image did not list this replica at that time; its bytes are kept until `Drop`.
    Stray { at: UnixMillis },
    /// The replica is gone for good.
    Drop,
    /// The first entry of a replica's actor that was rebuilt: entries of its former life all stand before it.
    Fence,
}
