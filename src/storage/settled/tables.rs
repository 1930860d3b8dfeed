//! The tables of `store.redb`: their names and keys, and the values that a read takes out of them.
//!
//! A value's bytes stand in `rows.rs`. A new database has no tables yet, so a read finds a missing one to be empty. The
//! errors of redb become faults here, in words; which fault is final is not decided here.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::position::Place;
use bytes::Bytes;
use callboard_core::storage::{ReplicaFold, Span};
use callboard_core::{Lsn, Offset, ReplicaId};
use redb::{ReadableTable, TableDefinition};
use std::collections::BTreeMap;

/// The shard's uuid, X, and the next replica id.
pub const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
/// States of replicas, without their producers.
pub const REPLICAS: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("replicas");
/// Batches: those of the span of the same key.
pub const BLOCKS: TableDefinition<'static, (u32, i64), &[u8]> = TableDefinition::new("blocks");
/// Spans: what they cover, and where their batches are.
pub const TIMES: TableDefinition<'static, (u32, i64), &[u8]> = TableDefinition::new("times");
/// Bytes of a replica's spans, kept in step with its rows in `times`.
pub const SIZES: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("sizes");
/// Snapshots of producers, by the offset of which they are.
pub const PRODUCERS: TableDefinition<'static, (u32, i64), &[u8]> = TableDefinition::new("producers");
/// How much of each journal segment spans refer to.
pub const SEGMENTS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("segments");

/// The spans that refer to one segment: their bytes and their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    pub bytes: u64,
    pub rows: u64,
}

/// A span as a read sees it.
pub struct Row {
    pub span: Span,
    pub content: Content,
}

/// The batches of a span, or the place where they lie.
pub enum Content {
    /// Copied out of a block.
    Inline(Bytes),
    Journal(Place),
}

/// The database at a start.
pub struct Stored {
    /// Everything below is in redb.
    pub x: Lsn,
    /// Checksum of the group before it.
    pub x_crc: u32,
    /// The next replica id to mint.
    pub next_replica: u32,
    /// All replicas, producers included.
    pub replicas: BTreeMap<ReplicaId, ReplicaFold>,
}

/// Spans in the journal, and the key to go on from, if there is more.
pub type JournalSpans = (Vec<(ReplicaId, Span, Place)>, Option<(ReplicaId, Offset)>);

/// The fault of a span whose block is not there.
#[must_use]
pub fn no_block((replica, base): (u32, i64)) -> ShardFault {
    ShardFault(format!("store.redb: the block of replica {replica} at offset {base} is missing"))
}

/// The table, or none in a database that has no such table yet.
pub fn present<T>(table: Result<T, redb::TableError>) -> Result<Option<T>, ShardFault> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The base offset of the row that covers `from`, or would.
pub fn covering(
    table: &impl ReadableTable<(u32, i64), &'static [u8]>,
    replica: ReplicaId,
    from: Offset,
) -> Result<Offset, ShardFault> {
    match table.range((replica.0, i64::MIN)..=(replica.0, from))?.next_back() {
        Some(row) => Ok(row?.0.value().1),
        None => Ok(from),
    }
}

macro_rules! from_redb {
    ($($kind:ty),*) => {$(
        impl From<$kind> for ShardFault {
            fn from(error: $kind) -> ShardFault {
                ShardFault(format!("store.redb: {error}"))
            }
        }
    )*};
}
from_redb!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::SetDurabilityError
);
