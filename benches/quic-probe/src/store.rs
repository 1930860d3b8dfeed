//! Today's store with one shard, and the replicas of the probe's topic in it.

use anyhow::{Context, bail};
use callboard::storage::{EngineOptions, Opened, Readers, RealDisk, ShardHandle, Store, StoreOptions};
use callboard_actors::ports::{Journal, Persisted, ReplicaSink, ShardError};
use callboard_core::storage::{Boot, Durability};
use callboard_core::{ReplicaId, Seq, TopicId, TopicPartition};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

/// The one topic.
pub const TOPIC: [u8; 16] = [7; 16];
/// The one leader epoch.
pub const EPOCH: i32 = 3;

/// An open store. It is closed by [`Disk::close`].
pub struct Disk {
    pub shard: Arc<ShardHandle>,
    readers: Arc<Readers>,
    _store: Store,
}

impl Disk {
    /// Opens a new data directory with one shard.
    pub fn open(dir: &Path) -> anyhow::Result<Disk> {
        std::fs::create_dir_all(dir).with_context(|| format!("{}", dir.display()))?;
        let options = StoreOptions {
            shards: Some(1),
            default_shards: 1,
            boot_id: Boot::from("probe"),
            journal_bytes_max: None,
            engine: EngineOptions::default(),
        };
        let mut store = Store::open(Arc::new(RealDisk), dir, &options)?;
        let Some(Opened::Shard { engine, states }) = store.shards.pop() else {
            bail!("the new shard is lost")
        };
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let readers = Arc::new(Readers::start(2 * cores)?);
        let on_fault = Box::new(|n: u16, fault: &_| eprintln!("shard {n}: {fault}"));
        let shard = Arc::new(ShardHandle::start(engine, states, Arc::clone(&readers), on_fault)?);
        Ok(Disk { shard, readers, _store: store })
    }

    /// Opens one replica of the topic. Its `Open` is entry 1, so its first batch is entry 2.
    pub fn replica(
        &self,
        n: usize,
        durability: Durability,
        sink: Arc<dyn ReplicaSink>,
    ) -> anyhow::Result<ReplicaId> {
        let id = TopicPartition { topic: TopicId(TOPIC), partition: n as i32 };
        Ok(self.shard.open(id, durability, sink)?)
    }

    /// Ends the store's threads.
    pub fn close(self) -> anyhow::Result<()> {
        self.shard.close().map_err(|fault| anyhow::anyhow!("the store's end: {fault}"))?;
        self.readers.stop();
        Ok(())
    }
}

/// How far a log is written and synced, as offsets.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Ends {
    pub written: i64,
    pub synced: i64,
}

impl Ends {
    /// The end that counts for this durability (R2).
    pub fn counted(self, durability: Durability) -> i64 {
        match durability {
            Durability::Fsync => self.synced,
            Durability::Os => self.written,
        }
    }

    /// Takes in other ends; none goes back.
    pub fn rise(&mut self, to: Ends) {
        self.written = self.written.max(to.written);
        self.synced = self.synced.max(to.synced);
    }
}

/// The part of `LocalLog` that a probe needs: entry numbers become offsets.
#[derive(Default)]
pub struct Log {
    /// Number of the entry submitted last.
    pub seq: Seq,
    pub end: i64,
    pub ends: Ends,
    unsynced: VecDeque<(Seq, i64)>,
}

impl Log {
    /// A log whose `Open` is submitted.
    pub fn opened() -> Log {
        Log { seq: Seq(1), ..Log::default() }
    }

    /// Gives the next batch, which ends at this offset, its entry number.
    pub fn append(&mut self, end: i64) -> Seq {
        self.seq = self.seq.next();
        self.end = end;
        self.unsynced.push_back((self.seq, end));
        self.seq
    }

    /// Takes in a notice of the journal.
    pub fn persisted(&mut self, persisted: Persisted) {
        let ended = |up_to| self.unsynced.partition_point(|(seq, _)| *seq <= up_to);
        let (written, synced) = (ended(persisted.written), ended(persisted.synced));
        let at = |n: usize| n.checked_sub(1).and_then(|n| self.unsynced.get(n)).map_or(0, |(_, end)| *end);
        self.ends.rise(Ends { written: at(written), synced: at(synced) });
        self.unsynced.drain(..synced);
    }
}

/// Calls a function with each notice of one replica.
pub struct Sink<F>(pub F);

impl<F: Fn(Persisted) + Send + Sync + 'static> ReplicaSink for Sink<F> {
    fn persisted(&self, persisted: Persisted) {
        (self.0)(persisted);
    }

    fn failed(&self, error: ShardError) {
        eprintln!("a replica failed: {error}");
        std::process::exit(1);
    }
}
