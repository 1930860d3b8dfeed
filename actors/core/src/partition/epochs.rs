//! Leader epochs and where each ends (KIP-101, KIP-320).

use crate::ids::{LeaderEpoch, Offset};

/// The largest epoch not above `epoch`, and the offset behind its last record; none if all known epochs are above it.
#[must_use]
pub fn end_offset_for(
    epochs: &[(LeaderEpoch, Offset)],
    epoch: LeaderEpoch,
    end: Offset,
) -> Option<(LeaderEpoch, Offset)> {
    let at = epochs.partition_point(|(e, _)| *e <= epoch);
    let (found, _) = epochs.get(at.checked_sub(1)?)?;
    Some((*found, epochs.get(at).map_or(end, |(_, start)| *start)))
}

/// The epoch of the record at an offset; −1 if it is not known.
#[must_use]
pub fn epoch_at(epochs: &[(LeaderEpoch, Offset)], offset: Offset) -> LeaderEpoch {
    let at = epochs.partition_point(|(_, start)| *start <= offset);
    at.checked_sub(1).and_then(|at| epochs.get(at)).map_or(-1, |(epoch, _)| *epoch)
}

/// Forgets what lies below a new log start: the epoch that covers it stays, beginning there (Kafka:
/// `LeaderEpochFileCache.truncateFromStart`).
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
    fn an_epoch_ends_where_the_next_begins() {
        let epochs = [(1, 0), (3, 10), (4, 20)];
        assert_eq!(end_offset_for(&epochs, 0, 30), None);
        assert_eq!(end_offset_for(&epochs, 1, 30), Some((1, 10)));
        assert_eq!(end_offset_for(&epochs, 2, 30), Some((1, 10)));
        assert_eq!(end_offset_for(&epochs, 9, 30), Some((4, 30)));
        assert_eq!((epoch_at(&epochs, 9), epoch_at(&epochs, 10), epoch_at(&[], 3)), (1, 3, -1));
    }
}
