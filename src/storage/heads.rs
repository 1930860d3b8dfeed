//! Batch heads that are in the journal and not in redb: from them, and from what redb holds, the producers of a replica
//! are found again when a truncation is folded (recovery, and an actor's restart).

use super::db::Db;
use super::error::ShardFault;
use super::settle::batches_of;
use callboard_core::partition::ProducerTable;
use callboard_core::records::BatchHead;
use callboard_core::{Offset, ReplicaId};

/// One replica's heads behind what redb holds.
#[derive(Debug, Default)]
pub struct Heads {
    heads: Vec<BatchHead>,
    /// What redb holds at and above this was truncated by an entry that is not settled yet.
    settled: Offset,
}

impl Heads {
    /// Of a replica that redb holds up to here.
    #[must_use]
    pub fn behind(settled: Offset) -> Heads {
        Heads { heads: Vec::new(), settled }
    }

    /// Adds one.
    pub fn extend(&mut self, head: impl IntoIterator<Item = BatchHead>) {
        self.heads.extend(head);
    }

    /// Takes off what a truncation takes, and returns the producers at the new end: the newest snapshot at or below
    /// it, the stored heads behind that, then those of the journal.
    pub fn truncate(&mut self, db: &Db, replica: ReplicaId, to: Offset) -> Result<ProducerTable, ShardFault> {
        self.heads.retain(|head| head.base_offset < to);
        self.settled = self.settled.min(to);
        let (mut at, mut table) = db.snapshot(replica, self.settled)?.unwrap_or_default();
        'stored: while at < self.settled {
            let before = at;
            for block in db.blocks(replica, at, self.settled, 1 << 20)? {
                let Ok(bytes) = block else { continue };
                for (_, head) in batches_of(&bytes)? {
                    if head.base_offset >= self.settled {
                        break 'stored;
                    }
                    if head.base_offset >= at {
                        table.apply(&head);
                    }
                    at = at.max(head.next_offset());
                }
            }
            if at == before {
                break;
            }
        }
        self.heads.iter().filter(|head| head.base_offset >= at).for_each(|head| table.apply(head));
        Ok(table)
    }
}
