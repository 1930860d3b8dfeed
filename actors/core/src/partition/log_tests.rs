//! Tests of the log against the store's fold: the same entries leave both with the same state.

use super::*;
use crate::records::BatchHead;
use crate::storage::{Durability, Entry, EntryHeader, Folded, ReplicaFold};
use crate::time::{Millis, Now, UnixMillis};
use crate::{Offset, ReplicaId, Seq, TopicId, TopicPartition};
use proptest::prelude::*;

const NOW: Now = Now { mono: Millis(0), wall: UnixMillis(0) };

/// A log and the store under it.
struct Both {
    log: LocalLog,
    fold: ReplicaFold,
}

impl Both {
    fn new() -> Both {
        let id = TopicPartition { topic: TopicId([7; 16]), partition: 3 };
        let log = LocalLog::recovered(LogStart { seq: Seq(1), ..LogStart::default() }, Durability::Fsync);
        Both { log, fold: ReplicaFold::opened(id, Seq(1)) }
    }

    fn journal(&mut self, entry: Entry, head: Option<&BatchHead>) -> Folded {
        let (replica, seq, durability) = (ReplicaId(1), self.log.seq(), Durability::Fsync);
        self.fold.fold(&EntryHeader { replica, seq, entry, durability, length: 0 }, head)
    }

    fn append(&mut self, records: i32, producer: i64, epoch: i32) {
        let head = BatchHead {
            base_offset: self.log.end(),
            last_offset_delta: records - 1,
            records,
            leader_epoch: epoch,
            producer_id: producer,
            base_sequence: self.log.end() as i32,
            ..BatchHead::default()
        };
        self.log.append(NOW, epoch, head, false);
        let entry = Entry::Append { base: head.base_offset, epoch };
        assert_eq!(self.journal(entry, Some(&head)), Folded::Appended);
    }

    fn commit(&mut self, to: Offset) {
        self.log.commit(to);
        self.fold.commit(to);
    }

    /// Moves the log start. Up to the end, its machine has committed that offset.
    fn start_at(&mut self, to: Offset) -> Option<Folded> {
        if to <= self.log.end() {
            self.commit(to);
        }
        self.log.move_log_start(to)?;
        Some(self.journal(Entry::LogStart { to }, None))
    }

    fn agree(&self) {
        let (log, outline) = (&self.log, &self.fold.outline);
        let of_log = (log.seq(), log.log_start(), log.end(), log.high_watermark());
        assert_eq!(of_log, (outline.seq, outline.log_start, outline.next, self.fold.committed()));
        assert_eq!(**log.epochs(), outline.epochs);
        assert_eq!(log.producers(), &self.fold.producers);
        log.check();
    }
}

#[test]
fn a_log_start_above_the_end_empties_the_log_as_it_empties_the_store() {
    // Each row: the log start, and the number of epochs and of producers that are left in a log that ends at 8.
    for (to, left, folded) in [
        (5, (1, 2), Folded::Trimmed { to: 5 }),
        (8, (1, 2), Folded::Trimmed { to: 8 }),
        (9, (0, 0), Folded::Emptied { at: 9 }),
    ] {
        let mut both = Both::new();
        both.append(4, 5, 1);
        both.append(4, 6, 2);
        both.log.persisted(Seq(3), Seq(3));
        let log_id = both.log.log_id();
        assert_eq!(both.start_at(to), Some(folded));
        both.agree();
        assert_eq!((both.log.epochs().len(), both.log.producers().len()), left, "log start {to}");
        let emptied = to > 8;
        assert_eq!(both.log.log_id() > log_id, emptied, "readers learn of it");
        assert_eq!(
            both.log.synced_end(),
            if emptied { 0 } else { 8 },
            "nothing counts before the entry does"
        );
        both.log.persisted(Seq(4), Seq(4));
        assert_eq!((both.log.synced_end(), both.log.durable_log_start()), (to.max(8), to));
        assert_eq!(both.start_at(to), None, "it is there already");
    }
}

proptest! {
    #[test]
    fn the_log_and_the_store_agree_after_every_entry(
        ops in prop::collection::vec((0..5u8, 1..5i32, -1..3i64, 0..12i64), 1..60),
    ) {
        let mut both = Both::new();
        let mut epoch = 1;
        for (what, records, producer, by) in ops {
            let end = both.log.end();
            match what {
                0 | 1 => both.append(records, producer, epoch),
                2 => drop(both.start_at(both.log.log_start() + by)),
                3 if by > 8 => {
                    both.log.reset(end + by);
                    prop_assert_eq!(both.journal(Entry::Reset { at: end + by }, None), Folded::Emptied { at: end + by });
                }
                3 => both.commit(both.log.high_watermark().max(end - by)),
                _ => epoch += 1,
            }
            both.agree();
        }
    }
}
