//! `store.redb`, one shard's database. One writer (the settler), any number of short reads.
//!
//! A transaction never outlives a job, because one held open makes the file grow without bound. After an I/O error redb
//! refuses writes until it is opened again; the shard decides when. The bytes of rows stand in `rows.rs`, and changes in
//! `tx.rs`.

use crate::storage::disk::fault::ShardFault;
use crate::storage::disk::health::Health;
use crate::storage::disk::port::Disk;
use crate::storage::journal::position::Place;
use crate::storage::sample::DbSample;
use crate::storage::settled::backend::Backend;
use crate::storage::settled::rows::{self, Home, Stretch};
use crate::storage::settled::spans::SpanTable;
use crate::storage::settled::tables::{
    BLOCKS, Content, JournalSpans, META, PRODUCERS, REPLICAS, Row, SEGMENTS, SIZES, Stored, TIMES, Used,
    covering, no_block, present,
};
use crate::storage::settled::tx::Tx;
use bytes::Bytes;
use callboard_core::partition::ProducerTable;
use callboard_core::storage::Span;
use callboard_core::{Lsn, Offset, ReplicaId};
use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadableDatabase, ReadableTable};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The database of one shard.
pub struct Db {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    cache: usize,
    current: RwLock<Option<Database>>,
    /// The table `segments`, as of the last commit.
    used: Mutex<BTreeMap<Lsn, Used>>,
    /// The length of `used`, for those who take no lock.
    used_segments: AtomicU64,
    pub health: Health,
}

impl Db {
    fn closed(disk: Arc<dyn Disk>, path: PathBuf, cache: usize) -> Db {
        Db {
            disk,
            path,
            cache,
            current: RwLock::new(None),
            used: Mutex::default(),
            used_segments: AtomicU64::new(0),
            health: Health::default(),
        }
    }

    /// Makes a new database for this shard.
    pub fn create(
        disk: Arc<dyn Disk>,
        path: PathBuf,
        uuid: [u8; 16],
        cache: usize,
    ) -> Result<(), ShardFault> {
        let db = Db::closed(disk, path, cache);
        db.reopen(true)?;
        db.write(|tx| {
            tx.put_meta("shard", &rows::encode_uuid(uuid))?;
            tx.put_x(Lsn(0), 0)?;
            tx.put_next_replica(1)
        })?;
        db.close();
        Ok(())
    }

    /// Opens an existing database and proves that it is this shard's.
    pub fn open(disk: Arc<dyn Disk>, path: PathBuf, uuid: [u8; 16], cache: usize) -> Result<Db, ShardFault> {
        if !disk.exists(&path)? {
            return Err(ShardFault("store.redb is missing: restore it, or remove the node".into()));
        }
        let db = Db::closed(disk, path, cache);
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

    /// Whether the file is open; it is not if it could not be opened again.
    pub fn is_open(&self) -> bool {
        self.current.read().is_some()
    }

    /// Bytes that the file takes of the file system.
    pub fn on_disk(&self) -> u64 {
        self.disk.open(&self.path, false).and_then(|file| file.allocated()).unwrap_or(0)
    }

    /// Sizes for a scrape; zeros while the file is closed.
    pub fn sample(&self) -> DbSample {
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

    /// Runs one durable transaction.
    pub fn write<T>(&self, job: impl FnOnce(&mut Tx<'_>) -> Result<T, ShardFault>) -> Result<T, ShardFault> {
        let current = self.current.read();
        let database = current.as_ref().ok_or_else(|| ShardFault("store.redb is closed".into()))?;
        let mut tx = database.begin_write()?;
        tx.set_durability(redb::Durability::Immediate)?;
        tx.set_quick_repair(true);
        let mut changes = Tx::new(&tx);
        let out = job(&mut changes)?;
        let moved = changes.finish()?;
        tx.commit()?;
        let mut used = self.used.lock();
        for (segment, now) in moved {
            if now.rows == 0 {
                used.remove(&segment)
            } else {
                used.insert(segment, now)
            };
        }
        self.used_segments.store(used.len() as u64, Ordering::Release);
        Ok(out)
    }

    fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, ShardFault> {
        self.read(|tx| match tx.open_table(META) {
            Ok(table) => Ok(table.get(key)?.map(|row| row.value().to_vec())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(e) => Err(e.into()),
        })
    }

    /// Loads everything but records.
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
            let mut used = BTreeMap::new();
            if let Some(table) = present(tx.open_table(SEGMENTS))? {
                for row in table.iter()? {
                    let (key, value) = row?;
                    let (bytes, rows) = rows::decode_used(value.value())?;
                    used.insert(Lsn(key.value()), Used { bytes, rows });
                }
            }
            self.used_segments.store(used.len() as u64, Ordering::Release);
            *self.used.lock() = used;
            let Some(table) = present(tx.open_table(PRODUCERS))? else { return Ok(()) };
            for (replica, state) in &mut replicas {
                let newest =
                    table.range((replica.0, i64::MIN)..=(replica.0, state.outline.next))?.next_back();
                if let Some(row) = newest {
                    state.producers = rows::decode_producers(row?.1.value())?;
                }
            }
            Ok(())
        })?;
        Ok(Stored { x, x_crc, next_replica, replicas })
    }

    /// Spans from the one that covers `from`, with their batches, until so many bytes are gathered.
    pub fn rows(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        max_bytes: usize,
    ) -> Result<Vec<Row>, ShardFault> {
        self.read(|tx| {
            let (times, blocks) = (present(tx.open_table(TIMES))?, present(tx.open_table(BLOCKS))?);
            let Some((times, blocks)) = times.zip(blocks) else { return Ok(Vec::new()) };
            let start = covering(&times, replica, from)?;
            let (mut out, mut bytes) = (Vec::new(), 0);
            for row in times.range((replica.0, start)..(replica.0, until))? {
                let (key, value) = row?;
                let key = key.value();
                let Stretch { span, home } = rows::decode_stretch(key.1, value.value())?;
                if span.next <= from {
                    continue;
                }
                let content = match home {
                    Home::Journal(place) => Content::Journal(place),
                    Home::Block => {
                        let block = blocks.get(key)?.ok_or_else(|| no_block(key))?;
                        Content::Inline(Bytes::copy_from_slice(rows::decode_block(block.value())?.1))
                    }
                };
                bytes += span.bytes;
                out.push(Row { span, content });
                if bytes >= max_bytes as u64 {
                    break;
                }
            }
            Ok(out)
        })
    }

    /// Spans of any replica, from this key on, whose batches are in the journal. Ends after so many rows looked at.
    pub fn in_journal(&self, from: (ReplicaId, Offset), rows: usize) -> Result<JournalSpans, ShardFault> {
        self.read(|tx| {
            let mut out = Vec::new();
            let Some(times) = present(tx.open_table(TIMES))? else { return Ok((out, None)) };
            for (n, row) in times.range((from.0.0, from.1)..)?.enumerate() {
                let (key, value) = row?;
                let (replica, base) = key.value();
                if n == rows {
                    return Ok((out, Some((ReplicaId(replica), base))));
                }
                let Stretch { span, home } = rows::decode_stretch(base, value.value())?;
                if let Home::Journal(place) = home {
                    out.push((ReplicaId(replica), span, place));
                }
            }
            Ok((out, None))
        })
    }

    /// The same for one replica and the spans that begin in an offset range.
    pub fn in_journal_between(
        &self,
        replica: ReplicaId,
        first: Offset,
        last: Offset,
    ) -> Result<Vec<(ReplicaId, Span, Place)>, ShardFault> {
        self.read(|tx| {
            let mut out = Vec::new();
            let Some(times) = present(tx.open_table(TIMES))? else { return Ok(out) };
            for row in times.range((replica.0, first)..=(replica.0, last))? {
                let (key, value) = row?;
                let Stretch { span, home } = rows::decode_stretch(key.value().1, value.value())?;
                if let Home::Journal(place) = home {
                    out.push((replica, span, place));
                }
            }
            Ok(out)
        })
    }

    /// How much of a segment spans refer to.
    pub fn used(&self, segment: Lsn) -> Used {
        self.used.lock().get(&segment).copied().unwrap_or_default()
    }

    /// How many segments spans refer to.
    pub fn used_segments(&self) -> u64 {
        self.used_segments.load(Ordering::Acquire)
    }

    /// Bytes of the spans that stay in the journal.
    pub fn resident_bytes(&self) -> u64 {
        self.used.lock().values().map(|used| used.bytes).sum()
    }

    /// Every segment that spans refer to.
    pub fn all_used(&self) -> BTreeMap<Lsn, Used> {
        self.used.lock().clone()
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
