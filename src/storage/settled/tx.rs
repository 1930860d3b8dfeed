//! One write transaction of `store.redb`: the changes that the settler makes.
//!
//! ```text
//!   spans (`times`)   one row a stretch of batches ─┬─ a block row of the same key
//!                                                   └─ a place in the journal ─> counted in `segments`
//! ```
//!
//! References to journal segments are summed up over the transaction and written last. So the rows of `segments` are always
//! true of what is committed. Which entries are settled is decided in `window.rs` and `part.rs`.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::position::Place;
use crate::storage::settled::rows::{self, Home, Stretch};
use crate::storage::settled::spans;
use crate::storage::settled::tables::{
    BLOCKS, META, PRODUCERS, REPLICAS, SEGMENTS, SIZES, TIMES, Used, covering, no_block,
};
use bytes::Bytes;
use callboard_core::mutant::{Mutant, planted};
use callboard_core::partition::ProducerTable;
use callboard_core::storage::{ReplicaFold, Span};
use callboard_core::{Lsn, Offset, ReplicaId};
use redb::{ReadableTable, Table, WriteTransaction};
use std::collections::BTreeMap;

type Rows<'t> = Table<'t, (u32, i64), &'static [u8]>;

/// A stretch of batches to store.
pub struct NewStretch {
    pub span: Span,
    pub content: NewContent,
}

/// The home that the batches get.
pub enum NewContent {
    /// A block, into which these are copied.
    Inline(Vec<Bytes>),
    /// The journal, where they stay.
    Journal(Place),
}

/// A stretch that a truncation cuts in two.
pub enum Straddling {
    /// The batches of a block.
    Inline(Bytes),
    Journal(Span, Place),
}

/// A write transaction and the segments it touches.
pub struct Tx<'t> {
    tx: &'t WriteTransaction,
    /// By segment, the bytes and rows that came, less those that went.
    moved: BTreeMap<Lsn, (i64, i64)>,
}

impl<'t> Tx<'t> {
    /// Changes over this transaction, none yet.
    #[must_use]
    pub fn new(tx: &'t WriteTransaction) -> Tx<'t> {
        Tx { tx, moved: BTreeMap::new() }
    }

    /// Writes down how much of each segment is used now, and returns the rows that changed.
    pub fn finish(self) -> Result<Vec<(Lsn, Used)>, ShardFault> {
        let mut out = Vec::new();
        if self.moved.is_empty() {
            return Ok(out);
        }
        let mut table = self.tx.open_table(SEGMENTS)?;
        for (segment, (bytes, rows)) in self.moved {
            let before = table.get(segment.0)?.map_or(Ok((0, 0)), |row| rows::decode_used(row.value()))?;
            let used = Used {
                bytes: before.0.saturating_add_signed(bytes),
                rows: before.1.saturating_add_signed(rows),
            };
            if used.rows == 0 {
                table.remove(segment.0)?;
            } else {
                table.insert(segment.0, &rows::encode_used(used.bytes, used.rows)[..])?;
            }
            out.push((segment, used));
        }
        Ok(out)
    }

    /// Stores a row of `meta`.
    pub fn put_meta(&mut self, key: &str, row: &[u8]) -> Result<(), ShardFault> {
        self.tx.open_table(META)?.insert(key, row)?;
        Ok(())
    }

    /// Stores X: everything below it is in redb when this commits.
    pub fn put_x(&mut self, x: Lsn, crc: u32) -> Result<(), ShardFault> {
        self.put_meta("x", &rows::encode_x(x, crc))
    }

    /// Stores the next replica id to mint.
    pub fn put_next_replica(&mut self, next: u32) -> Result<(), ShardFault> {
        self.put_meta("next_replica", &rows::encode_u64(u64::from(next)))
    }

    /// Stores a replica's state and a snapshot of its producers. Of older snapshots one stays.
    pub fn put_replica(&mut self, replica: ReplicaId, state: &ReplicaFold) -> Result<(), ShardFault> {
        self.tx.open_table(REPLICAS)?.insert(replica.0, &rows::encode_replica(state)[..])?;
        let mut table = self.tx.open_table(PRODUCERS)?;
        let whole = (replica.0, i64::MIN)..=(replica.0, i64::MAX);
        let mut keys = Vec::new();
        for row in table.range(whole)? {
            keys.push(row?.0.value());
        }
        if state.producers.is_empty() && keys.is_empty() {
            return Ok(());
        }
        let here = (replica.0, state.outline.next);
        let below: Vec<_> = keys.iter().copied().filter(|key| *key < here).collect();
        for key in keys {
            // Snapshots above the end were truncated away. Of those below, the newest stays beside this one.
            if key > here || (key < here && Some(&key) != below.last()) {
                table.remove(key)?;
            }
        }
        table.insert(here, &rows::encode_producers(&state.producers)[..])?;
        Ok(())
    }

    /// Stores stretches in place of those under the same keys.
    pub fn put_stretches(&mut self, replica: ReplicaId, new: &[NewStretch]) -> Result<(), ShardFault> {
        let mut blocks = self.tx.open_table(BLOCKS)?;
        let mut times = self.tx.open_table(TIMES)?;
        let (mut came, mut gone) = (0, 0);
        for NewStretch { span, content } in new {
            let key = (replica.0, span.base);
            gone += remove(&mut times, &mut blocks, &mut self.moved, key)?;
            let home = match content {
                NewContent::Inline(batches) => {
                    // The batches are copied straight into redb's page.
                    let mut row = blocks.insert_reserve(key, rows::inline_len(batches))?;
                    rows::write_inline(row.as_mut(), span.next, batches);
                    Home::Block
                }
                NewContent::Journal(place) => {
                    note(&mut self.moved, place.segment, span.bytes, 1);
                    Home::Journal(*place)
                }
            };
            times.insert(key, &rows::encode_stretch(&Stretch { span: *span, home })[..])?;
            came += span.bytes;
        }
        spans::resize(self.tx, replica, came, gone)
    }

    /// The newest producer snapshot at or below `at`, and its offset.
    pub fn snapshot_below(
        &self,
        replica: ReplicaId,
        at: Offset,
    ) -> Result<Option<(Offset, ProducerTable)>, ShardFault> {
        let table = self.tx.open_table(PRODUCERS)?;
        let newest = table.range((replica.0, i64::MIN)..=(replica.0, at))?.next_back();
        let Some(row) = newest else { return Ok(None) };
        let (key, value) = row?;
        Ok(Some((key.value().1, rows::decode_producers(value.value())?)))
    }

    /// Removes everything at and above `to`. Returns the stretch that straddles it, to be stored again up to there.
    pub fn truncate(&mut self, replica: ReplicaId, to: Offset) -> Result<Option<Straddling>, ShardFault> {
        let mut blocks = self.tx.open_table(BLOCKS)?;
        let mut times = self.tx.open_table(TIMES)?;
        let (mut above, mut gone) = (Vec::new(), 0);
        for row in times.range((replica.0, to)..=(replica.0, i64::MAX))? {
            above.push(row?.0.value());
        }
        for key in above {
            gone += remove(&mut times, &mut blocks, &mut self.moved, key)?;
        }
        if let Some(above) = to.checked_add(1) {
            let above = (replica.0, above)..=(replica.0, i64::MAX);
            self.tx.open_table(PRODUCERS)?.retain_in(above, |_, _| false)?;
        }
        let last = match times.range((replica.0, i64::MIN)..(replica.0, to))?.next_back() {
            None => None,
            Some(row) => {
                let (key, value) = row?;
                Some((key.value(), rows::decode_stretch(key.value().1, value.value())?))
            }
        };
        let mut out = None;
        if let Some((key, Stretch { span, home })) = last.filter(|(_, stretch)| stretch.span.next > to) {
            out = Some(match home {
                Home::Journal(place) => Straddling::Journal(span, place),
                Home::Block => {
                    let block = blocks.get(key)?.ok_or_else(|| no_block(key))?;
                    Straddling::Inline(Bytes::copy_from_slice(rows::decode_block(block.value())?.1))
                }
            });
            gone += remove(&mut times, &mut blocks, &mut self.moved, key)?;
        }
        spans::resize(self.tx, replica, 0, gone)?;
        Ok(out)
    }

    /// Removes everything at and above `at`, the stretch that straddles it, and every snapshot of producers. What lies
    /// wholly below `at` can not be read any more and is left to the sweep.
    pub fn reset(&mut self, replica: ReplicaId, at: Offset) -> Result<(), ShardFault> {
        drop(self.truncate(replica, at)?);
        let all = (replica.0, i64::MIN)..=(replica.0, i64::MAX);
        self.tx.open_table(PRODUCERS)?.retain_in(all, |_, _| false)?;
        Ok(())
    }

    /// Removes at most `left` stretches that lie wholly below `to`. Returns whether there are more.
    pub fn trim(&mut self, replica: ReplicaId, to: Offset, left: &mut usize) -> Result<bool, ShardFault> {
        let mut blocks = self.tx.open_table(BLOCKS)?;
        let mut times = self.tx.open_table(TIMES)?;
        let (mut below, mut bytes, mut more) = (Vec::new(), 0, false);
        for row in times.range((replica.0, i64::MIN)..(replica.0, to))? {
            let (key, value) = row?;
            let Stretch { span, .. } = rows::decode_stretch(key.value().1, value.value())?;
            if span.next > to {
                break;
            }
            if below.len() >= *left {
                more = true;
                break;
            }
            below.push(key.value());
        }
        for key in &below {
            bytes += remove(&mut times, &mut blocks, &mut self.moved, *key)?;
        }
        *left -= below.len();
        spans::resize(self.tx, replica, 0, bytes)?;
        Ok(more)
    }

    /// Removes a dropped replica's rows, at most `left` stretches of them. Returns whether there are more.
    pub fn drop_replica(&mut self, replica: ReplicaId, left: &mut usize) -> Result<bool, ShardFault> {
        if self.trim(replica, i64::MAX, left)? {
            return Ok(true);
        }
        let all = (replica.0, i64::MIN)..=(replica.0, i64::MAX);
        self.tx.open_table(PRODUCERS)?.retain_in(all, |_, _| false)?;
        self.tx.open_table(SIZES)?.remove(replica.0)?;
        self.tx.open_table(REPLICAS)?.remove(replica.0)?;
        Ok(false)
    }

    /// Shows the stretches of an offset range, from the one that covers its start: its span, and its batches or their place.
    pub fn rows_between(
        &self,
        replica: ReplicaId,
        from: Offset,
        to: Offset,
        mut show: impl FnMut(&Span, Result<&[u8], Place>) -> Result<(), ShardFault>,
    ) -> Result<(), ShardFault> {
        let (times, blocks) = (self.tx.open_table(TIMES)?, self.tx.open_table(BLOCKS)?);
        let start = covering(&times, replica, from)?;
        for row in times.range((replica.0, start)..(replica.0, to))? {
            let (key, value) = row?;
            let Stretch { span, home } = rows::decode_stretch(key.value().1, value.value())?;
            match home {
                Home::Journal(place) => show(&span, Err(place))?,
                Home::Block => {
                    let block = blocks.get(key.value())?.ok_or_else(|| no_block(key.value()))?;
                    show(&span, Ok(rows::decode_block(block.value())?.1))?;
                }
            }
        }
        Ok(())
    }
}

fn note(moved: &mut BTreeMap<Lsn, (i64, i64)>, segment: Lsn, bytes: u64, sign: i64) {
    let (of_bytes, of_rows) = moved.entry(segment).or_default();
    *of_bytes += sign * bytes as i64;
    *of_rows += sign;
}

/// Removes the stretch under a key, if there is one, and returns its bytes.
fn remove(
    times: &mut Rows<'_>,
    blocks: &mut Rows<'_>,
    moved: &mut BTreeMap<Lsn, (i64, i64)>,
    key: (u32, i64),
) -> Result<u64, ShardFault> {
    let Some(old) = times.remove(key)? else { return Ok(0) };
    let Stretch { span, home } = rows::decode_stretch(key.1, old.value())?;
    match home {
        Home::Block => drop(blocks.remove(key)?),
        Home::Journal(_) if planted(Mutant::GoneStillCounted) => {}
        Home::Journal(place) => note(moved, place.segment, span.bytes, -1),
    }
    Ok(span.bytes)
}
