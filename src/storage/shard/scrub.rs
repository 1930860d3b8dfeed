//! Looking at what nobody looks at: records that stay in the journal are sent by the kernel, unread.
//!
//! ```text
//!   rows in order ─ those in the journal ─> read, each batch proved ─> what fails: refused from now on, counted, logged
//! ```
//!
//! So much a call, from where the last one ended: the thread that calls it sets the pace (a pass a week). Blocks in redb are
//! not looked at here: every read of one proves it. On a single node nothing mends what has rotted; it is said, not hidden.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::batches::proved;
use crate::storage::shard::engine::Engine;
use callboard_core::{Offset, ReplicaId};

/// Rows looked at in one go.
const LOOK: usize = 1024;
/// A pass over everything takes so many seconds: a week.
const PASS_SECONDS: u64 = 7 * 24 * 3600;
/// Nor is it slower than this. Bytes a second.
const LEAST: u64 = 64 * 1024;

/// What one call looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Bytes read.
    pub bytes: u64,
    /// Stretches that did not prove themselves.
    pub rotten: u64,
    /// It came to the end; the next call begins anew.
    pub finished: bool,
}

impl Engine {
    /// Bytes to be looked at in a second, for a pass a week.
    #[must_use]
    pub fn scrub_pace(&self) -> u64 {
        let live = self.db.resident_bytes();
        if live == 0 { 0 } else { (live / PASS_SECONDS).max(LEAST) }
    }

    /// Reads and proves about so many bytes.
    pub fn scrub(&self, budget: u64) -> Result<Scrubbed, ShardFault> {
        self.healthy()?;
        let mut cursor = self.scrubbed_to.lock();
        let mut done = Scrubbed::default();
        loop {
            let (rows, next) = self.db.in_journal(*cursor, LOOK)?;
            for (replica, span, place) in rows {
                if done.bytes >= budget {
                    *cursor = (replica, span.base);
                    return Ok(self.counted(done));
                }
                done.bytes += span.bytes;
                let held = self.index.lock().segment(place.at);
                let result = match held {
                    Some(segment) => proved(&segment, span.base, &place, span.bytes).map(drop),
                    None => Err(ShardFault::no_segment(place.at)),
                };
                let Err(fault) = result else { continue };
                // It may have moved, or gone, since its row was read.
                let still = self.db.in_journal_between(replica, span.base, span.base)?;
                if still.iter().any(|(_, _, now)| *now == place) {
                    done.rotten += 1;
                    self.rotten(replica, span.base, &fault);
                }
            }
            match next {
                Some(next) => *cursor = next,
                None => {
                    *cursor = (ReplicaId(0), Offset::MIN);
                    done.finished = true;
                    return Ok(self.counted(done));
                }
            }
        }
    }

    fn counted(&self, done: Scrubbed) -> Scrubbed {
        crate::storage::metrics::scrubbed(self.shard, done.bytes, done.finished);
        done
    }
}
