//! Leader epochs and the offset at which each ends (KIP-101, KIP-320).
//!
//! A log remembers where each epoch began, and an epoch ends where the next one begins. A client that asks for the
//! end of an epoch learns from which offset on its own log may differ.
//!
//! The functions only search and trim the list. The log appends to it.

use crate::ids::{LeaderEpoch, Offset};

/// Answers OffsetForLeaderEpoch: the largest known epoch that is not above `asked`, and the offset where it ended.
///
/// An epoch above `current` has no answer, and neither has −1. An epoch from before the first known one ended where
/// that one began. The current epoch has an answer even if no record was appended in it yet.
#[must_use]
pub fn last_offset_for(
    epochs: &[(LeaderEpoch, Offset)],
    current: LeaderEpoch,
    asked: LeaderEpoch,
    end: Offset,
) -> Option<(LeaderEpoch, Offset)> {
    if asked == -1 || asked > current {
        return None;
    }
    if asked == current {
        return Some((current, end));
    }
    let before = epochs.iter().find(|(epoch, _)| *epoch > asked).map_or(end, |(_, start)| *start);
    let at = epochs.partition_point(|(epoch, _)| *epoch <= asked);
    let found = at.checked_sub(1).and_then(|at| epochs.get(at)).map_or(asked, |(epoch, _)| *epoch);
    Some((found, before))
}

/// The largest known epoch that is not above `asked`, and the offset where it ended in a log that ends at `end`; none if
/// every known epoch is above it (R13).
#[must_use]
pub fn end_of_epoch(
    epochs: &[(LeaderEpoch, Offset)],
    asked: LeaderEpoch,
    end: Offset,
) -> Option<(LeaderEpoch, Offset)> {
    let behind = epochs.partition_point(|(epoch, _)| *epoch <= asked);
    let (epoch, _) = epochs.get(behind.checked_sub(1)?)?;
    Some((*epoch, epochs.get(behind).map_or(end, |(_, start)| *start)))
}

/// The epoch of the record at an offset; none below the first known epoch.
#[must_use]
pub fn epoch_at(epochs: &[(LeaderEpoch, Offset)], offset: Offset) -> Option<LeaderEpoch> {
    let at = epochs.partition_point(|(_, start)| *start <= offset);
    at.checked_sub(1).and_then(|at| epochs.get(at)).map(|(epoch, _)| *epoch)
}

/// Forgets the epochs that ended below a new log start. The epoch that covers the log start stays and begins there
/// (Kafka: `LeaderEpochFileCache.truncateFromStart`).
pub fn trim_epochs(epochs: &mut Vec<(LeaderEpoch, Offset)>, log_start: Offset) {
    if let Some(covering) = epochs.iter().rposition(|(_, start)| *start <= log_start) {
        epochs.drain(..covering);
        epochs[0].1 = log_start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_of_the_epoch_that_began_last_before_it() {
        let epochs = [(1, 0), (3, 10), (4, 20)];
        assert_eq!((epoch_at(&epochs, 9), epoch_at(&epochs, 10), epoch_at(&[], 3)), (Some(1), Some(3), None));
    }

    #[test]
    fn an_epoch_ends_where_the_next_known_one_begins() {
        let epochs = [(1, 0), (3, 10), (4, 20)];
        let table =
            [(0, None), (1, Some((1, 10))), (2, Some((1, 10))), (3, Some((3, 20))), (9, Some((4, 30)))];
        for (asked, said) in table {
            assert_eq!(end_of_epoch(&epochs, asked, 30), said, "epoch {asked}");
        }
        assert_eq!(end_of_epoch(&[], 3, 0), None);
    }

    #[test]
    fn what_a_consumer_is_told_of_an_epoch_is_what_kafka_tells() {
        let epochs = [(1, 4), (3, 10), (4, 20)];
        // The log is in epoch 6, which has no record yet, and ends at 30. Each row: the epoch asked for, and the
        // answer.
        let table = [
            (-2, Some((-2, 4))),
            (-1, None),
            (0, Some((0, 4))),
            (1, Some((1, 10))),
            (2, Some((1, 10))),
            (3, Some((3, 20))),
            (4, Some((4, 30))),
            (5, Some((4, 30))),
            (6, Some((6, 30))),
            (7, None),
            (i32::MAX, None),
        ];
        for (asked, said) in table {
            assert_eq!(last_offset_for(&epochs, 6, asked, 30), said, "epoch {asked}");
        }
        assert_eq!(last_offset_for(&[], 0, 0, 0), Some((0, 0)), "an empty log in its first epoch");
    }
}
