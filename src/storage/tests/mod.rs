//! The engine on a real directory: write, settle, truncate, end in several ways, start again, read back.

use crate::storage::store::open::{Opened, Store, StoreOptions};
use crate::storage::*;
use callboard_actors::permit::Permit;
use callboard_actors::ports::{Persisted, ReadRequest, ReplicaSink, ShardError, Submission, Verdict};
use callboard_core::records::{BatchBuilder, NewRecord};
use callboard_core::storage::{Boot, Durability, Entry, Residence};
use callboard_core::{ReplicaId, Seq, TopicId, TopicPartition};
use parking_lot::Mutex;
use std::sync::Arc;

mod cuts;
mod descriptors;
mod hangs;
mod producers;
mod times;

/// Runs of so many bytes stay in the journal, which may hold so many.
const LARGE: u32 = 3_000;
const JOURNAL: u64 = 512 << 10;

#[derive(Default)]
pub struct Seen {
    persisted: Mutex<Persisted>,
    failed: Mutex<Option<ShardError>>,
}

impl ReplicaSink for Seen {
    fn persisted(&self, persisted: Persisted) {
        *self.persisted.lock() = persisted;
    }
    fn failed(&self, error: ShardError) {
        *self.failed.lock() = Some(error);
    }
    fn rotted(&self, _: String) {}
}

fn options() -> StoreOptions {
    StoreOptions {
        shards: Some(1),
        default_shards: 1,
        boot_id: Boot::from("boot"),
        journal_bytes_max: Some(JOURNAL),
        engine: EngineOptions {
            segment_bytes: 64 << 10,
            unsettled_bytes_max: 1 << 20,
            cache_bytes: 1 << 20,
            residence: Residence { large_run: LARGE, journal_bytes_max: 0 },
            ..EngineOptions::default()
        },
    }
}

pub fn open(dir: &std::path::Path) -> (Store, Arc<Engine>) {
    open_on(Arc::new(RealDisk), dir)
}

pub fn open_on(disk: Arc<dyn disk::Disk>, dir: &std::path::Path) -> (Store, Arc<Engine>) {
    let store = Store::open(disk, dir, &options()).unwrap();
    let Opened::Shard { engine, .. } = &store.shards[0] else { panic!("the shard is lost") };
    let engine = Arc::clone(engine);
    (store, engine)
}

/// A batch of a record a timestamp, each of this size.
pub fn batch_of(base: i64, times: &[i64], size: usize) -> Vec<u8> {
    let batch = BatchBuilder::new(base).leader_epoch(0).producer(5, 0, base as i32);
    let records = times.iter().map(|time| NewRecord {
        timestamp: *time,
        value: Some(vec![base as u8; size]),
        ..NewRecord::default()
    });
    records.fold(batch, BatchBuilder::record).build().unwrap()
}

pub fn submission(replica: ReplicaId, seq: u64, entry: Entry, bytes: Vec<u8>) -> Submission {
    Submission {
        replica,
        seq: Seq(seq),
        entry,
        bytes: bytes.into(),
        durability: Durability::Fsync,
        permit: Permit::free(),
    }
}

pub fn append(replica: ReplicaId, base: i64, seq: u64, size: usize) -> Submission {
    submission(replica, seq, Entry::Append { base, epoch: 0 }, batch_of(base, &[1000 + base], size))
}

pub fn read_all(engine: &Engine, replica: ReplicaId, from: i64) -> Vec<i64> {
    let mut offsets = Vec::new();
    let mut at = from;
    loop {
        let request = ReadRequest { replica, from: at, until: i64::MAX, max_bytes: 10_000, files: false };
        let slices = engine.read(request).unwrap();
        for part in slices.in_memory() {
            for batch in callboard_core::records::batches(part) {
                let (bytes, head) = batch.unwrap();
                callboard_core::records::verify(bytes).unwrap();
                offsets.extend(head.base_offset..head.next_offset());
            }
        }
        if slices.bytes == 0 {
            return offsets;
        }
        at = slices.next;
    }
}

#[test]
fn what_is_written_reads_back_across_settles_restarts_and_recycled_segments() {
    let dir = tempfile::tempdir().unwrap();
    let id = TopicPartition { topic: TopicId([1; 16]), partition: 0 };
    let replica;
    {
        let (_store, engine) = open(dir.path());
        let seen = Arc::new(Seen::default());
        replica = engine.mint(seen.clone()).unwrap();
        engine.write(vec![submission(replica, 1, Entry::Open { id }, vec![])]).unwrap();
        for n in 0..400u64 {
            engine.write(vec![append(replica, n as i64, n + 2, 2000)]).unwrap();
            if n % 97 == 96 {
                engine.settle().unwrap();
                engine.prepare().unwrap();
                engine.remove_surplus().unwrap();
            }
        }
        assert_eq!(seen.persisted.lock().synced, Seq(401));
        assert_eq!(read_all(&engine, replica, 0), (0..400).collect::<Vec<_>>());
        assert_eq!(engine.find_time(replica, 0, 400, 1123).unwrap().unwrap().offset, 123);
        assert_eq!(engine.find_time(replica, 0, 400, 1399).unwrap().unwrap().offset, 399);
        assert_eq!(engine.find_time(replica, 0, 400, 1400).unwrap(), None);
        assert_eq!(engine.max_time(replica, 0, 400).unwrap().unwrap().offset, 399);
        assert_eq!(engine.rebuild(replica).unwrap().next, 400);
        assert!(
            std::fs::read_dir(dir.path().join("shard-0/journal")).unwrap().count() < 20,
            "segments are recycled"
        );
    }
    for round in 0..3 {
        let (store, engine) = open(dir.path());
        let Opened::Shard { states, .. } = &store.shards[0] else { unreachable!() };
        assert_eq!(
            (states[0].next, states[0].seq, &states[0].verdict),
            (400 + round, Seq(401 + round as u64), &Verdict::Clean)
        );
        assert_eq!(states[0].producers, engine.rebuild(replica).unwrap().producers);
        assert_eq!(read_all(&engine, replica, 0), (0..400 + round).collect::<Vec<_>>());
        engine.write(vec![append(replica, 400 + round, 402 + round as u64, 100)]).unwrap();
        if round == 1 {
            engine.close().unwrap();
            store.mark_clean().unwrap();
        }
    }
}

#[test]
fn truncation_log_start_and_drop_are_never_undone() {
    let dir = tempfile::tempdir().unwrap();
    let id = TopicPartition { topic: TopicId([1; 16]), partition: 0 };
    let replica;
    {
        let (_store, engine) = open(dir.path());
        replica = engine.mint(Arc::new(Seen::default())).unwrap();
        let gone = engine.mint(Arc::new(Seen::default())).unwrap();
        engine.write(vec![submission(replica, 1, Entry::Open { id }, vec![])]).unwrap();
        engine.write(vec![submission(gone, 1, Entry::Open { id }, vec![]), append(gone, 0, 2, 500)]).unwrap();
        engine.write((0..50).map(|n| append(replica, n, n as u64 + 2, 300)).collect()).unwrap();
        engine.settle().unwrap();
        engine.write(vec![submission(replica, 52, Entry::Truncate { to: 33 }, vec![])]).unwrap();
        assert_eq!(read_all(&engine, replica, 0), (0..33).collect::<Vec<_>>());
        engine
            .write(vec![
                append(replica, 33, 53, 10),
                submission(replica, 54, Entry::LogStart { to: 7 }, vec![]),
            ])
            .unwrap();
        engine.write(vec![submission(gone, 3, Entry::Drop, vec![])]).unwrap();
    }
    for settle in [false, true, false] {
        let (store, engine) = open(dir.path());
        let Opened::Shard { states, .. } = &store.shards[0] else { unreachable!() };
        assert_eq!(states.len(), 1);
        assert_eq!((states[0].log_start, states[0].next), (7, 34));
        assert_eq!(states[0].producers, engine.rebuild(replica).unwrap().producers);
        assert_eq!(read_all(&engine, replica, 7), (7..34).collect::<Vec<_>>());
        assert!(
            engine.read(ReadRequest { replica, from: 6, until: 99, max_bytes: 1, files: false }).is_err()
        );
        if settle {
            engine.settle().unwrap();
            assert_eq!(read_all(&engine, replica, 7), (7..34).collect::<Vec<_>>());
        }
    }
}

#[test]
fn an_entry_that_does_not_follow_fails_its_replica_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = open(dir.path());
    let id = TopicPartition { topic: TopicId([1; 16]), partition: 0 };
    let (bad, good) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    let first = engine.mint(bad.clone()).unwrap();
    let second = engine.mint(good.clone()).unwrap();
    let opens = [first, second].map(|r| submission(r, 1, Entry::Open { id }, vec![]));
    engine.write(opens.into()).unwrap();
    engine.write(vec![append(first, 0, 3, 10), append(second, 0, 2, 10)]).unwrap();
    assert!(matches!(*bad.failed.lock(), Some(ShardError::Refused(_))));
    assert_eq!((good.failed.lock().clone(), good.persisted.lock().synced), (None, Seq(2)));
}

#[test]
fn a_directory_in_use_foreign_or_of_another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = open(dir.path());
    let again = Store::open(Arc::new(RealDisk), dir.path(), &options());
    assert!(matches!(again, Err(StoreError::InUse(_))));
    drop((store, engine));
    let two = StoreOptions { shards: Some(2), ..options() };
    assert!(matches!(Store::open(Arc::new(RealDisk), dir.path(), &two), Err(StoreError::Shards { .. })));
    let path = dir.path().join("identity");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"format\": 1", "\"format\": 7")).unwrap();
    let newer = Store::open(Arc::new(RealDisk), dir.path(), &options());
    assert!(matches!(newer, Err(StoreError::Format { found: 7, .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(
        Store::open(Arc::new(RealDisk), dir.path(), &options()),
        Err(StoreError::Foreign { .. })
    ));
}

#[test]
fn a_shard_whose_files_are_gone_is_lost_and_nothing_is_created_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    std::fs::remove_file(dir.path().join("shard-0/store.redb")).unwrap();
    let store = Store::open(Arc::new(RealDisk), dir.path(), &options()).unwrap();
    assert!(matches!(&store.shards[0], Opened::Lost { fault } if fault.0.contains("missing")));
    assert!(!dir.path().join("shard-0/store.redb").exists());
}

/// Kills a process whose `os` batch is not synced, and starts it again; `before` and `now` are the kernel's boots. Returns the
/// replica's verdict and the identity's line about the boot.
fn killed(before: &str, now: &str) -> (Verdict, String) {
    let dir = tempfile::tempdir().unwrap();
    let at = |boot| {
        let options = StoreOptions { boot_id: Boot::from(boot), ..options() };
        Store::open(Arc::new(RealDisk), dir.path(), &options).unwrap()
    };
    {
        let store = at(before);
        let Opened::Shard { engine, .. } = &store.shards[0] else { panic!("the shard is lost") };
        let replica = engine.mint(Arc::new(Seen::default())).unwrap();
        let id = TopicPartition { topic: TopicId([1; 16]), partition: 0 };
        engine.write(vec![submission(replica, 1, Entry::Open { id }, vec![])]).unwrap();
        for n in 0..2 {
            let batch = append(replica, n, n as u64 + 2, 100);
            engine.write(vec![Submission { durability: Durability::Os, ..batch }]).unwrap();
        }
    }
    let text = std::fs::read_to_string(dir.path().join("identity")).unwrap();
    let line = text.lines().find(|line| line.contains("boot_id")).unwrap().trim().to_owned();
    let store = at(now);
    let Opened::Shard { states, .. } = &store.shards[0] else { panic!("the shard is lost") };
    (states[0].verdict.clone(), line)
}

#[test]
fn a_kill_is_told_from_a_power_cut_by_a_boot_that_is_known() {
    assert_eq!(killed("one", "one").0, Verdict::Clean);
    // As older builds wrote it, and read it.
    let unknown = "\"boot_id\": \"unknown\",";
    for (before, now) in [("one", "other"), ("unknown", "unknown"), ("", ""), ("one", ""), ("", "one")] {
        let (verdict, line) = killed(before, now);
        assert!(matches!(verdict, Verdict::Unclean(_)), "{before:?} {now:?}: {verdict:?}");
        assert_eq!(line == unknown, before != "one", "{line}");
    }
}
