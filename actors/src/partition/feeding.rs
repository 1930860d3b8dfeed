//! Reading a partition for a feed: whole batches up to the log's end, above the high watermark too.
//!
//! ```text
//!   tail_to_feed    the tail, at once
//!   read_to_feed    the tail, else the store's readers: proved bytes, never files
//! ```
//!
//! The store shows only what the journal has written. Offsets above that are in the view already, so a read that finds none
//! there has to wait; that says nothing about the log (CLUSTER §3). As with a consumer's read, the outcome counts only if the
//! view's leadership and log are still there afterwards (R39).
//!
//! Nothing here decides what to send to whom.

use super::feeds::Fed;
use super::handle::PartitionHandle;
use crate::ports::{Part, ReadError, ReadRequest, Slices};
use callboard_core::partition::View;
use callboard_core::{Offset, Reject};
use std::sync::Arc;

impl PartitionHandle {
    /// Rings this feed at each new view. A feed attaches first, and then looks at the view.
    pub fn attach(&self, fed: Arc<dyn Fed>) {
        self.feeds.attach(fed);
    }

    /// Rings this feed no more.
    pub fn detach(&self, fed: &Arc<dyn Fed>) {
        self.feeds.detach(fed);
    }

    /// Number of attached feeds.
    #[must_use]
    pub fn fed(&self) -> usize {
        self.feeds.attached()
    }

    /// Whether the tail holds everything in `from .. until`, and that is at most `limit` bytes.
    #[must_use]
    pub fn tail_is_within(&self, from: Offset, until: Offset, limit: usize) -> bool {
        self.tail.lock().is_within(from, until, limit)
    }

    /// Reads whole batches of this view's log from the tail. None if they are not there, or the view is over.
    #[must_use]
    pub fn tail_to_feed(&self, view: &View, from: Offset, until: Offset, max_bytes: usize) -> Option<Slices> {
        let (parts, bytes, next) = {
            let mut tail = self.tail.lock();
            tail.wanted();
            tail.read(from, until.min(view.end), max_bytes)?
        };
        if bytes == 0 || !self.still_leads(view) {
            return None;
        }
        Some(Slices { parts: parts.into_iter().map(Part::Bytes).collect(), bytes, next })
    }

    /// Reads whole batches of this view's log into memory, from the tail or from the store. None if the store does not have
    /// them yet or has no time: the caller asks again.
    pub async fn read_to_feed(
        &self,
        view: &View,
        from: Offset,
        until: Offset,
        max_bytes: usize,
    ) -> Result<Option<Slices>, ReadError> {
        if let Some(slices) = self.tail_to_feed(view, from, until, max_bytes) {
            return Ok(Some(slices));
        }
        let (shard, replica) = self.home(view)?;
        let request = ReadRequest { replica, from, until: until.min(view.end), max_bytes, files: false };
        let read = self.found(view, shard.read(request).await);
        if !self.still_leads(view) {
            return Err(Reject::NotLeader.into());
        }
        match read {
            Ok(slices) => Ok(Some(slices).filter(|slices| slices.bytes > 0)),
            // Above the written end, or below a log start that the next view shows.
            Err(ReadError::OutOfRange(_) | ReadError::Busy) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn still_leads(&self, view: &View) -> bool {
        let now = self.view();
        now.role.serves().is_ok() && (now.leader_epoch, now.log_id) == (view.leader_epoch, view.log_id)
    }
}
