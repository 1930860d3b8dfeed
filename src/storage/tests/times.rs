//! Time look-ups, retention, sizes, and the way back of trimmed space: settled, unsettled and half of each.

use crate::storage::tests::{Seen, append, batch_of, open, read_all, submission};
use crate::storage::*;
use callboard_actors::ports::{ReadError, ReadRequest, TimeHit, Verdict};
use callboard_core::records::set_log_append_time;
use callboard_core::storage::{Entry, Retention};
use callboard_core::{ReplicaId, TopicId, TopicPartition, UnixMillis};
use std::sync::Arc;

fn id() -> TopicPartition {
    TopicPartition { topic: TopicId([1; 16]), partition: 0 }
}

/// One log, its batches given by the timestamps of their records, offsets without gaps.
struct Log {
    engine: Arc<Engine>,
    _store: Store,
    _dir: tempfile::TempDir,
    replica: ReplicaId,
    seq: u64,
    next: i64,
    bytes: u64,
}

impl Log {
    fn new() -> Log {
        let dir = tempfile::tempdir().unwrap();
        let (store, engine) = open(dir.path());
        let replica = engine.mint(Arc::new(Seen::default())).unwrap();
        let mut log = Log { engine, _store: store, _dir: dir, replica, seq: 0, next: 0, bytes: 0 };
        log.write(Entry::Open { id: id() }, vec![]);
        log
    }

    fn write(&mut self, entry: Entry, bytes: Vec<u8>) {
        self.seq += 1;
        self.bytes += bytes.len() as u64;
        self.engine.write(vec![submission(self.replica, self.seq, entry, bytes)]).unwrap();
    }

    fn append(&mut self, times: &[i64], size: usize) -> u64 {
        let bytes = batch_of(self.next, times, size);
        let length = bytes.len() as u64;
        self.put(bytes, times.len());
        length
    }

    fn put(&mut self, bytes: Vec<u8>, records: usize) {
        let base = self.next;
        self.next += records as i64;
        self.write(Entry::Append { base, epoch: 0 }, bytes);
    }

    fn max(&self, from: i64) -> Option<(i64, i64)> {
        self.engine.max_time(self.replica, from, self.next).unwrap().map(|h| (h.offset, h.timestamp))
    }

    fn find(&self, from: i64, timestamp: i64) -> Option<(i64, i64)> {
        let hit = self.engine.find_time(self.replica, from, self.next, timestamp).unwrap();
        hit.map(|TimeHit { offset, timestamp, .. }| (offset, timestamp))
    }

    fn expired(&self, from: i64, before: Option<i64>, bytes: Option<u64>) -> Option<i64> {
        let rules = Retention { expired_before: before, bytes };
        self.engine.expired(self.replica, from, self.next, &rules).unwrap()
    }

    /// The same questions before and after settling.
    fn settled_or_not(&self, ask: impl Fn(&Log)) {
        ask(self);
        self.engine.settle().unwrap();
        ask(self);
    }
}

/// Above a block's largest page: each batch is a block of its own.
const BLOCK: usize = 200 << 10;

#[test]
fn the_latest_record_is_one_above_the_log_start_whatever_its_block_holds() {
    let mut log = Log::new();
    // One block: the latest record of its first batch is passed by the log start.
    log.append(&[900, 50], 10);
    log.append(&[40, 60, 60], 10);
    // The latest block is passed wholly, the next latest is what counts.
    log.settled_or_not(|log| {
        assert_eq!(log.max(0), Some((0, 900)));
        assert_eq!(log.max(1), Some((3, 60)), "the first of two at 60");
        assert_eq!(log.max(4), Some((4, 60)));
        assert_eq!(log.find(1, 55), Some((3, 60)), "900 lies below");
        assert_eq!(log.find(1, 900), None);
        assert_eq!(log.find(0, 900), Some((0, 900)));
    });
    log.append(&[70, 30], BLOCK);
    log.append(&[10], BLOCK);
    log.settled_or_not(|log| {
        assert_eq!(log.max(1), Some((5, 70)), "behind the block that holds 900");
        assert_eq!(log.max(6), Some((6, 30)));
        assert_eq!(log.find(1, 61), Some((5, 70)));
        assert_eq!(log.find(6, 20), Some((6, 30)));
        assert_eq!(log.find(7, 20), None);
    });
    log.write(Entry::LogStart { to: 6 }, vec![]);
    log.settled_or_not(|log| assert_eq!(log.max(6), Some((6, 30))));
    assert!(matches!(log.engine.max_time(log.replica, 0, 99), Err(ReadError::OutOfRange(_))));
}

#[test]
fn of_equal_times_the_first_record_is_found_before_until_too() {
    let mut log = Log::new();
    for _ in 0..3 {
        log.append(&[5, 5], BLOCK);
    }
    log.append(&[5, 80], BLOCK);
    log.settled_or_not(|log| {
        assert_eq!(log.max(1), Some((7, 80)));
        let below = log.engine.max_time(log.replica, 1, 7).unwrap().unwrap();
        assert_eq!((below.offset, below.timestamp), (1, 5), "80 is not visible yet");
    });
}

#[test]
fn under_log_append_time_every_record_has_the_time_of_its_batch() {
    let mut log = Log::new();
    for (records, time) in [(2, 100), (3, 300), (1, 200)] {
        let mut bytes = batch_of(log.next, &vec![5_000; records], 10);
        set_log_append_time(&mut bytes, time);
        log.put(bytes, records);
    }
    log.settled_or_not(|log| {
        assert_eq!(log.max(0), Some((2, 300)));
        assert_eq!(log.max(3), Some((3, 300)), "within the batch");
        assert_eq!(log.find(0, 101), Some((2, 300)));
        assert_eq!(log.find(3, 101), Some((3, 300)));
        assert_eq!(log.find(5, 101), Some((5, 200)));
        assert_eq!(log.find(0, 301), None, "what the producer said does not count");
        assert_eq!(log.expired(0, Some(301), None), Some(6));
    });
}

#[test]
fn by_time_what_is_settled_and_what_is_not_goes_and_the_rest_stays() {
    let mut log = Log::new();
    log.append(&[100], BLOCK);
    log.append(&[200, 150], BLOCK);
    log.engine.settle().unwrap();
    log.append(&[300], BLOCK);
    for _ in 0..2 {
        assert_eq!(log.expired(0, Some(100), None), None);
        assert_eq!(log.expired(0, Some(101), None), Some(1));
        assert_eq!(log.expired(0, Some(300), None), Some(3));
        assert_eq!(log.expired(0, Some(301), None), Some(4), "an expired log ends empty");
        assert_eq!(log.expired(1, Some(150), None), None);
        log.engine.settle().unwrap();
    }
    let rules = Retention { expired_before: Some(301), bytes: None };
    let asked = log.engine.expired(log.replica, 0, 2, &rules).unwrap();
    assert_eq!(asked, Some(1), "a block that reaches above the high watermark stays");
}

#[test]
fn records_without_a_timestamp_expire_by_the_time_they_were_settled() {
    let mut log = Log::new();
    log.append(&[-1], BLOCK);
    let ever = Some(i64::MAX);
    assert_eq!(log.expired(0, ever, None), None, "nobody knows how old it is");
    log.engine.settle().unwrap();
    assert_eq!(log.expired(0, Some(UnixMillis(0).0 + 1), None), None);
    assert_eq!(log.expired(0, ever, None), Some(1));
}

#[test]
fn by_size_the_journal_counts_and_goes_too() {
    let mut log = Log::new();
    let sizes: Vec<u64> = (0..3).map(|n| log.append(&[n], BLOCK)).collect();
    let rest = sizes[1] + sizes[2];
    log.settled_or_not(|log| {
        assert_eq!(log.engine.size(log.replica).unwrap(), log.bytes);
        assert_eq!(log.engine.sizes().unwrap(), [(log.replica, log.bytes)].into());
        assert_eq!(log.expired(0, None, Some(rest + 1)), None);
        assert_eq!(log.expired(0, None, Some(rest)), Some(1));
        assert_eq!(log.expired(0, None, Some(0)), Some(3));
        assert_eq!(log.expired(1, None, Some(rest)), None, "what the log start has passed counts no more");
    });
    // The same while one half is settled and the other is not, and while what was trimmed is not swept yet.
    log.write(Entry::LogStart { to: 1 }, vec![]);
    log.append(&[9], BLOCK);
    let bytes = log.bytes - sizes[0];
    log.settled_or_not(|log| {
        assert_eq!(log.expired(1, None, Some(bytes - sizes[1])), Some(2));
        assert_eq!(log.expired(1, None, Some(bytes - sizes[1] + 1)), None);
    });
    while log.engine.sweep().unwrap() {}
    assert_eq!(log.engine.size(log.replica).unwrap(), bytes);
}

#[test]
fn trimmed_space_comes_back_and_a_log_start_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let (replica, whole);
    {
        let (_store, engine) = open(dir.path());
        replica = engine.mint(Arc::new(Seen::default())).unwrap();
        engine.write(vec![submission(replica, 1, Entry::Open { id: id() }, vec![])]).unwrap();
        for n in 0..1000u64 {
            engine.write(vec![append(replica, n as i64, n + 2, 2000)]).unwrap();
            if n % 100 == 99 {
                engine.settle().unwrap();
                engine.prepare().unwrap();
                engine.remove_surplus().unwrap();
            }
        }
        whole = engine.size(replica).unwrap();
        assert!(whole > 2_000_000);
        engine.write(vec![submission(replica, 1002, Entry::LogStart { to: 950 }, vec![])]).unwrap();
        assert_eq!(engine.size(replica).unwrap(), whole, "nothing is removed on the way of an answer");
        // Killed here: the entry is synced, and nothing of it is in redb.
    }
    for round in 0..2 {
        let (store, engine) = open(dir.path());
        let Opened::Shard { states, .. } = &store.shards[0] else { unreachable!() };
        assert_eq!((states[0].log_start, states[0].next, &states[0].verdict), (950, 1000, &Verdict::Clean));
        let below = ReadRequest { replica, from: 949, until: 1000, max_bytes: 1, files: false };
        assert_eq!(engine.read(below).unwrap_err(), ReadError::OutOfRange(949));
        assert_eq!(read_all(&engine, replica, 950), (950..1000).collect::<Vec<_>>());
        engine.settle().unwrap();
        while engine.sweep().unwrap() {}
        let left = engine.size(replica).unwrap();
        // Fifty batches, and at most the rest of the block that the log start lies in.
        assert!(left >= whole / 20 && left < whole / 4, "round {round}: {left} of {whole} bytes are left");
        assert_eq!(read_all(&engine, replica, 950), (950..1000).collect::<Vec<_>>());
        let rows =
            engine.settled.db.spans(replica, |spans| Ok(spans.between(i64::MIN, i64::MAX)?.count())).unwrap();
        assert!(rows < 10, "{rows} rows are left");
        let segments = std::fs::read_dir(dir.path().join("shard-0/journal")).unwrap().count();
        assert!(segments < 20, "{segments} segments");
    }
}

#[test]
fn sizes_follow_truncations_and_drops() {
    let mut log = Log::new();
    let mut kept = 0;
    for n in 0..20 {
        let bytes = log.append(&[n], 3000);
        if n < 7 {
            kept += bytes;
        }
    }
    log.engine.settle().unwrap();
    assert_eq!(log.engine.size(log.replica).unwrap(), log.bytes);
    log.write(Entry::Truncate { to: 7 }, vec![]);
    log.engine.settle().unwrap();
    assert_eq!(log.engine.size(log.replica).unwrap(), kept, "inside a block");
    log.write(Entry::Truncate { to: 0 }, vec![]);
    log.engine.settle().unwrap();
    assert_eq!(log.engine.size(log.replica).unwrap(), 0);
    log.next = 0;
    log.append(&[1], 10);
    log.write(Entry::Drop, vec![]);
    log.engine.settle().unwrap();
    while log.engine.sweep().unwrap() {}
    assert_eq!(log.engine.sizes().unwrap(), [].into());
    assert!(log.engine.settled.db.sizes().unwrap().is_empty());
    assert!(matches!(log.engine.size(log.replica), Err(ReadError::Gone(_))));
}

#[test]
fn what_a_truncation_took_counts_no_more_though_redb_still_has_it() {
    let mut log = Log::new();
    log.append(&[10], BLOCK);
    log.append(&[90], BLOCK);
    let gone = log.append(&[20, 80], 500);
    log.engine.settle().unwrap();
    log.write(Entry::Truncate { to: 1 }, vec![]);
    log.next = 1;
    let new = log.append(&[30], 500);
    let left = log.append(&[15], 10);
    log.settled_or_not(|log| {
        assert_eq!(log.max(0), Some((1, 30)));
        assert_eq!(log.find(0, 31), None);
        assert_eq!(log.find(0, 11), Some((1, 30)));
        assert_eq!(log.expired(0, Some(31), None), Some(3));
        assert_eq!(log.expired(0, None, Some(new + left)), Some(1));
        assert_eq!(log.expired(0, None, Some(new + left + 1)), None, "{gone} bytes are gone");
    });
}
