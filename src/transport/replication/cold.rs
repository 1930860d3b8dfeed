//! Cold reads: batches that the tail no longer has, read from the store while the feed goes on.
//!
//! ```text
//!   Running(cursor) ── the read ends ──> Ready { from, batches, permit } ── frame by frame ──> sent, the permit is back
//! ```
//!
//! A read remembers the cursor that it was begun for, so the feed can tell whether it still counts. The permit stays with the
//! bytes until they are sent or dropped. Batches are cut apart here, because a frame may take only some of them.

use crate::transport::frame::PAYLOAD;
use bytes::Bytes;
use callboard_actors::partition::PartitionHandle;
use callboard_actors::permit::Permit;
use callboard_actors::ports::{ReadError, Slices};
use callboard_core::partition::{Cursor, View};
use callboard_core::{Offset, TopicPartition, records};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A batch, and the offset behind it.
pub type Batches = VecDeque<(Bytes, Offset)>;

/// The cold read of one partition.
pub enum Cold {
    Running(Cursor),
    /// Batches from this offset on.
    Ready {
        from: Offset,
        batches: Batches,
        permit: Permit,
    },
}

impl Cold {
    /// Whether the read runs and was begun for the same accepted Position, at the same place.
    pub fn is_of(&self, cursor: &Cursor) -> bool {
        matches!(self, Cold::Running(begun) if begun == cursor)
    }
}

/// The outcome of a read.
pub enum Found {
    Batches(Batches),
    /// The store does not have the bytes yet, or the role is over.
    Nothing,
    Failed(ReadError),
}

/// A cold read that has ended.
pub struct Read {
    pub id: TopicPartition,
    /// The cursor that it was begun for.
    pub cursor: Cursor,
    pub found: Found,
    pub permit: Permit,
}

/// Reads whole batches below `until`, and reports.
pub async fn read(
    replica: Arc<PartitionHandle>,
    view: Arc<View>,
    cursor: Cursor,
    (from, until): (Offset, Offset),
    permit: Permit,
    done: mpsc::UnboundedSender<Read>,
) {
    let found = match replica.read_to_feed(&view, from, until, PAYLOAD).await {
        Ok(Some(slices)) => apart(&slices, from),
        Ok(None) | Err(ReadError::Refused(_)) => Found::Nothing,
        Err(error) => Found::Failed(error),
    };
    // The feed may have ended meanwhile.
    let _ = done.send(Read { id: replica.id, cursor, found, permit });
}

/// Cuts slices into batches, which have to lead away from `from`.
fn apart(slices: &Slices, from: Offset) -> Found {
    let mut at = from;
    let mut batches = Batches::new();
    for part in slices.in_memory() {
        for batch in records::batches(part) {
            match batch {
                Ok((bytes, head)) if head.next_offset() > at => {
                    at = head.next_offset();
                    batches.push_back((part.slice_ref(bytes), at));
                }
                Ok((_, head)) => {
                    let why = format!("a batch at {} where one behind {at} was asked for", head.base_offset);
                    return Found::Failed(ReadError::Corrupt(why));
                }
                Err(error) => return Found::Failed(ReadError::Corrupt(error.to_string())),
            }
        }
    }
    Found::Batches(batches)
}
