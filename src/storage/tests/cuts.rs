//! Logs that are cut: resets, truncations below the log start, and the high watermark that is stored with a replica.

use crate::storage::store::open::Opened;
use crate::storage::tests::{Seen, append, batch_of, open, read_all, submission};
use crate::storage::*;
use callboard_actors::ports::{ReadError, ReadRequest, ReplicaState, Submission};
use callboard_core::partition::Judgement;
use callboard_core::records::head;
use callboard_core::storage::{Durability, Entry};
use callboard_core::{ReplicaId, Seq, TopicId, TopicPartition};
use std::path::Path;
use std::sync::Arc;

const ID: TopicPartition = TopicPartition { topic: TopicId([1; 16]), partition: 0 };

/// One replica in a store, and the number of its last entry.
struct Log {
    store: Store,
    engine: Arc<Engine>,
    replica: ReplicaId,
    seq: u64,
}

impl Log {
    fn new(dir: &Path) -> Log {
        let (store, engine) = open(dir);
        let replica = engine.mint(Arc::new(Seen::default())).unwrap();
        let mut log = Log { store, engine, replica, seq: 0 };
        log.entry(Entry::Open { id: ID });
        log
    }

    fn write(&mut self, entry: Entry, bytes: Vec<u8>) {
        self.seq += 1;
        self.engine.coming(self.replica, &entry);
        self.engine.write(vec![submission(self.replica, self.seq, entry, bytes)]).unwrap();
    }

    fn entry(&mut self, entry: Entry) {
        self.write(entry, vec![]);
    }

    /// Batches of one record each, which stay small.
    fn fill(&mut self, offsets: std::ops::Range<i64>) {
        for base in offsets {
            self.write(Entry::Append { base, epoch: 0 }, batch_of(base, &[1000 + base], 50));
        }
    }

    fn tell(&self, high_watermark: i64) {
        self.engine.hint(self.replica).tell(high_watermark);
    }

    fn settle(&self) {
        self.engine.settle().unwrap();
    }

    fn rebuilt(&self) -> ReplicaState {
        self.engine.rebuild(self.replica).unwrap()
    }

    fn read(&self, from: i64) -> Result<usize, ReadError> {
        let request =
            ReadRequest { replica: self.replica, from, until: i64::MAX, max_bytes: 1 << 20, files: false };
        self.engine.read(request).map(|slices| slices.bytes)
    }

    /// The store as a kill leaves it, opened again.
    fn killed(self, dir: &Path) -> (Log, ReplicaState) {
        let Log { store, engine, replica, seq } = self;
        drop((store, engine));
        let (store, engine) = open(dir);
        let Opened::Shard { states, .. } = &store.shards[0] else { panic!("the shard is lost") };
        let state = states.iter().find(|state| state.replica == replica).unwrap().clone();
        (Log { store, engine, replica, seq }, state)
    }
}

#[test]
fn a_reset_leaves_nothing_and_the_log_goes_on_there() {
    // Where the log goes on; whether the log before it, and the reset, are settled.
    for at in [3, 8, 12, 30] {
        for settled in 0..4 {
            let dir = tempfile::tempdir().unwrap();
            let mut log = Log::new(dir.path());
            log.fill(0..12);
            log.entry(Entry::LogStart { to: 5 });
            if settled & 1 != 0 {
                log.settle();
            }
            log.entry(Entry::Reset { at });
            if settled & 2 != 0 {
                log.settle();
            }
            let case = format!("at {at}, settled {settled}");
            assert!(matches!(log.read(at - 1), Err(ReadError::OutOfRange(_))), "{case}");
            assert_eq!(log.read(at), Ok(0), "{case}");
            assert_eq!(log.engine.max_time(log.replica, at, at).unwrap(), None, "{case}");
            let state = log.rebuilt();
            assert_eq!((state.log_start, state.next, state.epochs.len()), (at, at, 0), "{case}");
            assert_eq!((state.producers.len(), state.high_watermark), (0, at), "{case}");
            // The leader's log goes on behind a gap, in any epoch.
            log.fill(at + 2..at + 9);
            let expected: Vec<i64> = (at + 2..at + 9).collect();
            let read = |log: &Log| read_all(&log.engine, log.replica, at);
            assert_eq!(read(&log), expected, "{case}");
            let (log, state) = log.killed(dir.path());
            assert_eq!((state.log_start, state.next, &state.epochs[..]), (at, at + 9, &[(0, at + 2)][..]));
            assert_eq!(read(&log), expected, "{case}, and killed");
            log.settle();
            while log.engine.sweep().unwrap() {}
            assert_eq!(read(&log), expected, "{case}, and settled");
            let bytes = batch_of(0, &[0], 50).len() as u64;
            assert_eq!(log.engine.size(log.replica), Ok(7 * bytes), "{case}: the old log counts no more");
            assert_eq!(log.engine.max_time(log.replica, at, at + 9).unwrap().unwrap().offset, at + 8);
            log.engine.audit().unwrap();
        }
    }
}

/// Producers of the log before a reset come back neither from its snapshots nor from its rows, which wait for the sweep.
#[test]
fn a_truncation_behind_a_reset_finds_no_producer_of_the_log_before() {
    for settled in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::new(dir.path());
        let settle = |log: &Log, n: u32| {
            if settled & (1 << n) != 0 {
                log.settle();
            }
        };
        let old = batch_of(0, &[1], 50);
        log.fill(0..10);
        settle(&log, 0);
        log.entry(Entry::Reset { at: 20 });
        settle(&log, 1);
        let batch = callboard_core::records::BatchBuilder::new(20).leader_epoch(3).producer(77, 0, 0);
        let record = callboard_core::records::NewRecord { timestamp: 1, ..Default::default() };
        let new = batch.record(record).build().unwrap();
        log.write(Entry::Append { base: 20, epoch: 3 }, new.clone());
        let record = callboard_core::records::NewRecord { timestamp: 1, ..Default::default() };
        let more =
            callboard_core::records::BatchBuilder::new(21).leader_epoch(3).record(record).build().unwrap();
        log.write(Entry::Append { base: 21, epoch: 3 }, more);
        settle(&log, 2);
        log.entry(Entry::Truncate { to: 21 });
        let check = |state: &ReplicaState, case: &str| {
            assert_eq!(state.producers.judge(&head(&old).unwrap()), Judgement::Fresh, "{settled} {case}");
            assert!(
                matches!(state.producers.judge(&head(&new).unwrap()), Judgement::Duplicate(_)),
                "{settled} {case}"
            );
        };
        check(&log.rebuilt(), "rebuilt");
        let (log, state) = log.killed(dir.path());
        check(&state, "killed");
        log.settle();
        check(&log.rebuilt(), "settled");
        check(&log.killed(dir.path()).1, "settled and killed");
    }
}

/// A leader's log start may lie inside a follower's batch, and a truncation goes exactly there (R39).
#[test]
fn a_truncation_to_inside_a_batch_below_the_log_start_leaves_nothing_of_it() {
    for settled in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::new(dir.path());
        log.fill(0..3);
        log.write(Entry::Append { base: 3, epoch: 0 }, batch_of(3, &[1; 9], 50));
        log.entry(Entry::LogStart { to: 10 });
        if settled & 1 != 0 {
            log.settle();
        }
        log.entry(Entry::Truncate { to: 6 });
        if settled & 2 != 0 {
            log.settle();
        }
        log.fill(8..10);
        let empty = |log: &Log| {
            let request =
                ReadRequest { replica: log.replica, from: 6, until: 8, max_bytes: 1 << 20, files: false };
            assert_eq!(log.engine.read(request).map(|slices| slices.bytes), Ok(0), "settled {settled}");
            assert_eq!(read_all(&log.engine, log.replica, 6), [8, 9], "settled {settled}");
        };
        empty(&log);
        let (log, state) = log.killed(dir.path());
        assert_eq!((state.log_start, state.next), (6, 10));
        empty(&log);
        log.settle();
        empty(&log);
    }
}

#[test]
fn a_settle_stores_the_high_watermark_and_a_cut_lowers_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path());
    log.fill(0..20);
    log.tell(12);
    let (mut log, state) = log.killed(dir.path());
    assert_eq!(state.high_watermark, 0, "nothing was settled, so nothing was stored");
    log.tell(12);
    log.settle();
    // A follower hears of more than it has.
    log.fill(20..25);
    log.tell(99);
    assert_eq!(log.rebuilt().high_watermark, 25);
    let (mut log, state) = log.killed(dir.path());
    assert_eq!((state.high_watermark, state.next), (12, 25), "as of the settle");
    log.entry(Entry::Truncate { to: 10 });
    let (mut log, state) = log.killed(dir.path());
    assert_eq!((state.high_watermark, state.next), (10, 10));
    log.fill(10..15);
    log.settle();
    let (mut log, state) = log.killed(dir.path());
    assert_eq!((state.high_watermark, state.next), (10, 15), "what came later was not told");
    log.entry(Entry::LogStart { to: 13 });
    let (mut log, state) = log.killed(dir.path());
    assert_eq!((state.high_watermark, state.next), (13, 15), "never below the log start");
    log.tell(15);
    log.entry(Entry::Reset { at: 11 });
    log.fill(11..18);
    log.settle();
    assert_eq!(log.killed(dir.path()).1.high_watermark, 11, "the reset was lower than what was told before");
}

#[test]
fn a_high_watermark_that_moves_without_entries_is_stored_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path());
    log.fill(0..5);
    log.settle();
    log.tell(4);
    let x = log.engine.settled();
    assert!(log.engine.settle().unwrap() && !log.engine.settle().unwrap(), "once");
    assert_eq!(log.engine.settled(), x);
    log.tell(5);
    log.engine.close().unwrap();
    log.store.mark_clean().unwrap();
    assert_eq!(log.killed(dir.path()).1.high_watermark, 5);
}

/// A high watermark speaks of the log behind a cut as soon as the cut is submitted, which may be long before it is written.
#[test]
fn a_high_watermark_behind_a_cut_is_not_stored_with_the_log_before_it() {
    for cut in [Entry::Reset { at: 50 }, Entry::LogStart { to: 50 }, Entry::Truncate { to: 4 }] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::new(dir.path());
        log.fill(0..10);
        log.tell(3);
        log.settle();
        log.fill(10..12);
        log.engine.coming(log.replica, &cut);
        log.tell(if matches!(cut, Entry::Truncate { .. }) { 4 } else { 50 });
        log.settle();
        let stored = |log: &Log| {
            log.engine.journal.index.lock().replicas[&log.replica].settled.as_ref().unwrap().high_watermark
        };
        assert_eq!(stored(&log), 3, "{cut:?}");
        assert_eq!(log.rebuilt().high_watermark, 3, "{cut:?}");
        log.seq += 1;
        log.engine.write(vec![submission(log.replica, log.seq, cut, vec![])]).unwrap();
        let after = if matches!(cut, Entry::Truncate { .. }) { 4 } else { 50 };
        assert_eq!(log.rebuilt().high_watermark, after, "{cut:?}");
        log.settle();
        assert_eq!(log.killed(dir.path()).1.high_watermark, after, "{cut:?}");
    }
}

/// What was told counts for no log before a truncation that is written and not settled yet.
#[test]
fn of_a_later_history_only_the_part_before_its_cut_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path());
    log.fill(0..10);
    let os = |log: &mut Log, entry, bytes| {
        log.seq += 1;
        let one = submission(log.replica, log.seq, entry, bytes);
        log.engine.write(vec![Submission { durability: Durability::Os, ..one }]).unwrap();
    };
    // The first `os` batch is synced; what follows it is only written, and not settled.
    os(&mut log, Entry::Append { base: 10, epoch: 0 }, batch_of(10, &[1], 50));
    os(&mut log, Entry::Truncate { to: 6 }, vec![]);
    for base in 6..12 {
        os(&mut log, Entry::Append { base, epoch: 1 }, {
            let record = callboard_core::records::NewRecord { timestamp: 1, ..Default::default() };
            callboard_core::records::BatchBuilder::new(base).leader_epoch(1).record(record).build().unwrap()
        });
    }
    log.tell(11);
    log.settle();
    {
        let index = log.engine.journal.index.lock();
        let state = index.replicas[&log.replica].settled.as_ref().unwrap();
        assert_eq!((state.outline.next, state.high_watermark), (11, 6));
    }
    assert_eq!(log.rebuilt().high_watermark, 11);
    log.engine.sync().unwrap();
    log.settle();
    assert_eq!(log.killed(dir.path()).1.high_watermark, 11);
}

#[test]
fn a_refused_cut_takes_what_was_told_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path());
    log.fill(0..10);
    log.tell(7);
    log.settle();
    let reset = Entry::Reset { at: 40 };
    log.engine.coming(log.replica, &reset);
    log.engine.write(vec![submission(log.replica, log.seq + 9, reset, vec![])]).unwrap();
    log.tell(40);
    log.fill(10..11);
    log.settle();
    log.engine.write(vec![submission(log.replica, 0, Entry::Fence, vec![])]).unwrap();
    let state = log.rebuilt();
    assert_eq!((state.next, state.high_watermark), (10, 7), "nothing is known of what 40 spoke of");
    log.seq = state.seq.0;
    log.fill(10..12);
    log.tell(11);
    log.settle();
    assert_eq!(log.killed(dir.path()).1.high_watermark, 11, "and the next life is believed again");
}

/// R39: a leader that counts `written` may not count an `fsync` batch before its sync.
#[test]
fn an_fsync_batch_is_announced_as_written_and_synced_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = open(dir.path());
    let (fsync, os) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    let first = engine.mint(fsync.clone()).unwrap();
    let second = engine.mint(os.clone()).unwrap();
    let said = |seen: &Seen| {
        let persisted = *seen.persisted.lock();
        (persisted.written.0, persisted.synced.0)
    };
    let as_os = |one: Submission| Submission { durability: Durability::Os, ..one };
    engine.write([first, second].map(|r| submission(r, 1, Entry::Open { id: ID }, vec![])).into()).unwrap();
    engine.write(vec![as_os(append(second, 0, 2, 10))]).unwrap();
    engine.write(vec![as_os(append(second, 1, 3, 10))]).unwrap();
    assert_eq!((said(&fsync), said(&os)), ((1, 1), (3, 2)), "os: written, and the first one synced");
    engine.write(vec![as_os(append(second, 2, 4, 10)), append(first, 0, 2, 10)]).unwrap();
    assert_eq!((said(&fsync), said(&os)), ((2, 2), (4, 4)), "a group with an fsync batch is synced first");
    assert_eq!(engine.rebuild(first).unwrap().seq, Seq(2));
}
