//! The time index and the sizes of replicas: rows beside the blocks, changed in the same transactions.
//!
//! ```text
//!   times  (replica, first offset) ─> largest timestamp, time of storing, next offset, bytes       one row a span
//!   sizes  replica                 ─> bytes of all its spans                                        their sum
//! ```
//!
//! A span below the log start counts in `sizes` until it is swept. The batches of spans are not looked at here.

use crate::storage::disk::fault::ShardFault;
use crate::storage::settled::rows;
use crate::storage::settled::tables::{SIZES, covering};
use callboard_core::storage::Span;
use callboard_core::{Offset, ReplicaId};
use redb::{ReadOnlyTable, ReadableTable, WriteTransaction};

/// One replica's rows, in one snapshot. A new database has no tables yet.
pub struct SpanTable {
    pub replica: ReplicaId,
    pub times: Option<ReadOnlyTable<(u32, i64), &'static [u8]>>,
    pub sizes: Option<ReadOnlyTable<u32, &'static [u8]>>,
}

type Spans<'a> = Box<dyn Iterator<Item = Result<Span, ShardFault>> + 'a>;

impl SpanTable {
    /// Spans from the one that covers `from`, up to the last that begins below `until`.
    pub fn between(&self, from: Offset, until: Offset) -> Result<Spans<'_>, ShardFault> {
        // The log start may have passed an end that was read before it.
        let Some(times) = self.times.as_ref().filter(|_| from < until) else {
            return Ok(Box::new(std::iter::empty()));
        };
        let start = covering(times, self.replica, from)?;
        let rows = times.range((self.replica.0, start)..(self.replica.0, until))?;
        let spans = rows.map(|row| {
            let (key, value) = row?;
            rows::decode_stretch(key.value().1, value.value()).map(|stretch| stretch.span)
        });
        // The row before `from` may end below it.
        Ok(Box::new(spans.filter(move |span| span.as_ref().map_or(true, |span| span.next > from))))
    }

    fn size(&self) -> Result<u64, ShardFault> {
        match &self.sizes {
            Some(sizes) => sizes.get(self.replica.0)?.map_or(Ok(0), |row| rows::decode_u64(row.value())),
            None => Ok(0),
        }
    }

    /// Bytes of the spans that reach beyond `from` and begin below `until`. The others are few, because they wait to be
    /// swept or have just come.
    pub fn size_between(&self, from: Offset, until: Offset) -> Result<u64, ShardFault> {
        let mut size = self.size()?;
        let below = self
            .between(Offset::MIN, from.min(until))?
            .filter(|s| s.as_ref().map_or(true, |s| s.next <= from));
        let above =
            self.between(until, Offset::MAX)?.filter(|s| s.as_ref().map_or(true, |s| s.base >= until));
        for span in below.chain(above) {
            size = size.saturating_sub(span?.bytes);
        }
        Ok(size)
    }
}

/// Adds the bytes of new spans to a replica's size and takes off those that are gone.
pub fn resize(tx: &WriteTransaction, replica: ReplicaId, new: u64, gone: u64) -> Result<(), ShardFault> {
    if (new, gone) == (0, 0) {
        return Ok(());
    }
    let mut sizes = tx.open_table(SIZES)?;
    let before = sizes.get(replica.0)?.map_or(Ok(0), |row| rows::decode_u64(row.value()))?;
    let after = before.saturating_add(new).saturating_sub(gone);
    sizes.insert(replica.0, &rows::encode_u64(after)[..])?;
    Ok(())
}
