//! The actions on the store: groups of entries of many replicas, truncations, log starts, resets, drops and re-creations,
//! high watermarks, settles, rolls, recycling, restarts. `fsync` and `os` are mixed. All of it follows from a seed. This
//! module judges only that the store takes each action: `check.rs` judges the content.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use callboard_actors::permit::Permit;
use callboard_actors::ports::Submission;
use callboard_core::partition::Forgotten;
use callboard_core::records::{BatchBuilder, NewRecord};
use callboard_core::storage::{Durability, Entry};
use callboard_core::{Offset, Seq, TopicId, TopicPartition};
use parking_lot::Mutex;

use super::check::{self, Allow, Lengths, Up};
use super::disk::CrashDisk;
use super::image::{Image, Outcome};
use super::model::{Heard, Replica, Written};
use crate::process::load::Rng;

/// Actions and events, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub appends: u32,
    pub truncations: u32,
    pub log_starts: u32,
    pub drops: u32,
    pub settles: u32,
    pub emptied: u32,
    pub rolls: u32,
    pub recycled: u32,
    pub promised: u32,
    pub restarts: u32,
    pub waited: u32,
    pub forgotten: u32,
    pub resets: u32,
    pub told: u32,
}

/// All replicas that ever were; the watcher reads them while the store works.
pub type Ledger = Arc<Mutex<Vec<Replica>>>;

/// Epoch, producer and durability of a replica's next batches.
#[derive(Clone, Copy)]
struct Style {
    epoch: i32,
    producer: i64,
    durability: Durability,
}

/// A store, and the ledger of all actions on it.
pub struct World {
    up: Up,
    ledger: Ledger,
    styles: Vec<Style>,
    shards: usize,
    rng: Rng,
    topics: u64,
    /// Names that each segment file has had.
    names: BTreeMap<u64, BTreeSet<PathBuf>>,
    pub counts: Counts,
}

type Done = Result<(), String>;

impl World {
    /// A new store on an empty disk, with three replicas a shard.
    pub fn new(shards: usize, seed: u64) -> Result<World, String> {
        let up = check::start(&CrashDisk::new(Image::default()), shards, "boot 0")?;
        World::on(up, Vec::new(), shards, seed).and_then(|mut world| {
            for n in 0..3 * shards {
                world.open(n % shards, if n < shards { Durability::Os } else { Durability::Fsync })?;
            }
            Ok(world)
        })
    }

    /// Goes on with a store that came up, whose replicas have `lengths` entries.
    pub fn resume(up: Up, ledger: &[Replica], lengths: &Lengths, seed: u64) -> Result<World, String> {
        let shards = up.engines.len();
        let there = ledger.iter().filter_map(|r| {
            let length = *lengths.get(&(r.shard, r.replica))?;
            let heard = Arc::<Heard>::default();
            up.engines[r.shard].attach(r.replica, heard.clone());
            let (entries, mut forgotten) = (r.entries[..length].to_vec(), r.forgotten.clone());
            forgotten.retain(|told| told.seq.0 as usize <= length);
            let mut told = r.told.clone();
            told.retain(|(count, _)| *count <= length);
            Some(Replica { entries, forgotten, told, heard, ..r.clone() })
        });
        let mut there: Vec<Replica> = there.collect();
        there.iter_mut().for_each(|replica| begin(&up, replica));
        World::on(up, there, shards, seed)
    }

    fn on(up: Up, replicas: Vec<Replica>, shards: usize, seed: u64) -> Result<World, String> {
        let style =
            |n: usize| Style { epoch: 1000, producer: 500_000 + n as i64, durability: Durability::Fsync };
        Ok(World {
            styles: (0..replicas.len()).map(style).collect(),
            up,
            ledger: Arc::new(Mutex::new(replicas)),
            shards,
            rng: Rng::new(seed),
            topics: seed << 20,
            names: BTreeMap::new(),
            counts: Counts::default(),
        })
    }

    /// The disk below the store.
    #[must_use]
    pub fn disk(&self) -> &CrashDisk {
        &self.up.disk
    }

    /// All replicas that ever were.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Notes a failed sync in the store, as a node does when a shard stops.
    pub fn record_failure(&self, why: &str) {
        self.up.store.record_failure(why);
    }

    /// Does the next action, which the seed chooses.
    pub fn step(&mut self) -> Done {
        self.act()?;
        *self.up.disk.told.lock() = check::positions(&self.up);
        for (path, inode, _) in self.up.disk.image().files(".seg") {
            self.names.entry(inode).or_default().insert(path);
        }
        self.counts.rolls = self.names.values().map(BTreeSet::len).sum::<usize>() as u32;
        self.counts.recycled = self.names.values().map(|n| n.len() - 1).sum::<usize>() as u32;
        self.counts.promised =
            self.names.keys().filter(|inode| self.up.disk.promised(**inode)).count() as u32;
        match self.ledger.lock().iter().find_map(|r| r.heard.failed.lock().clone()) {
            Some(error) => Err(format!("a replica was refused: {error}")),
            None => Ok(()),
        }
    }

    fn act(&mut self) -> Done {
        let shard = self.rng.below(self.shards as u64) as usize;
        match self.rng.below(100) {
            0..=69 => self.write(shard),
            70..=71 => self.forget(shard),
            72..=77 => self.settle(shard),
            78..=79 => {
                self.counts.emptied += 1;
                self.engine(shard, |e| e.make_room())
            }
            80..=85 => self.engine(shard, |e| e.prepare()),
            86..=87 => self.engine(shard, |e| e.remove_surplus()),
            88..=91 => self.engine(shard, |e| e.sync()),
            92..=94 => self.engine(shard, |e| if e.room_for(&[])? { e.prove(false) } else { Ok(()) }),
            95..=97 => self.recreate(),
            _ => {
                self.toggle();
                Ok(())
            }
        }
    }

    fn engine<T>(
        &self,
        shard: usize,
        job: impl FnOnce(&callboard::storage::Engine) -> Result<T, callboard::storage::ShardFault>,
    ) -> Done {
        job(&self.up.engines[shard]).map(|_| ()).map_err(|fault| format!("shard {shard}: {fault}"))
    }

    /// Writes a group as a shard's threads do. Where the journal has no room, work that frees some goes first; where it
    /// frees none, the group waits until there is space.
    fn journal(&mut self, shard: usize, group: Vec<Submission>) -> Done {
        let engine = Arc::clone(&self.up.engines[shard]);
        let disk = self.up.disk.clone();
        let written = (0..8).find_map(|turn| match engine.room_for(&group) {
            Ok(true) => Some(Ok(())),
            Err(fault) => Some(Err(fault)),
            Ok(false) => {
                if turn == 4 {
                    self.counts.waited += 1;
                    disk.give_space();
                }
                let freed = engine.sweep().and_then(|_| engine.settle());
                freed.and_then(|_| engine.remove_surplus()).err().map(Err)
            }
        });
        match written {
            Some(Ok(())) => self.engine(shard, |e| e.write(group)),
            Some(Err(fault)) => Err(format!("shard {shard}, on a full disk: {fault}")),
            None => Err(format!("shard {shard} finds no room where there is some")),
        }
    }

    /// Settles and sweeps everything; on a disk with space nothing may be left.
    pub fn settle_all(&mut self) -> Done {
        for shard in 0..self.shards {
            for _ in 0..64 {
                self.engine(shard, |e| e.sync())?;
                self.settle(shard)?;
                if self.up.engines[shard].settleable() == 0 {
                    break;
                }
            }
            let engine = &self.up.engines[shard];
            engine.prepare().map_err(|fault| fault.to_string())?;
            if engine.settleable() > 0 || engine.room().refuses() {
                return Err(format!(
                    "shard {shard} has space, and {:?}, {} bytes to settle",
                    engine.room(),
                    engine.settleable()
                ));
            }
        }
        Ok(())
    }

    fn settle(&mut self, shard: usize) -> Done {
        self.counts.settles += 1;
        self.engine(shard, |e| e.settle())?;
        self.engine(shard, |e| e.sweep())?;
        self.engine(shard, |e| e.scrub(1 << 20))
    }

    fn open(&mut self, shard: usize, durability: Durability) -> Done {
        let heard = Arc::<Heard>::default();
        self.topics += 1;
        let id = TopicPartition { topic: TopicId(u128::from(self.topics).to_be_bytes()), partition: 0 };
        let replica = self.up.engines[shard].mint(heard.clone()).map_err(|f| f.to_string())?;
        self.ledger.lock().push(Replica::opened(id, shard, replica, heard));
        let producer = 1000 * self.styles.len() as i64;
        self.styles.push(Style { epoch: 1, producer, durability });
        let submission = Submission {
            replica,
            seq: Seq(1),
            entry: Entry::Open { id },
            bytes: Bytes::new(),
            durability: Durability::Fsync,
            permit: Permit::free(),
        };
        self.journal(shard, vec![submission])
    }

    /// Deletes one replica and makes another in its place.
    fn recreate(&mut self) -> Done {
        let Some(n) = self.pick(None) else { return Ok(()) };
        self.counts.drops += 1;
        let durability = self.styles[n].durability;
        let submission = self.submit(n, Entry::Drop, Bytes::new());
        let shard = self.ledger.lock()[n].shard;
        self.journal(shard, vec![submission])?;
        self.open(shard, durability)
    }

    /// Lets a replica forget the producers of all but its newest records, now and then of all records.
    fn forget(&mut self, shard: usize) -> Done {
        let Some(n) = self.pick(Some(shard)) else { return Ok(()) };
        self.counts.forgotten += 1;
        let back = self.rng.below(6) as i64;
        let (replica, forgotten) = {
            let replica = &mut self.ledger.lock()[n];
            let below = replica.expected().next - back;
            let forgotten = Forgotten { below, seq: Seq(replica.entries.len() as u64) };
            replica.forgotten.push(forgotten);
            (replica.replica, forgotten)
        };
        self.up.engines[shard].forget(replica, forgotten);
        Ok(())
    }

    fn toggle(&mut self) {
        if let Some(n) = self.pick(None) {
            let style = &mut self.styles[n];
            style.durability = match style.durability {
                Durability::Fsync => Durability::Os,
                Durability::Os => Durability::Fsync,
            };
        }
    }

    /// A replica that is not dropped, of this shard if one is given.
    fn pick(&mut self, shard: Option<usize>) -> Option<usize> {
        let ledger = self.ledger.lock();
        let fits = |r: &Replica| !r.dropped() && shard.is_none_or(|s| s == r.shard);
        let live: Vec<usize> = (0..ledger.len()).filter(|n| fits(&ledger[*n])).collect();
        (!live.is_empty()).then(|| live[self.rng.below(live.len() as u64) as usize])
    }

    /// Writes one group of entries.
    fn write(&mut self, shard: usize) -> Done {
        let mut group = Vec::new();
        // Eight entries without payload fill their group to the byte: nothing lies behind the last one.
        let bare = self.rng.below(10) == 0;
        self.tell(shard);
        for _ in 0..if bare { 8 } else { 0 } {
            if let Some(n) = self.pick(Some(shard)) {
                let to = self.ledger.lock()[n].expected().log_start;
                group.push(self.submit(n, Entry::LogStart { to }, Bytes::new()));
            }
        }
        for _ in 0..if bare { 0 } else { 1 + self.rng.below(4) } {
            if let Some(n) = self.pick(Some(shard)) {
                let (entry, bytes) = self.entry(n);
                group.push(self.submit(n, entry, bytes));
            }
        }
        for submission in &group {
            self.up.engines[shard].coming(submission.replica, &submission.entry);
        }
        // A follower tells of entries that the journal does not have yet, and the settler may come between.
        if self.rng.below(4) == 0 {
            self.tell(shard);
            if self.rng.below(4) == 0 {
                self.settle(shard)?;
            }
        }
        self.journal(shard, group)
    }

    /// Lets a replica tell its high watermark: now and then a higher one, to the end of one of its batches.
    fn tell(&mut self, shard: usize) {
        let Some(n) = self.pick(Some(shard)) else { return };
        let (replica, told) = {
            let replica = &mut self.ledger.lock()[n];
            let (now, expected) = (replica.high_watermark(), replica.expected());
            let ends: Vec<Offset> =
                expected.readable().map(|b| b.head.next_offset()).filter(|end| *end > now).collect();
            let at = self.rng.below(ends.len() as u64 + 1) as usize;
            let told = ends.get(at).copied().unwrap_or(now);
            replica.told.push((replica.entries.len(), told));
            (replica.replica, told)
        };
        self.counts.told += 1;
        self.up.engines[shard].hint(replica).tell(told);
    }

    fn entry(&mut self, n: usize) -> (Entry, Bytes) {
        let (log_start, next, bases) = {
            let expected = self.ledger.lock()[n].expected();
            let bases: Vec<Offset> = expected.readable().map(|b| b.head.base_offset).collect();
            (expected.log_start, expected.next, bases)
        };
        let cuts: Vec<Offset> = bases.into_iter().filter(|base| *base >= log_start).collect();
        match self.rng.below(100) {
            0..=5 if !cuts.is_empty() => {
                // Mostly near the end, as truncations are.
                let reach = self.rng.below(cuts.len() as u64);
                let back = self.rng.below(reach + 1) as usize;
                let to = cuts[cuts.len() - 1 - back];
                self.counts.truncations += 1;
                self.styles[n].producer += 1;
                (Entry::Truncate { to }, Bytes::new())
            }
            6..=11 => {
                self.counts.log_starts += 1;
                let past = if self.rng.below(8) == 0 { 5 } else { 0 };
                let to = log_start + self.rng.below((next - log_start + 1) as u64) as i64 + past;
                (Entry::LogStart { to }, Bytes::new())
            }
            12..=14 => {
                self.counts.resets += 1;
                self.styles[n].producer += 1;
                // Mostly at the end or behind it, as those of followers are.
                let at = match self.rng.below(4) {
                    0 => self.rng.below(next as u64 + 1) as i64,
                    _ => next + self.rng.below(4) as i64,
                };
                (Entry::Reset { at }, Bytes::new())
            }
            _ => self.append(n, next),
        }
    }

    fn append(&mut self, n: usize, next: Offset) -> (Entry, Bytes) {
        self.counts.appends += 1;
        let gap = if self.rng.below(30) == 0 { 3 } else { 0 };
        self.styles[n].epoch += i32::from(self.rng.below(20) == 0);
        let Style { epoch, producer, .. } = self.styles[n];
        let (base, records) = (next + gap, 1 + self.rng.below(3));
        let size = if self.rng.below(8) == 0 { self.rng.below(5000) } else { self.rng.below(160) };
        let mut batch = BatchBuilder::new(base).leader_epoch(epoch).producer(producer, 0, base as i32);
        for record in 0..records {
            let value = vec![self.rng.any() as u8; (size / records) as usize];
            batch = batch.record(NewRecord {
                // Times go up and down, so that the newest record is now here, now there.
                timestamp: 1000 + (base + record as i64) * 7919 % 501,
                value: Some(value),
                ..NewRecord::default()
            });
        }
        let bytes = batch.build().unwrap_or_default();
        (Entry::Append { base, epoch }, bytes.into())
    }

    /// Enters an entry into the ledger: from here on recovery may find it.
    fn submit(&mut self, n: usize, entry: Entry, bytes: Bytes) -> Submission {
        let durability = self.styles[n].durability;
        let replica = &mut self.ledger.lock()[n];
        replica.entries.push(Arc::new(Written { entry, durability, bytes: bytes.clone() }));
        Submission {
            replica: replica.replica,
            seq: Seq(replica.entries.len() as u64),
            entry,
            bytes,
            durability,
            permit: Permit::free(),
        }
    }

    /// Ends the store, cleanly or as a kill does, and opens it again. All written entries have to be there.
    pub fn restart(self, clean: bool, watch: impl FnOnce(&CrashDisk)) -> Result<World, String> {
        let World { up, ledger, styles, shards, rng, topics, names, mut counts } = self;
        counts.restarts += 1;
        let told = Arc::clone(&up.disk.told);
        let disk = if clean {
            for engine in &up.engines {
                engine.close().map_err(|fault| format!("closing: {fault}"))?;
            }
            up.store.mark_clean().map_err(|e| format!("closing: {e}"))?;
            let disk = up.disk.clone();
            drop(up);
            disk
        } else {
            let disk = CrashDisk::new(up.disk.image().after(Outcome::Kill));
            up.disk.unwatch();
            drop(up);
            watch(&disk);
            disk
        };
        let told = told.lock().clone();
        let up = check::start(&disk, shards, "boot 0")?;
        check::reach(&up, &told).map_err(|e| format!("restarted: {e}"))?;
        let now: Vec<Replica> = ledger.lock().iter().map(Replica::now).collect();
        check::compare(&up, &now, &Lengths::new(), Allow::default())
            .map_err(|e| format!("restarted: {e}"))?;
        for replica in ledger.lock().iter_mut().filter(|r| !r.dropped()) {
            let stored = up.states.get(&(replica.shard, replica.replica)).map(|state| state.high_watermark);
            if clean && stored != Some(replica.high_watermark()) {
                return Err(format!(
                    "closed with high watermark {}, and {stored:?} came back",
                    replica.high_watermark()
                ));
            }
            up.engines[replica.shard].attach(replica.replica, replica.heard.clone());
            begin(&up, replica);
        }
        Ok(World { up, ledger, styles, shards, rng, topics, names, counts })
    }
}

/// A new life of a replica's actor begins: it tells the high watermark that it was given.
fn begin(up: &Up, replica: &mut Replica) {
    if let Some(state) = up.states.get(&(replica.shard, replica.replica)) {
        replica.told.push((replica.entries.len(), state.high_watermark));
        up.engines[replica.shard].hint(replica.replica).tell(state.high_watermark);
    }
}
