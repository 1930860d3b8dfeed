//! The producers of a replica behind a truncation, found again.
//!
//! A truncation takes batches away, and with them what is known of their producers. Recovery and an actor's restart begin
//! with the newest snapshot that is left in redb. To it they apply the stored batch heads behind it, then those that only
//! the journal has. Batches below the log start do not count: they may be of a log before a reset, and wait to be swept.
//! Settling does the same inside its transaction, in `part.rs`.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::batches::{batches_of, walk_heads};
use crate::storage::journal::segment::Segment;
use crate::storage::settled::db::Db;
use crate::storage::settled::tables::{Content, Row};
use callboard_core::partition::ProducerTable;
use callboard_core::records::BatchHead;
use callboard_core::storage::Outline;
use callboard_core::{Lsn, Offset, ReplicaId};
use std::sync::Arc;

/// One replica's heads behind what redb holds.
#[derive(Debug, Default)]
pub struct Heads {
    heads: Vec<BatchHead>,
    /// Rows at and above this were cut off by an entry that is not settled yet.
    settled: Offset,
}

impl Heads {
    /// The heads of a replica that redb holds up to here; none yet.
    #[must_use]
    pub fn behind(settled: Offset) -> Heads {
        Heads { heads: Vec::new(), settled }
    }

    /// Adds the heads of batches that follow.
    pub fn extend(&mut self, head: impl IntoIterator<Item = BatchHead>) {
        self.heads.extend(head);
    }

    /// Takes off all heads: the log was emptied, and nothing that redb holds belongs to it.
    pub fn reset(&mut self) {
        *self = Heads::behind(Offset::MIN);
    }

    /// Takes off the heads that a truncation takes, and returns the producers at the new end, which the outline shows.
    pub fn truncate(
        &mut self,
        db: &Db,
        find: &dyn Fn(Lsn) -> Option<Arc<Segment>>,
        replica: ReplicaId,
        outline: &Outline,
    ) -> Result<ProducerTable, ShardFault> {
        let (log_start, to) = (outline.log_start, outline.next);
        self.heads.retain(|head| head.base_offset < to && log_start < to);
        self.settled = self.settled.min(to);
        let (from, mut table) = db.snapshot(replica, self.settled)?.unwrap_or_default();
        let mut at = from.max(log_start);
        'stored: while at < self.settled {
            let before = at;
            for row in db.rows(replica, at, self.settled, 1 << 20)? {
                for head in heads_of(&row, find)? {
                    if head.base_offset >= self.settled {
                        break 'stored;
                    }
                    if head.base_offset >= from && head.next_offset() > at {
                        table.apply(&head);
                    }
                    at = at.max(head.next_offset());
                }
            }
            if at == before {
                break;
            }
        }
        let counts = |head: &&BatchHead| head.base_offset >= from && head.next_offset() > log_start;
        self.heads.iter().filter(counts).for_each(|head| table.apply(head));
        Ok(table)
    }
}

/// The heads of a row's batches. `find` gives the segment that holds a position.
pub fn heads_of(row: &Row, find: &dyn Fn(Lsn) -> Option<Arc<Segment>>) -> Result<Vec<BatchHead>, ShardFault> {
    match &row.content {
        Content::Inline(bytes) => Ok(batches_of(bytes)?.into_iter().map(|(_, head)| head).collect()),
        Content::Journal(place) => {
            let segment = find(place.at).ok_or_else(|| ShardFault::no_segment(place.at))?;
            walk_heads(&segment, place.at, row.span.bytes as u32).map(|found| Ok(found?.head)).collect()
        }
    }
}
