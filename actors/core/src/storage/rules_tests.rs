//! The rules of a replica's log, row by row.

use super::{Change, Entry, Outline, Refusal, Ruling, judge};
use crate::ids::{Offset, Seq, TopicId, TopicPartition};
use crate::time::UnixMillis;

const OPEN: Entry = Entry::Open { id: TopicPartition { topic: TopicId([7; 16]), partition: 0 } };

/// Nine entries, offsets 10 to 29, epoch 3 from 10 and epoch 5 from 20.
fn outline() -> Outline {
    Outline { seq: Seq(9), log_start: 10, next: 30, epochs: vec![(3, 10), (5, 20)], dropped: false }
}

fn append(base: Offset, epoch: i32) -> Entry {
    Entry::Append { base, epoch }
}

#[test]
fn each_entry_follows_is_covered_or_is_refused() {
    let follows = Ruling::Follows;
    let refused = Ruling::Refused;
    let appended = |base, epoch, next| follows(Change::Appended { base, epoch, next });
    // Number, entry, the offset behind its batch, ruling.
    let table = [
        (9, append(30, 5), Some(31), Ruling::Covered),
        (9, Entry::Drop, None, Ruling::Covered),
        (1, OPEN, None, Ruling::Covered),
        (11, append(30, 5), Some(31), refused(Refusal::Gap { expected: Seq(10) })),
        (11, Entry::Fence, None, refused(Refusal::Gap { expected: Seq(10) })),
        (10, OPEN, None, refused(Refusal::OpenTwice)),
        (10, append(30, 5), Some(33), appended(30, 5, 33)),
        (10, append(30, 6), Some(33), appended(30, 6, 33)),
        (10, append(40, 5), Some(41), appended(40, 5, 41)),
        (10, append(30, 5), None, refused(Refusal::NoBatch)),
        (10, append(29, 5), Some(31), refused(Refusal::Below { base: 29, next: 30 })),
        (10, append(30, 4), Some(31), refused(Refusal::Epoch { epoch: 4, last: 5 })),
        (10, append(30, 3), Some(31), refused(Refusal::Epoch { epoch: 3, last: 5 })),
        (10, append(30, -1), Some(31), refused(Refusal::Epoch { epoch: -1, last: 5 })),
        (10, Entry::Truncate { to: 29 }, None, follows(Change::Truncated { to: 29 })),
        (10, Entry::Truncate { to: 5 }, None, follows(Change::Truncated { to: 5 })),
        (10, Entry::Truncate { to: 30 }, None, follows(Change::Marked)),
        (10, Entry::LogStart { to: 11 }, None, follows(Change::Trimmed { to: 11 })),
        (10, Entry::LogStart { to: 30 }, None, follows(Change::Trimmed { to: 30 })),
        (10, Entry::LogStart { to: 31 }, None, follows(Change::Emptied { at: 31 })),
        (9, Entry::Reset { at: 30 }, None, Ruling::Covered),
        (10, Entry::Reset { at: 4 }, None, follows(Change::Emptied { at: 4 })),
        (10, Entry::Reset { at: 30 }, None, follows(Change::Emptied { at: 30 })),
        (10, Entry::Reset { at: 99 }, None, follows(Change::Emptied { at: 99 })),
        (10, Entry::LogStart { to: 10 }, None, follows(Change::Marked)),
        (10, Entry::Stray { at: UnixMillis(1) }, None, follows(Change::Marked)),
        (10, Entry::Fence, None, follows(Change::Marked)),
        (10, Entry::Drop, None, follows(Change::Dropped)),
    ];
    for (seq, entry, end, ruling) in table {
        assert_eq!(judge(&outline(), Seq(seq), &entry, end), ruling, "{seq} {entry:?}");
    }
}

#[test]
fn nothing_comes_before_the_open() {
    let empty = Outline::default();
    assert_eq!(judge(&empty, Seq(1), &OPEN, None), Ruling::Follows(Change::Opened));
    assert_eq!(judge(&empty, Seq(2), &OPEN, None), Ruling::Refused(Refusal::Gap { expected: Seq(1) }));
    let others = [append(0, 0), Entry::Fence, Entry::Drop, Entry::Truncate { to: 0 }, Entry::Reset { at: 0 }];
    for entry in others {
        assert_eq!(judge(&empty, Seq(1), &entry, Some(1)), Ruling::Refused(Refusal::NotOpen), "{entry:?}");
    }
}

#[test]
fn nothing_follows_a_drop_and_a_replay_of_it_is_covered() {
    let mut gone = outline();
    assert_eq!(gone.follow(Seq(10), &Entry::Drop, None), Ruling::Follows(Change::Dropped));
    assert_eq!(judge(&gone, Seq(10), &Entry::Drop, None), Ruling::Covered);
    for entry in [append(30, 5), Entry::Fence, Entry::Drop, Entry::Stray { at: UnixMillis(1) }, OPEN] {
        assert_eq!(judge(&gone, Seq(11), &entry, Some(31)), Ruling::Refused(Refusal::Dropped), "{entry:?}");
    }
}

#[test]
fn an_entry_moves_the_outline() {
    // Entry, the offset behind its batch; then log start, next offset and epochs.
    let table = [
        (append(30, 5), Some(33), 10, 33, vec![(3, 10), (5, 20)]),
        (append(31, 6), Some(33), 10, 33, vec![(3, 10), (5, 20), (6, 31)]),
        (Entry::Truncate { to: 21 }, None, 10, 21, vec![(3, 10), (5, 20)]),
        (Entry::Truncate { to: 20 }, None, 10, 20, vec![(3, 10)]),
        (Entry::Truncate { to: 4 }, None, 4, 4, vec![]),
        (Entry::Truncate { to: 99 }, None, 10, 30, vec![(3, 10), (5, 20)]),
        (Entry::LogStart { to: 15 }, None, 15, 30, vec![(3, 15), (5, 20)]),
        (Entry::LogStart { to: 25 }, None, 25, 30, vec![(5, 25)]),
        (Entry::LogStart { to: 30 }, None, 30, 30, vec![(5, 30)]),
        (Entry::LogStart { to: 31 }, None, 31, 31, vec![]),
        (Entry::Reset { at: 30 }, None, 30, 30, vec![]),
        (Entry::Reset { at: 40 }, None, 40, 40, vec![]),
        (Entry::Reset { at: 15 }, None, 15, 15, vec![]),
        (Entry::LogStart { to: 4 }, None, 10, 30, vec![(3, 10), (5, 20)]),
        (Entry::Fence, None, 10, 30, vec![(3, 10), (5, 20)]),
    ];
    for (entry, end, log_start, next, epochs) in table {
        let mut moved = outline();
        assert!(matches!(moved.follow(Seq(10), &entry, end), Ruling::Follows(_)), "{entry:?}");
        let expected = Outline { seq: Seq(10), log_start, next, epochs, dropped: false };
        assert_eq!(moved, expected, "{entry:?}");
    }
}

#[test]
fn a_refused_or_covered_entry_moves_nothing() {
    for (seq, entry) in [(11, Entry::Fence), (9, Entry::Drop), (10, append(0, 9)), (10, append(30, 4))] {
        let mut same = outline();
        assert!(!matches!(same.follow(Seq(seq), &entry, Some(31)), Ruling::Follows(_)), "{entry:?}");
        assert_eq!(same, outline());
    }
}

/// A follower that cuts its own suffix off takes the epochs that its leader has there, though it had higher ones.
#[test]
fn behind_a_truncation_the_epoch_before_it_counts() {
    let mut outline = outline();
    outline.follow(Seq(10), &Entry::Truncate { to: 20 }, None);
    assert_eq!(
        judge(&outline, Seq(11), &append(20, 2), Some(21)),
        Ruling::Refused(Refusal::Epoch { epoch: 2, last: 3 })
    );
    assert!(matches!(outline.follow(Seq(11), &append(20, 4), Some(21)), Ruling::Follows(_)));
    assert_eq!(outline.epochs, [(3, 10), (4, 20)]);
}

/// R39: a follower that was emptied takes its leader's log from there on, in whatever epoch it was written.
#[test]
fn behind_a_reset_any_epoch_and_any_gap_may_follow() {
    for at in [5, 30, 40] {
        let mut outline = outline();
        outline.follow(Seq(10), &Entry::Reset { at }, None);
        let below = judge(&outline, Seq(11), &append(at - 1, 2), Some(at + 1));
        assert_eq!(below, Ruling::Refused(Refusal::Below { base: at - 1, next: at }));
        assert!(matches!(outline.follow(Seq(11), &append(at + 7, 2), Some(at + 9)), Ruling::Follows(_)));
        assert_eq!((&outline.epochs[..], outline.log_start, outline.next), (&[(2, at + 7)][..], at, at + 9));
    }
}

#[test]
fn a_lower_epoch_is_taken_from_a_journal_and_from_no_writer() {
    let mut written = outline();
    let lower = append(30, 4);
    assert_eq!(
        written.follow(Seq(10), &lower, Some(31)),
        Ruling::Refused(Refusal::Epoch { epoch: 4, last: 5 })
    );
    assert_eq!(written, outline(), "a refused entry changes nothing");
    let mut replayed = outline();
    let taken = Ruling::Follows(Change::Appended { base: 30, epoch: 4, next: 31 });
    assert_eq!(replayed.replay(Seq(10), &lower, Some(31)), taken);
    assert_eq!((replayed.next, replayed.epoch()), (31, Some(5)), "the next writer needs epoch 5");
    // Whatever else does not follow is refused by both.
    assert_eq!(
        replayed.replay(Seq(12), &lower, Some(32)),
        Ruling::Refused(Refusal::Gap { expected: Seq(11) })
    );
    assert_eq!(
        replayed.replay(Seq(11), &append(30, 4), Some(31)),
        Ruling::Refused(Refusal::Below { base: 30, next: 31 })
    );
}
