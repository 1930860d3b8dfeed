//! `store.redb`: the home of everything that is settled. One writer (the settler), any number of short reads.
//!
//! A transaction never outlives a job: one held open makes the file grow without bound. After an I/O error redb
//! refuses writes; the settler reopens it once.

use super::backend::Backend;
use super::disk::Disk;
use super::error::ShardFault;
use super::metrics::DbSample;
use super::rows::{self, Home};
use super::space::Health;
use super::spans::{self, SpanTable};
use bytes::Bytes;
use callboard_core::partition::ProducerTable;
use callboard_core::storage::{ReplicaFold, Span};
use callboard_core::{Lsn, Offset, ReplicaId, UnixMillis};
use parking_lot::RwLock;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
const REPLICAS: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("replicas");
const BLOCKS: TableDefinition<'static, (u32, i64), &[u8]> = TableDefinition::new("blocks");
pub(super) const TIMES: TableDefinition<'static, (u32, i64), &[u8]> = TableDefinition::new("times");
/// Bytes of a replica's blocks, kept in step with its time rows.
pub(super) const SIZES: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("sizes");
const PRODUCERS: TableDefinition<'static, (u32, i64), &[u8]> = TableDefinition::new("producers");

/// One shard's database.
pub struct Db {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    cache: usize,
    current: RwLock<Option<Database>>,
    /// What its file has met.
    pub(super) health: Health,
}

/// A block as a read sees it: its batches, copied out; or where they are.
pub type BlockRow = Result<Bytes, (Lsn, u32)>;

/// What the database says at start.
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

impl Db {
    /// Makes a new database for this shard.
    pub fn create(
        disk: Arc<dyn Disk>,
        path: PathBuf,
        uuid: [u8; 16],
        cache: usize,
    ) -> Result<(), ShardFault> {
        let db = Db { disk, path, cache, current: RwLock::new(None), health: Health::default() };
        db.reopen(true)?;
        db.write(|tx| {
            tx.put_meta("shard", &rows::encode_uuid(uuid))?;
            tx.put_x(Lsn(0), 0)?;
            tx.put_next_replica(1)
        })?;
        db.close();
        Ok(())
    }

    /// Opens an existing one and proves that it is this shard's.
    pub fn open(disk: Arc<dyn Disk>, path: PathBuf, uuid: [u8; 16], cache: usize) -> Result<Db, ShardFault> {
        if !disk.exists(&path)? {
            return Err(ShardFault("store.redb is missing: restore it, or remove the node".into()));
        }
        let db = Db { disk, path, cache, current: RwLock::new(None), health: Health::default() };
        db.reopen(false)?;
        match db.meta("shard")? {
            Some(row) if rows::decode_uuid(&row)? == uuid => Ok(db),
            _ => Err(ShardFault("store.redb belongs to another shard: restore this one's".into())),
        }
    }

    /// Opens the file again, after an I/O error.
    pub fn reopen(&self, create: bool) -> Result<(), ShardFault> {
        let mut current = self.current.write();
        drop(current.take());
        let file = self.disk.open(&self.path, create)?;
        if !create && file.is_empty()? {
            return Err(ShardFault("store.redb is empty: restore it, or remove the node".into()));
        }
        let backend = Backend::new(file, Arc::clone(&self.health.ran_out));
        let database = Database::builder().set_cache_size(self.cache).create_with_backend(backend)?;
        *current = Some(database);
        self.health.was_opened();
        Ok(())
    }

    /// Closes the file; every later use fails.
    pub fn close(&self) {
        drop(self.current.write().take());
    }

    /// Whether it is open: not, after it could not be opened again.
    pub(super) fn is_open(&self) -> bool {
        self.current.read().is_some()
    }

    /// Bytes that its file takes of the file system.
    pub(super) fn on_disk(&self) -> u64 {
        self.disk.open(&self.path, false).and_then(|file| file.allocated()).unwrap_or(0)
    }

    /// Its sizes now; zeros while it is closed.
    pub(super) fn sample(&self) -> DbSample {
        let current = self.current.read();
        let (Some(database), Ok(file)) = (current.as_ref(), self.disk.open(&self.path, false)) else {
            return DbSample::default();
        };
        let stats = database.cache_stats();
        DbSample {
            file: file.len().unwrap_or(0),
            cached: stats.used_bytes(),
            cache: self.cache,
            hits: stats.read_hits(),
            misses: stats.read_misses(),
            evictions: stats.evictions(),
        }
    }

    fn read<T>(
        &self,
        job: impl FnOnce(&redb::ReadTransaction) -> Result<T, ShardFault>,
    ) -> Result<T, ShardFault> {
        let current = self.current.read();
        let database = current.as_ref().ok_or_else(|| ShardFault("store.redb is closed".into()))?;
        job(&database.begin_read()?)
    }

    /// One durable transaction.
    pub fn write<T>(&self, job: impl FnOnce(&mut Tx<'_>) -> Result<T, ShardFault>) -> Result<T, ShardFault> {
        let current = self.current.read();
        let database = current.as_ref().ok_or_else(|| ShardFault("store.redb is closed".into()))?;
        let mut tx = database.begin_write()?;
        tx.set_durability(redb::Durability::Immediate)?;
        tx.set_quick_repair(true);
        let out = job(&mut Tx { tx: &tx })?;
        tx.commit()?;
        Ok(out)
    }

    fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, ShardFault> {
        self.read(|tx| match tx.open_table(META) {
            Ok(table) => Ok(table.get(key)?.map(|row| row.value().to_vec())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(e) => Err(e.into()),
        })
    }

    /// Everything but records.
    pub fn load(&self) -> Result<Stored, ShardFault> {
        let missing =
            |what| ShardFault(format!("store.redb: {what} is missing: restore it, or remove the node"));
        let (x, x_crc) = rows::decode_x(&self.meta("x")?.ok_or_else(|| missing("X"))?)?;
        let next_replica =
            rows::decode_u64(&self.meta("next_replica")?.ok_or_else(|| missing("the replica counter"))?)?
                as u32;
        let mut replicas = BTreeMap::new();
        self.read(|tx| {
            let Some(table) = present(tx.open_table(REPLICAS))? else { return Ok(()) };
            for row in table.iter()? {
                let (key, value) = row?;
                replicas.insert(ReplicaId(key.value()), rows::decode_replica(value.value())?);
            }
            let Some(table) = present(tx.open_table(PRODUCERS))? else { return Ok(()) };
            for (replica, state) in &mut replicas {
                let newest = table.range((replica.0, i64::MIN)..=(replica.0, state.next))?.next_back();
                if let Some(row) = newest {
                    state.producers = rows::decode_producers(row?.1.value())?;
                }
            }
            Ok(())
        })?;
        Ok(Stored { x, x_crc, next_replica, replicas })
    }

    /// Blocks from the one that covers `from`, until so many bytes are gathered.
    pub fn blocks(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        max_bytes: usize,
    ) -> Result<Vec<BlockRow>, ShardFault> {
        self.read(|tx| {
            let Some(table) = present(tx.open_table(BLOCKS))? else { return Ok(Vec::new()) };
            let start = covering(&table, replica, from)?;
            let (mut out, mut bytes) = (Vec::new(), 0);
            for row in table.range((replica.0, start)..(replica.0, until))? {
                let (_, value) = row?;
                let value = value.value();
                let (next, home) = rows::decode_block(value)?;
                if next <= from {
                    continue;
                }
                let content = match home {
                    Home::Inline(at) => Ok(Bytes::copy_from_slice(&value[at..])),
                    Home::InJournal { at, length } => Err((at, length)),
                };
                bytes += content.as_ref().map_or_else(|(_, length)| *length as usize, Bytes::len);
                out.push(content);
                if bytes >= max_bytes {
                    break;
                }
            }
            Ok(out)
        })
    }

    /// The newest producer snapshot at or below `at`, and its offset.
    pub fn snapshot(
        &self,
        replica: ReplicaId,
        at: Offset,
    ) -> Result<Option<(Offset, ProducerTable)>, ShardFault> {
        self.read(|tx| {
            let Some(table) = present(tx.open_table(PRODUCERS))? else { return Ok(None) };
            let newest = table.range((replica.0, i64::MIN)..=(replica.0, at))?.next_back();
            let Some(row) = newest else { return Ok(None) };
            let (key, value) = row?;
            Ok(Some((key.value().1, rows::decode_producers(value.value())?)))
        })
    }

    /// Looks at a replica's time index and size, in one snapshot.
    pub fn spans<T>(
        &self,
        replica: ReplicaId,
        look: impl FnOnce(&SpanTable) -> Result<T, ShardFault>,
    ) -> Result<T, ShardFault> {
        self.read(|tx| {
            let (times, sizes) = (present(tx.open_table(TIMES))?, present(tx.open_table(SIZES))?);
            look(&SpanTable { replica, times, sizes })
        })
    }

    /// Bytes of every replica's blocks.
    pub fn sizes(&self) -> Result<BTreeMap<ReplicaId, u64>, ShardFault> {
        self.read(|tx| {
            let mut out = BTreeMap::new();
            let Some(table) = present(tx.open_table(SIZES))? else { return Ok(out) };
            for row in table.iter()? {
                let (key, value) = row?;
                out.insert(ReplicaId(key.value()), rows::decode_u64(value.value())?);
            }
            Ok(out)
        })
    }
}

fn present<T>(table: Result<T, redb::TableError>) -> Result<Option<T>, ShardFault> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The base offset of the row that covers `from`, or would.
pub(super) fn covering(
    table: &impl ReadableTable<(u32, i64), &'static [u8]>,
    replica: ReplicaId,
    from: Offset,
) -> Result<Offset, ShardFault> {
    match table.range((replica.0, i64::MIN)..=(replica.0, from))?.next_back() {
        Some(row) => Ok(row?.0.value().1),
        None => Ok(from),
    }
}

/// A block to store.
pub struct NewBlock {
    /// Its first offset.
    pub base: Offset,
    /// The offset behind its last batch.
    pub next: Offset,
    /// Its batches.
    pub batches: Vec<Bytes>,
    /// Largest timestamp in it.
    pub max_timestamp: i64,
    /// The time now.
    pub stored: UnixMillis,
}

impl NewBlock {
    fn span(&self) -> Span {
        Span {
            base: self.base,
            next: self.next,
            bytes: self.batches.iter().map(|batch| batch.len() as u64).sum(),
            max_timestamp: self.max_timestamp,
            stored: Some(self.stored),
        }
    }
}

/// One write transaction.
pub struct Tx<'t> {
    tx: &'t WriteTransaction,
}

impl Tx<'_> {
    fn put_meta(&mut self, key: &str, row: &[u8]) -> Result<(), ShardFault> {
        self.tx.open_table(META)?.insert(key, row)?;
        Ok(())
    }

    /// Everything below `x` is in redb when this commits.
    pub fn put_x(&mut self, x: Lsn, crc: u32) -> Result<(), ShardFault> {
        self.put_meta("x", &rows::encode_x(x, crc))
    }

    /// The next replica id to mint.
    pub fn put_next_replica(&mut self, next: u32) -> Result<(), ShardFault> {
        self.put_meta("next_replica", &rows::encode_u64(u64::from(next)))
    }

    /// A replica's state and a snapshot of its producers; older snapshots but one are dropped.
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
        let here = (replica.0, state.next);
        let below: Vec<_> = keys.iter().copied().filter(|key| *key < here).collect();
        for key in keys {
            // Above the end: truncated away. Below: the newest one stays beside this one.
            if key > here || (key < here && Some(&key) != below.last()) {
                table.remove(key)?;
            }
        }
        table.insert(here, &rows::encode_producers(&state.producers)[..])?;
        Ok(())
    }

    /// Stores blocks.
    pub fn put_blocks(&mut self, replica: ReplicaId, blocks: &[NewBlock]) -> Result<(), ShardFault> {
        let mut table = self.tx.open_table(BLOCKS)?;
        let mut times = self.tx.open_table(TIMES)?;
        let (mut new, mut gone) = (0, 0);
        for block in blocks {
            // Straight into redb's page.
            let mut row = table.insert_reserve((replica.0, block.base), rows::inline_len(&block.batches))?;
            rows::write_inline(row.as_mut(), block.next, &block.batches);
            drop(row);
            let span = block.span();
            let old = times.insert((replica.0, block.base), &rows::encode_span(&span)[..])?;
            if let Some(old) = old {
                gone += rows::decode_span(block.base, old.value())?.bytes;
            }
            new += span.bytes;
        }
        spans::resize(self.tx, replica, new, gone)
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

    /// Removes everything at and above `to`. A block that straddles it is returned, to be stored again up to there.
    pub fn truncate(&mut self, replica: ReplicaId, to: Offset) -> Result<Option<Vec<u8>>, ShardFault> {
        let mut table = self.tx.open_table(BLOCKS)?;
        let mut times = self.tx.open_table(TIMES)?;
        let cut = (replica.0, to)..=(replica.0, i64::MAX);
        let mut gone = 0;
        for row in times.range(cut.clone())? {
            gone += rows::decode_span(to, row?.1.value())?.bytes;
        }
        table.retain_in(cut.clone(), |_, _| false)?;
        times.retain_in(cut, |_, _| false)?;
        if let Some(above) = to.checked_add(1) {
            let above = (replica.0, above)..=(replica.0, i64::MAX);
            self.tx.open_table(PRODUCERS)?.retain_in(above, |_, _| false)?;
        }
        let last = match table.range((replica.0, i64::MIN)..(replica.0, to))?.next_back() {
            None => None,
            Some(row) => {
                let (key, value) = row?;
                let straddles = rows::decode_block(value.value())?.0 > to;
                straddles.then(|| (key.value(), value.value().to_vec()))
            }
        };
        if let Some((key, _)) = &last {
            table.remove(*key)?;
            if let Some(old) = times.remove(*key)? {
                gone += rows::decode_span(to, old.value())?.bytes;
            }
        }
        spans::resize(self.tx, replica, 0, gone)?;
        Ok(last.map(|(_, row)| row))
    }

    /// Removes blocks that lie wholly below `to`, at most `left` of them. Whether there is more.
    pub fn trim(&mut self, replica: ReplicaId, to: Offset, left: &mut usize) -> Result<bool, ShardFault> {
        let mut table = self.tx.open_table(BLOCKS)?;
        let mut times = self.tx.open_table(TIMES)?;
        let (mut gone, mut bytes, mut more) = (Vec::new(), 0, false);
        for row in times.range((replica.0, i64::MIN)..(replica.0, to))? {
            let (key, value) = row?;
            let span = rows::decode_span(key.value().1, value.value())?;
            if span.next > to {
                break;
            }
            if gone.len() >= *left {
                more = true;
                break;
            }
            bytes += span.bytes;
            gone.push(key.value());
        }
        for key in &gone {
            table.remove(*key)?;
            times.remove(*key)?;
        }
        *left -= gone.len();
        spans::resize(self.tx, replica, 0, bytes)?;
        Ok(more)
    }

    /// Removes a dropped replica's rows, at most `left` blocks of them. Whether there is more.
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

    /// Shows the stored blocks of an offset range, from the one that covers its start, row by row.
    pub fn rows_between(
        &self,
        replica: ReplicaId,
        from: Offset,
        to: Offset,
        mut show: impl FnMut(&[u8]) -> Result<(), ShardFault>,
    ) -> Result<(), ShardFault> {
        let table = self.tx.open_table(BLOCKS)?;
        let start = covering(&table, replica, from)?;
        for row in table.range((replica.0, start)..(replica.0, to))? {
            show(row?.1.value())?;
        }
        Ok(())
    }
}
