//! Producers in the store. They outlive settles and starts, whatever a client says of time, until their replica has
//! forgotten them.

use crate::storage::store::open::Opened;
use crate::storage::tests::{Seen, batch_of, open, submission};
use crate::storage::*;
use callboard_actors::ports::{ReplicaState, Submission};
use callboard_core::partition::{Forgotten, Judgement};
use callboard_core::records::{BatchBuilder, NewRecord, head};
use callboard_core::storage::Entry;
use callboard_core::{ReplicaId, Seq, TopicId, TopicPartition};
use std::path::Path;
use std::sync::Arc;

const ID: TopicPartition = TopicPartition { topic: TopicId([1; 16]), partition: 0 };
const DAY: i64 = 86_400_000;

/// A batch of one record of this producer, sequence 0.
fn of(producer: i64, base: i64, timestamp: i64) -> Vec<u8> {
    let record = NewRecord { timestamp, value: Some(vec![1; 20]), ..NewRecord::default() };
    BatchBuilder::new(base).leader_epoch(0).producer(producer, 0, 0).record(record).build().unwrap()
}

/// The same, behind a header that says −1.
fn undated(producer: i64, base: i64) -> Vec<u8> {
    let mut batch = of(producer, base, crate::storage::settled::window::wall().0);
    batch[35..43].copy_from_slice(&(-1i64).to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn appended(replica: ReplicaId, seq: u64, batch: Vec<u8>) -> Submission {
    let base = head(&batch).unwrap().base_offset;
    submission(replica, seq, Entry::Append { base, epoch: 0 }, batch)
}

/// An engine with one replica of three producers, 1, 2 and 3, a batch each.
fn three(dir: &Path) -> (Store, Arc<Engine>, ReplicaId) {
    let (store, engine) = open(dir);
    let replica = engine.mint(Arc::new(Seen::default())).unwrap();
    let batch = |n: i64| appended(replica, n as u64 + 1, of(n, n - 1, 1000));
    engine.write(vec![submission(replica, 1, Entry::Open { id: ID }, vec![])]).unwrap();
    engine.write((1..=3).map(batch).collect()).unwrap();
    (store, engine, replica)
}

fn ids(state: &ReplicaState) -> Vec<i64> {
    state.producers.active().iter().map(|producer| producer.id).collect()
}

fn recovered(dir: &Path) -> ReplicaState {
    let (store, _engine) = open(dir);
    let Opened::Shard { states, .. } = &store.shards[0] else { panic!("the shard is lost") };
    states[0].clone()
}

#[test]
fn settles_and_starts_keep_a_producer_whatever_its_timestamps_say() {
    let two_days = crate::storage::settled::window::wall().0 - 2 * DAY;
    let batches = [undated(5, 0), of(6, 1, two_days), of(7, 2, -1), of(8, 3, 0)];
    for clean in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        {
            let (store, engine) = open(dir.path());
            let replica = engine.mint(Arc::new(Seen::default())).unwrap();
            engine.write(vec![submission(replica, 1, Entry::Open { id: ID }, vec![])]).unwrap();
            for (n, batch) in batches.iter().enumerate() {
                engine.write(vec![appended(replica, n as u64 + 2, batch.clone())]).unwrap();
            }
            assert!(engine.settle().unwrap());
            assert_eq!(ids(&engine.rebuild(replica).unwrap()), [5, 6, 7, 8]);
            if clean {
                engine.close().unwrap();
                store.mark_clean().unwrap();
            }
        }
        let state = recovered(dir.path());
        for batch in &batches {
            let head = head(batch).unwrap();
            let judged = state.producers.judge(&head);
            assert!(
                matches!(judged, Judgement::Duplicate(w) if w.base_offset == head.base_offset),
                "{head:?}"
            );
        }
    }
}

#[test]
fn a_snapshot_is_without_whom_the_replica_has_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine, replica) = three(dir.path());
    engine.settle().unwrap();
    // Producer 2 writes again, after the moment of which the store is told.
    engine.forget(replica, Forgotten { below: 2, seq: Seq(4) });
    assert_eq!(ids(&engine.rebuild(replica).unwrap()), [1, 2, 3], "and a rebuild takes it back");
    engine.forget(replica, Forgotten { below: 2, seq: Seq(4) });
    engine.write(vec![appended(replica, 5, of(2, 3, 1000))]).unwrap();
    engine.settle().unwrap();
    assert_eq!(ids(&engine.rebuild(replica).unwrap()), [2, 3]);
    drop((_store, engine));
    assert_eq!(ids(&recovered(dir.path())), [2, 3]);
}

#[test]
fn what_the_store_has_not_folded_yet_counts_and_so_does_a_truncation() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine, replica) = three(dir.path());
    // As of an entry that is not there yet: who writes until then is not forgotten.
    engine.forget(replica, Forgotten { below: 3, seq: Seq(5) });
    engine.settle().unwrap();
    assert_eq!(engine.journal.index.lock().replicas[&replica].settled.as_ref().unwrap().producers.len(), 3);
    engine.write(vec![appended(replica, 5, of(1, 3, 1000))]).unwrap();
    engine.write(vec![submission(replica, 6, Entry::Truncate { to: 3 }, vec![])]).unwrap();
    engine.settle().unwrap();
    let state = engine.rebuild(replica).unwrap();
    assert_eq!(
        (ids(&state), state.next),
        (vec![1, 2, 3], 3),
        "its last batch is gone, the one before is known"
    );
    engine.forget(ReplicaId(99), Forgotten { below: 3, seq: Seq(5) });
}

#[test]
fn a_batch_of_many_records_counts_as_one_of_its_producer() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine, replica) = three(dir.path());
    engine.write(vec![appended(replica, 5, batch_of(3, &[1, 2, 3], 10))]).unwrap();
    engine.forget(replica, Forgotten { below: 4, seq: Seq(5) });
    engine.settle().unwrap();
    assert_eq!(ids(&engine.rebuild(replica).unwrap()), [5], "its last offset is what is told of");
}
