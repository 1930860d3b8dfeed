//! The journal's vocabulary: every change of a replica is one of these.

use crate::ids::{LeaderEpoch, Offset, TopicPartition};
use crate::time::UnixMillis;

/// What an acknowledgement means for a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// Journaled and synced.
    #[default]
    Fsync,
    /// Written to the page cache, synced within an interval.
    Os,
}

/// One change of one replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// The replica exists from here on; its first entry.
    Open {
        /// Whose replica it is.
        id: TopicPartition,
    },
    /// A batch follows as payload. `base` ≥ the replica's next offset (gaps come from compaction; a leader leaves none).
    Append {
        /// Its base offset.
        base: Offset,
        /// Its leader epoch.
        epoch: LeaderEpoch,
    },
    /// Everything at and above `to` is gone.
    Truncate {
        /// The new end.
        to: Offset,
    },
    /// Everything below `to` is gone; past the end it empties the replica and the next offset becomes `to`.
    LogStart {
        /// The new log start offset.
        to: Offset,
    },
    /// The committed image does not know this replica; its bytes are kept until `Drop`.
    Stray {
        /// When that was seen.
        at: UnixMillis,
    },
    /// The replica is gone for good.
    Drop,
    /// A rebuilt leader's or follower's first entry: nothing of its former life is still on its way behind it.
    Fence,
}
