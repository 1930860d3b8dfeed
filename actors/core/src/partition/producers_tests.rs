//! Tests of the producers' table: judgements, the bound, time, snapshots, and a store that forgets as it is told.

use super::producers::*;
use crate::Reject;
use crate::ids::{ReplicaId, Seq, TopicId, TopicPartition};
use crate::limits::PRODUCERS_PER_PARTITION;
use crate::records::BatchHead;
use crate::storage::{Durability, Entry, EntryHeader, ReplicaFold};
use crate::time::Millis;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn batch(epoch: i16, sequence: i32, count: i32, offset: i64) -> BatchHead {
    BatchHead {
        base_offset: offset,
        last_offset_delta: count - 1,
        records: count,
        producer_id: 7,
        producer_epoch: epoch,
        base_sequence: sequence,
        max_timestamp: 1_000,
        ..BatchHead::default()
    }
}

#[test]
fn a_resend_within_the_last_five_is_a_duplicate_and_an_older_one_is_out_of_order() {
    let mut table = ProducerTable::default();
    assert_eq!(table.judge(&batch(0, 40, 1, 0)), Judgement::Fresh, "a new producer may start anywhere");
    for n in 0..6 {
        table.apply(&batch(0, n * 2, 2, i64::from(n) * 2));
    }
    let again = table.judge(&batch(0, 2, 2, -1));
    assert!(matches!(again, Judgement::Duplicate(w) if w.base_offset == 2 && w.last_offset == 3));
    assert!(matches!(
        table.judge(&batch(0, 0, 2, -1)),
        Judgement::Refused(Reject::OutOfOrderSequence { expected: 12, got: 0, .. })
    ));
    assert!(matches!(table.judge(&batch(0, 13, 1, -1)), Judgement::Refused(_)));
    assert_eq!(table.judge(&batch(0, 12, 1, -1)), Judgement::Fresh);
}

#[test]
fn an_older_epoch_is_refused_and_a_newer_one_starts_at_zero() {
    let mut table = ProducerTable::default();
    table.apply(&batch(3, 0, 5, 0));
    assert!(matches!(
        table.judge(&batch(2, 5, 1, -1)),
        Judgement::Refused(Reject::InvalidProducerEpoch { current: 3, got: 2, .. })
    ));
    assert!(matches!(table.judge(&batch(4, 5, 1, -1)), Judgement::Refused(_)));
    assert_eq!(table.judge(&batch(4, 0, 1, -1)), Judgement::Fresh);
}

#[test]
fn sequences_wrap() {
    let mut table = ProducerTable::default();
    table.apply(&batch(0, i32::MAX - 1, 2, 0));
    assert_eq!(table.judge(&batch(0, 0, 1, -1)), Judgement::Fresh);
    assert!(matches!(table.judge(&batch(0, 1, 1, -1)), Judgement::Refused(_)));
    table.apply(&batch(0, i32::MAX, 3, 2));
    assert_eq!(table.judge(&batch(0, 2, 1, -1)), Judgement::Fresh);
}

#[test]
fn stored_and_read_back_it_is_the_same_and_cut_short_it_is_an_error() {
    let mut table = ProducerTable::default();
    for n in 0..9 {
        table.apply(&BatchHead { producer_id: n % 3, ..batch(0, n as i32, 1, n) });
    }
    let bytes = table.encode();
    assert_eq!(ProducerTable::decode(&bytes), Ok(table));
    for cut in 0..bytes.len() {
        assert!(ProducerTable::decode(&bytes[..cut]).is_err());
    }
}

#[test]
fn a_snapshot_of_more_than_are_kept_or_of_one_producer_twice() {
    let mut table = ProducerTable::default();
    table.apply(&batch(0, 0, 1, 0));
    let one = table.encode();
    let many = |ids: &[i64]| -> Vec<u8> {
        let mut bytes = vec![one[0]];
        bytes.extend_from_slice(&(ids.len() as u32).to_be_bytes());
        for id in ids {
            bytes.extend_from_slice(&id.to_be_bytes());
            bytes.extend_from_slice(&one[13..]);
        }
        bytes
    };
    assert_eq!(ProducerTable::decode(&many(&[7])), Ok(table));
    assert_eq!(ProducerTable::decode(&many(&[7, 7])), Err(ProducersError::Malformed));
    let more: Vec<i64> = (0..PRODUCERS_PER_PARTITION as i64 + 3).collect();
    let kept = ProducerTable::decode(&many(&more)).unwrap();
    kept.check();
    assert_eq!((kept.len(), kept.active()[0].id), (PRODUCERS_PER_PARTITION, 3));
}

/// Timestamps that a client may send: none, true ones of old records, and ones in the far future.
const SAID: [i64; 4] = [-1, 0, -2 * 86_400_000, i64::MAX];

#[test]
fn who_is_idle_by_the_monotonic_time_is_forgotten_whatever_the_timestamps_say() {
    let mut table = ProducerTable::default();
    for (n, said) in SAID.into_iter().enumerate() {
        let head = BatchHead { producer_id: n as i64, max_timestamp: said, ..batch(0, 0, 2, 2 * n as i64) };
        table.apply_at(&head, Millis(10 + n as u64));
    }
    assert_eq!(table.expire(Millis(109), 100), None);
    assert_eq!(table.len(), 4);
    assert_eq!(table.expire(Millis(111), 100), Some(4), "behind the second one's batch");
    assert_eq!(ids(&table), [2, 3]);
    // A new batch keeps a producer, whatever its timestamp.
    table.apply_at(&BatchHead { producer_id: 2, ..batch(0, 2, 1, 8) }, Millis(112));
    assert_eq!(table.expire(Millis(211), 100), Some(8));
    assert_eq!(ids(&table), [2]);
    assert_eq!(table.expire(Millis(212), 100), Some(9));
    assert!(table.is_empty());
    assert_eq!(table.expire(Millis(u64::MAX), 1), None);
    table.check();
}

#[test]
fn a_new_life_begins_the_time_anew() {
    let mut table = ProducerTable::default();
    table.apply_at(&batch(0, 0, 1, 0), Millis(1_000));
    let mut table = ProducerTable::decode(&table.encode()).unwrap();
    table.begin(Millis(5));
    assert_eq!(table.expire(Millis(104), 100), None);
    assert_eq!(table.expire(Millis(105), 100), Some(1));
}

#[test]
fn at_the_bound_the_lowest_last_offset_goes_first() {
    let bound = PRODUCERS_PER_PARTITION as i64;
    let from =
        |id: i64, sequence: i32, offset: i64| BatchHead { producer_id: id, ..batch(0, sequence, 1, offset) };
    let mut table = ProducerTable::default();
    for n in 0..bound {
        table.apply(&from(n, 0, n));
    }
    // The oldest producer writes again, so another one is the lowest now.
    table.apply(&from(0, 1, bound));
    table.check();
    assert_eq!(table.len(), PRODUCERS_PER_PARTITION);
    table.apply(&from(bound, 0, bound + 1));
    table.check();
    assert_eq!(table.len(), PRODUCERS_PER_PARTITION);
    assert!(matches!(table.judge(&from(0, 0, -1)), Judgement::Duplicate(w) if w.base_offset == 0));
    assert_eq!(table.judge(&from(1, 0, -1)), Judgement::Fresh, "forgotten");
    assert!(matches!(table.judge(&from(2, 0, -1)), Judgement::Duplicate(_)));
    // A table read from a snapshot goes on like one that saw the whole log.
    let mut again = ProducerTable::decode(&table.encode()).unwrap();
    for table in [&mut table, &mut again] {
        table.apply(&from(bound + 1, 0, bound + 2));
    }
    assert_eq!(again, table);
}

proptest! {
    /// A replica forgets by time. Its store lags behind, is told now and then, and starts from its own snapshot. The
    /// store knows every producer that its replica knows, by the same batches. At the end it holds no producer that
    /// it was told to forget.
    #[test]
    fn the_store_knows_whom_its_replica_knows(script in vec((0u8..7, 0i64..6, 1u64..40), 1..80)) {
        let (mut replica, mut store) = (ProducerTable::default(), ReplicaFold::opened(id(), Seq(1)));
        let (mut entries, mut told, mut ms, mut settled) = (Vec::<BatchHead>::new(), None, 0, 0);
        for (what, of, passed) in script {
            ms += passed;
            match what {
                0..=3 => {
                    let sequence = entries.iter().filter(|e| e.producer_id == of).count() as i32;
                    let head = BatchHead { producer_id: of, ..batch(0, sequence, 1, entries.len() as i64) };
                    replica.apply_at(&head, Millis(ms));
                    entries.push(head);
                }
                4 => {
                    let seq = Seq(entries.len() as u64 + 1);
                    let idle = replica.expire(Millis(ms), 60);
                    told = idle.map(|below| Forgotten { below, seq }).or(told);
                }
                _ => {
                    let until = settled + passed as usize % (entries.len() - settled + 1);
                    fold(&mut store, &entries[..until]);
                    told.into_iter().for_each(|forgotten| store.forget(forgotten));
                    store.producers = ProducerTable::decode(&store.producers.encode()).unwrap();
                    settled = until;
                }
            }
            let mut recovered = store.clone();
            fold(&mut recovered, &entries);
            for head in newest(&entries).filter(|head| ids(&replica).contains(&head.producer_id)) {
                prop_assert!(matches!(recovered.producers.judge(&head), Judgement::Duplicate(_)), "{head:?}");
                prop_assert_eq!(replica.judge(&head), recovered.producers.judge(&head));
            }
            replica.check();
        }
        fold(&mut store, &entries);
        if let Some(forgotten) = told {
            store.forget(forgotten);
            let mut idle = newest(&entries).filter(|head| head.base_offset < forgotten.below);
            prop_assert!(idle.all(|head| !ids(&store.producers).contains(&head.producer_id)));
        }
    }
}

fn newest(entries: &[BatchHead]) -> impl Iterator<Item = BatchHead> {
    let newest: BTreeMap<i64, BatchHead> = entries.iter().map(|head| (head.producer_id, *head)).collect();
    newest.into_values()
}

fn fold(store: &mut ReplicaFold, entries: &[BatchHead]) {
    for head in entries {
        let entry = EntryHeader {
            replica: ReplicaId(1),
            seq: Seq(head.base_offset as u64 + 2),
            entry: Entry::Append { base: head.base_offset, epoch: 0 },
            durability: Durability::Fsync,
            length: 0,
        };
        store.fold(&entry, Some(head));
    }
}

fn id() -> TopicPartition {
    TopicPartition { topic: TopicId([7; 16]), partition: 3 }
}

fn ids(table: &ProducerTable) -> Vec<i64> {
    table.active().iter().map(|producer| producer.id).collect()
}

#[test]
fn the_active_ones_are_told_with_their_last_sequence() {
    let mut table = ProducerTable::default();
    assert!(table.active().is_empty());
    table.apply(&batch(0, 0, 5, 0));
    table.apply(&BatchHead { producer_id: 3, max_timestamp: 2_000, ..batch(1, 7, 2, 5) });
    table.apply(&batch(0, 5, 1, 7));
    let active = |id, epoch, last_sequence, last_timestamp| ActiveProducer {
        id,
        epoch,
        last_sequence,
        last_timestamp,
    };
    assert_eq!(table.active(), [active(3, 1, 8, 2_000), active(7, 0, 5, 1_000)]);
}
