//! One partition of a feed: its cursor, and the bytes that go into a frame next.
//!
//! ```text
//!   cursor.next(view) ── Read ──┬─ a cold read's batches, if they begin here ─┬──> packer, as many as it takes
//!                               └─ else the tail, at once ────────────────────┘      cursor.sent
//! ```
//!
//! A batch that does not fit stays where it is. The partition does not know whose turn it is.

use super::cold::Cold;
use super::inbox::{Inbox, Tap};
use crate::transport::frame::{FrameError, Packer};
use crate::transport::words;
use bytes::Bytes;
use callboard_actors::partition::{Fed, PartitionHandle};
use callboard_core::Offset;
use callboard_core::partition::{Cursor, Part, View};
use std::sync::Arc;
use tokio::time::Instant;

/// A partition of a feed.
pub struct Feeding {
    pub replica: Arc<PartitionHandle>,
    pub cursor: Cursor,
    pub tap: Arc<Tap>,
    /// Whether a part has left for this cursor.
    pub greeted: bool,
    /// Whether it stands in a ring or is parked.
    pub queued: bool,
    pub cold: Option<Cold>,
    /// The last cold read brought a batch above the usual bound, so the next one takes all room.
    pub large: bool,
    /// A read failed: no other one before this moment.
    pub not_before: Option<Instant>,
}

/// The outcome of a partition's turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    Done,
    /// There is more to send.
    More,
    /// The frame has no room for it.
    Full,
    /// It waits for a cold read, or for room for one.
    Parked,
}

impl Feeding {
    /// A partition that rings this inbox from now on.
    pub fn new(inbox: &Arc<Inbox>, replica: Arc<PartitionHandle>, cursor: Cursor) -> Feeding {
        let tap = Tap::new(inbox);
        replica.attach(Arc::clone(&tap) as Arc<dyn Fed>);
        let (greeted, queued, large) = (false, false, false);
        Feeding { replica, cursor, tap, greeted, queued, cold: None, large, not_before: None }
    }

    /// Whether a cold read runs. Its end brings the partition back.
    pub fn reads(&self) -> bool {
        matches!(self.cold, Some(Cold::Running(_)))
    }

    /// Adds a part without bytes, after which the cursor is this one.
    pub fn tell(&mut self, part: &Part, after: Cursor, packer: &mut Packer) -> Result<(), FrameError> {
        (self.cursor, self.greeted) = (after, true);
        packer.part(words::part(self.replica.id, part))
    }

    /// Adds batches of a cold read; none if there are none for this place.
    pub fn take_cold(
        &mut self,
        part: &Part,
        until: Offset,
        packer: &mut Packer,
    ) -> Result<Option<Turn>, FrameError> {
        let (from, mut batches, permit) = match self.cold.take() {
            Some(Cold::Ready { from, batches, permit }) if from == self.cursor.at() => {
                (from, batches, permit)
            }
            Some(running @ Cold::Running(_)) => {
                self.cold = Some(running);
                return Ok(Some(Turn::Parked));
            }
            _ => return Ok(None),
        };
        let mut end = from;
        while let Some((bytes, next)) = batches.front().filter(|(bytes, _)| packer.takes(bytes.len())) {
            if end == from {
                packer.part(words::part(self.replica.id, part))?;
            }
            packer.batch(bytes.clone())?;
            end = *next;
            batches.pop_front();
        }
        if end > from {
            self.cursor.sent(part, end);
            self.greeted = true;
        }
        if !batches.is_empty() {
            self.cold = Some(Cold::Ready { from: end, batches, permit });
        }
        Ok(Some(match end {
            _ if end == from => Turn::Full,
            _ if end < until => Turn::More,
            _ => Turn::Done,
        }))
    }

    /// Adds batches of the tail, of `room` bytes or one larger batch; none if they are not there.
    pub fn take_tail(
        &mut self,
        (view, until): (&View, Offset),
        part: &Part,
        room: usize,
        packer: &mut Packer,
    ) -> Result<Option<Turn>, FrameError> {
        let Some(slices) = self.replica.tail_to_feed(view, self.cursor.at(), until, room) else {
            return Ok(None);
        };
        if !packer.takes(slices.in_memory().next().map_or(0, Bytes::len)) {
            return Ok(Some(Turn::Full));
        }
        packer.part(words::part(self.replica.id, part))?;
        slices.in_memory().try_for_each(|batch| packer.batch(batch.clone()))?;
        self.cursor.sent(part, slices.next);
        self.greeted = true;
        Ok(Some(if slices.next < until { Turn::More } else { Turn::Done }))
    }
}

impl Drop for Feeding {
    fn drop(&mut self) {
        self.replica.detach(&(Arc::clone(&self.tap) as Arc<dyn Fed>));
    }
}
