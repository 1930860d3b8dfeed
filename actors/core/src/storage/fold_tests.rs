//! Properties of the fold: any cut of any history, folded on from there, gives the same state.

use super::*;
use crate::ids::{ReplicaId, Seq, TopicId, TopicPartition};
use crate::partition::ProducerTable;
use crate::records::BatchHead;
use crate::time::UnixMillis;
use proptest::prelude::*;

fn id() -> TopicPartition {
    TopicPartition { topic: TopicId([7; 16]), partition: 3 }
}

#[derive(Clone, Debug)]
enum Op {
    Append { count: i32, gap: i64, producer: i64, os: bool },
    Truncate { back: i64 },
    LogStart { forward: i64 },
    Reset { at: i64 },
    Fence,
    Epoch,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1..5i32, 0..3i64, -1..3i64, any::<bool>())
            .prop_map(|(count, gap, producer, os)| Op::Append { count, gap, producer, os }),
        1 => (0..8i64).prop_map(|back| Op::Truncate { back }),
        1 => (0..8i64).prop_map(|forward| Op::LogStart { forward }),
        1 => (0..40i64).prop_map(|at| Op::Reset { at }),
        1 => Just(Op::Fence),
        1 => Just(Op::Epoch),
    ]
}

/// Turns operations into entries, tracking only what a writer tracks.
fn history(ops: &[Op]) -> Vec<(EntryHeader, Option<BatchHead>)> {
    let (mut next, mut start, mut epoch) = (0i64, 0i64, 0i32);
    let mut out: Vec<(EntryHeader, Option<BatchHead>)> = Vec::new();
    for op in ops {
        let mut durability = Durability::Fsync;
        let (entry, head) = match op {
            Op::Append { count, gap, producer, os } => {
                let base = next + gap;
                next = base + i64::from(*count);
                if *os {
                    durability = Durability::Os;
                }
                let head = BatchHead {
                    base_offset: base,
                    last_offset_delta: count - 1,
                    records: *count,
                    leader_epoch: epoch,
                    producer_id: *producer,
                    producer_epoch: 0,
                    base_sequence: base as i32,
                    ..BatchHead::default()
                };
                (Entry::Append { base, epoch }, Some(head))
            }
            Op::Truncate { back } => {
                next = (next - back).max(0);
                start = start.min(next);
                (Entry::Truncate { to: next }, None)
            }
            Op::LogStart { forward } => {
                start += forward;
                next = next.max(start);
                (Entry::LogStart { to: start }, None)
            }
            Op::Reset { at } => {
                (next, start) = (*at, *at);
                (Entry::Reset { at: *at }, None)
            }
            Op::Fence => (Entry::Fence, None),
            Op::Epoch => {
                epoch += 1;
                continue;
            }
        };
        let seq = Seq(out.len() as u64 + 2);
        let header = EntryHeader { replica: ReplicaId(1), seq, entry, durability, length: 0 };
        out.push((header, head));
    }
    out
}

/// Folds and does what the store does after a truncation: rebuilds the producers from all heads that are left.
fn run(state: &mut ReplicaFold, entries: &[(EntryHeader, Option<BatchHead>)], heads: &mut Vec<BatchHead>) {
    for (entry, head) in entries {
        match state.fold(entry, head.as_ref()) {
            Folded::Appended => heads.push(head.expect("appends have heads")),
            Folded::Truncated { to } => {
                heads.retain(|h| h.base_offset < to);
                let mut producers = ProducerTable::default();
                heads.iter().for_each(|h| producers.apply(h));
                state.producers = producers;
            }
            Folded::Emptied { .. } => heads.clear(),
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn folding_from_any_cut_gives_the_same_state(ops in proptest::collection::vec(op(), 0..40), cut in 0..40usize, back in 0..40usize) {
        let entries = history(&ops);
        let mut whole = ReplicaFold::opened(id(), Seq(1));
        run(&mut whole, &entries, &mut Vec::new());
        let cut = cut.min(entries.len());
        let again = cut.saturating_sub(back);
        let (mut resumed, mut heads) = (ReplicaFold::opened(id(), Seq(1)), Vec::new());
        run(&mut resumed, &entries[..cut], &mut heads);
        // Recovery folds from an older position: what the state covers is skipped.
        run(&mut resumed, &entries[again..], &mut heads);
        prop_assert_eq!(&resumed, &whole);
        prop_assert!(whole.outline.log_start <= whole.outline.next);
        prop_assert!(whole.outline.epochs.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
    }

    #[test]
    fn a_missing_entry_is_a_gap_and_changes_nothing(ops in proptest::collection::vec(op(), 2..20), hole in 0..18usize) {
        let entries = history(&ops);
        prop_assume!(entries.len() >= 2);
        let hole = hole % (entries.len() - 1);
        let (mut state, mut heads) = (ReplicaFold::opened(id(), Seq(1)), Vec::new());
        run(&mut state, &entries[..hole], &mut heads);
        let before = state.clone();
        let (entry, head) = &entries[hole + 1];
        let expected = before.outline.seq.next();
        prop_assert_eq!(state.fold(entry, head.as_ref()), Folded::Gap { expected });
        prop_assert_eq!(state, before);
    }

    /// R42: whatever is cut after it was told, the high watermark names only batches that were committed then.
    #[test]
    fn a_high_watermark_names_committed_batches_alone(ops in proptest::collection::vec((op(), 0..40i64), 1..40)) {
        let entries = history(&ops.iter().map(|(op, _)| op.clone()).collect::<Vec<_>>());
        let told = ops.iter().filter(|(op, _)| !matches!(op, Op::Epoch)).map(|(_, told)| *told);
        let mut state = ReplicaFold::opened(id(), Seq(1));
        let (mut stored, mut committed): (Vec<BatchHead>, Vec<BatchHead>) = Default::default();
        for (entry, told) in entries.iter().zip(told) {
            run(&mut state, std::slice::from_ref(entry), &mut stored);
            let found = state.committed();
            prop_assert!((state.outline.log_start..=state.outline.next).contains(&found));
            let readable = |h: &&BatchHead| h.next_offset() > state.outline.log_start;
            let below = |h: &&BatchHead| h.base_offset < found && found > state.outline.log_start;
            for head in stored.iter().filter(readable).filter(below) {
                prop_assert!(committed.contains(head), "{head:?} is below {found} and was never committed");
            }
            // As a replica tells it: on a batch's end, now and then beyond what is folded.
            if told % 3 == 0 {
                let to = stored.iter().map(BatchHead::next_offset).find(|next| *next >= told).unwrap_or(told);
                state.commit(to);
                committed.extend(stored.iter().filter(|h| h.base_offset < state.high_watermark).copied());
            }
        }
    }

    #[test]
    fn a_lower_leader_epoch_that_lies_in_a_journal_is_read_and_begins_no_epoch(ops in proptest::collection::vec(op(), 1..30), back in 1..4i32) {
        let entries = history(&ops);
        let mut state = ReplicaFold::opened(id(), Seq(1));
        run(&mut state, &entries, &mut Vec::new());
        prop_assume!(state.outline.epoch().is_some());
        let last = state.outline.epoch().expect("just looked at");
        let (before, base, epoch) = (state.clone(), state.outline.next, last - back);
        let head = BatchHead { base_offset: base, leader_epoch: epoch, ..BatchHead::default() };
        let (seq, entry) = (state.outline.seq.next(), Entry::Append { base, epoch });
        let header = EntryHeader { replica: ReplicaId(1), seq, entry, durability: Durability::Fsync, length: 0 };
        prop_assert_eq!(state.fold(&header, Some(&head)), Folded::Appended);
        prop_assert_eq!(state.outline.epochs, before.outline.epochs);
        prop_assert_eq!(state.outline.next, base + 1);
    }

    #[test]
    fn blocks_cover_all_batches_in_order_and_stay_under_a_page(sizes in proptest::collection::vec(61..400_000usize, 0..60)) {
        let cut = blocks(&sizes, 24);
        let mut at = 0;
        for block in &cut {
            prop_assert_eq!(block.from, at);
            prop_assert!(block.to > block.from);
            let bytes: usize = sizes[block.from..block.to].iter().sum();
            prop_assert!(bytes + 24 + 20 <= 262_144 || block.to == block.from + 1);
            at = block.to;
        }
        prop_assert_eq!(at, sizes.len());
    }

    #[test]
    fn groups_read_back_and_any_flipped_bit_of_their_heads_is_seen(n in 0..5usize, bit in 0..1000usize) {
        let entries: Vec<EntryHeader> = (0..n).map(|i| EntryHeader {
            replica: ReplicaId(i as u32), seq: Seq(i as u64 + 9), length: 100 * i as u32, durability: Durability::Os,
            entry: Entry::Append { base: i as i64, epoch: 4 } }).collect();
        let mut bytes = Vec::new();
        let crc = encode_group(&[9; 16], Lsn(512), Lsn(100), 5, &entries, &mut bytes);
        let (header, read) = decode_group(&bytes, &[9; 16], Lsn(512)).expect("just written");
        prop_assert_eq!((header.crc, header.synced, header.prev_crc), (crc, Lsn(100), 5));
        prop_assert_eq!(read, entries);
        prop_assert!(decode_group(&bytes, &[9; 16], Lsn(1024)).is_err(), "of another position");
        prop_assert!(decode_group(&bytes, &[8; 16], Lsn(512)).is_err(), "of another shard");
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode_group(&bytes, &[9; 16], Lsn(512)).is_err());
    }
}

use crate::ids::Lsn;

#[test]
fn a_log_start_beyond_the_end_empties_the_replica() {
    let mut state = ReplicaFold::opened(id(), Seq(1));
    let entry = |seq, entry| EntryHeader {
        replica: ReplicaId(1),
        seq: Seq(seq),
        entry,
        durability: Durability::Fsync,
        length: 0,
    };
    let head = BatchHead { base_offset: 0, last_offset_delta: 4, leader_epoch: 2, ..BatchHead::default() };
    assert_eq!(state.fold(&entry(2, Entry::Append { base: 0, epoch: 2 }), Some(&head)), Folded::Appended);
    state.commit(5);
    assert_eq!(state.fold(&entry(3, Entry::LogStart { to: 9 }), None), Folded::Emptied { at: 9 });
    assert_eq!((state.outline.log_start, state.outline.next, state.committed()), (9, 9, 9));
    assert_eq!((&state.outline.epochs[..], &state.producers), (&[][..], &ProducerTable::default()));
    assert_eq!(state.fold(&entry(4, Entry::Drop), None), Folded::Dropped);
    assert!(matches!(state.fold(&entry(5, Entry::Fence), None), Folded::Refused(_)));
}

#[test]
fn a_reset_goes_on_anywhere_without_epochs_and_producers() {
    let entry = |seq, entry| EntryHeader {
        replica: ReplicaId(1),
        seq: Seq(seq),
        entry,
        durability: Durability::Fsync,
        length: 0,
    };
    let head = |base_offset, leader_epoch, producer_id| BatchHead {
        base_offset,
        last_offset_delta: 4,
        leader_epoch,
        producer_id,
        ..BatchHead::default()
    };
    // Where the log goes on: below the log start, inside the log, at its end, behind it.
    for (at, committed) in [(1, 1), (7, 7), (10, 10), (90, 90)] {
        let mut state = ReplicaFold::opened(id(), Seq(1));
        state.fold(&entry(2, Entry::Append { base: 0, epoch: 8 }), Some(&head(0, 8, 1)));
        state.fold(&entry(3, Entry::Append { base: 5, epoch: 8 }), Some(&head(5, 8, 2)));
        state.fold(&entry(4, Entry::LogStart { to: 5 }), None);
        state.commit(10);
        assert_eq!(state.fold(&entry(5, Entry::Reset { at }), None), Folded::Emptied { at });
        assert_eq!((state.outline.log_start, state.outline.next, state.committed()), (at, at, committed));
        assert_eq!((&state.outline.epochs[..], state.producers.len()), (&[][..], 0));
        // What the leader sends first may lie behind it, of any epoch.
        let next = Entry::Append { base: at + 3, epoch: 2 };
        assert_eq!(state.fold(&entry(6, next), Some(&head(at + 3, 2, 9))), Folded::Appended);
        assert_eq!(state.outline.epochs, [(2, at + 3)]);
        assert_eq!(state.committed(), committed, "what comes later is not committed by it");
    }
}

#[test]
fn a_replica_that_is_written_again_is_not_stray() {
    let entry = |seq, entry| EntryHeader {
        replica: ReplicaId(1),
        seq: Seq(seq),
        entry,
        durability: Durability::Fsync,
        length: 0,
    };
    let used = [
        Entry::Append { base: 0, epoch: 2 },
        Entry::Truncate { to: 0 },
        Entry::LogStart { to: 1 },
        Entry::Reset { at: 1 },
        Entry::Fence,
    ];
    for now in used {
        let mut state = ReplicaFold::opened(id(), Seq(1));
        state.fold(&entry(2, Entry::Stray { at: UnixMillis(5) }), None);
        assert_eq!(state.stray, Some(UnixMillis(5)));
        state.fold(&entry(3, now), Some(&BatchHead { leader_epoch: 2, ..BatchHead::default() }));
        assert_eq!(state.stray, None, "{now:?}");
    }
}
