//! The scrubber: it proves the records that stay in the journal, because the kernel sends them unread.
//!
//! ```text
//!   rows in order ─ those in the journal ─> read, each batch proved ─> what fails: refused from now on, counted, logged
//! ```
//!
//! Each call proves a little and goes on where the last one ended; the thread that calls it sets the pace, a pass a week.
//! Blocks in redb are not scrubbed, because every read of one proves it. The replica is told, and on a cluster its leader
//! fills it anew. On a single node nothing mends a rotten stretch: the scrubber says where it is.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::batches::proved;
use crate::storage::journal::stream::Journal;
use crate::storage::metrics;
use crate::storage::settled::db::Db;
use callboard_core::{Offset, ReplicaId};
use parking_lot::Mutex;
use std::collections::BTreeSet;

/// Rows looked at in one go.
const LOOK: usize = 1024;
/// Seconds for a pass over everything: a week.
const PASS_SECONDS: u64 = 7 * 24 * 3600;
/// The slowest pace. Bytes a second.
const LEAST: u64 = 64 * 1024;

/// The outcome of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    pub bytes: u64,
    /// Stretches that did not prove themselves.
    pub rotten: u64,
    /// The pass came to its end; the next call begins anew.
    pub finished: bool,
}

/// Knows which stretches in the journal have rotted, and where the next call goes on.
pub struct Scrubber {
    shard: u16,
    /// Each stretch by its replica and first offset.
    rotten: Mutex<BTreeSet<(ReplicaId, Offset)>>,
    /// Replicas that are to be told of it, with the reason.
    news: Mutex<Vec<(ReplicaId, String)>>,
    next: Mutex<(ReplicaId, Offset)>,
}

impl Scrubber {
    /// A scrubber that begins a pass and knows of no rot.
    #[must_use]
    pub fn new(shard: u16) -> Scrubber {
        Scrubber {
            shard,
            rotten: Mutex::default(),
            news: Mutex::default(),
            next: Mutex::new((ReplicaId(0), Offset::MIN)),
        }
    }

    /// Bytes to be looked at in a second, for a pass a week.
    #[must_use]
    pub fn pace(db: &Db) -> u64 {
        let live = db.resident_bytes();
        if live == 0 { 0 } else { (live / PASS_SECONDS).max(LEAST) }
    }

    /// Reads and proves about so many bytes.
    pub fn scrub(&self, journal: &Journal, db: &Db, budget: u64) -> Result<Scrubbed, ShardFault> {
        let mut cursor = self.next.lock();
        let mut done = Scrubbed::default();
        loop {
            let (rows, next) = db.in_journal(*cursor, LOOK)?;
            for (replica, span, place) in rows {
                if done.bytes >= budget {
                    *cursor = (replica, span.base);
                    return Ok(self.counted(done));
                }
                done.bytes += span.bytes;
                let proof = journal
                    .segment_of(place.at)
                    .and_then(|segment| proved(&segment, span.base, &place, span.bytes));
                let Err(fault) = proof else { continue };
                // It may have moved, or gone, since its row was read.
                let still = db.in_journal_between(replica, span.base, span.base)?;
                if still.iter().any(|(_, _, now)| *now == place) {
                    done.rotten += 1;
                    self.found_rotten(replica, span.base, &fault);
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

    /// Remembers that a stretch does not prove itself: reads of it are refused.
    pub fn found_rotten(&self, replica: ReplicaId, base: Offset, why: &ShardFault) {
        if self.rotten.lock().insert((replica, base)) {
            metrics::rotten(self.shard);
            self.news.lock().push((replica, format!("its records from offset {base} on have rotted: {why}")));
            tracing::error!(
                shard = self.shard,
                replica = replica.0,
                offset = base,
                "stored records have rotted: {why}; reads of them are refused"
            );
        }
    }

    /// The replicas in which rot was found since the last call.
    pub fn newly_rotten(&self) -> Vec<(ReplicaId, String)> {
        std::mem::take(&mut *self.news.lock())
    }

    /// Whether a stretch is known not to prove itself.
    #[must_use]
    pub fn is_rotten(&self, replica: ReplicaId, base: Offset) -> bool {
        self.rotten.lock().contains(&(replica, base))
    }

    fn counted(&self, done: Scrubbed) -> Scrubbed {
        metrics::scrubbed(self.shard, done.bytes, done.finished);
        done
    }
}
