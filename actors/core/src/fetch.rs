//! What a fetch may read of a partition: up to which offset, or why not at all.
//!
//! ```text
//!   leader epoch ─> role ─> divergence ─> range ─> up to the high watermark, or the last stable offset
//! ```
//!
//! The order is Kafka's, because a request that is wrong in two ways gets the answer of the first. This file decides on a
//! view that was published; it neither waits nor reads.

use crate::error::ErrorCode;
use crate::fetch_session::Wanted;
use crate::ids::{LeaderEpoch, Offset};
use crate::partition::{View, diverging};

/// What a partition has for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Readable {
    /// The end of what the request may read.
    pub until: Offset,
    /// The epoch and the end at which the client has to cut its log before it reads on.
    pub diverging: Option<(LeaderEpoch, Offset)>,
}

/// What a request may read of a partition. `committed` asks for the records of finished transactions only. `by_id` says
/// whether the request names topics by their ids, because the codes of a deleted topic differ.
pub fn readable(view: &View, wanted: &Wanted, committed: bool, by_id: bool) -> Result<Readable, ErrorCode> {
    // Like Kafka, any number below 0 names no epoch.
    let claimed = Some(wanted.current_leader_epoch).filter(|epoch| *epoch >= 0);
    view.leads(claimed).map_err(|reject| reject.code_for(by_id))?;
    let diverging = diverging(view, wanted.last_fetched_epoch, wanted.fetch_offset)?;
    // A client whose log parts from this one may well have a longer one: it is told where to cut.
    let beyond = wanted.fetch_offset > view.end && diverging.is_none();
    if wanted.fetch_offset < view.log_start || beyond {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let until = if committed { view.last_stable_offset } else { view.high_watermark };
    Ok(Readable { until, diverging })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::Role;
    use crate::records::Rules;
    use std::sync::Arc;

    /// Epoch 1 from offset 4, epoch 3 from 10; now epoch 5, without a record yet.
    fn view() -> View {
        View {
            role: Role::Leader,
            leader_epoch: 5,
            log_start: 4,
            end: 20,
            high_watermark: 18,
            last_stable_offset: 16,
            log_id: 0,
            epoch_start: 0,
            rules: Rules { max_bytes: 1, open: true, timestamps: None },
            epochs: Arc::new(vec![(1, 4), (3, 10)]),
        }
    }

    fn wanted(current_leader_epoch: i32, last_fetched_epoch: i32, fetch_offset: i64) -> Wanted {
        Wanted { current_leader_epoch, last_fetched_epoch, fetch_offset, max_bytes: 1 }
    }

    #[test]
    fn what_may_be_read_is_what_kafka_lets_read() {
        use ErrorCode::{FencedLeaderEpoch, OffsetOutOfRange, UnknownLeaderEpoch};
        let all = Ok((18, None));
        let cut = |epoch, end| Ok((18, Some((epoch, end))));
        // Current epoch, epoch of the last record, offset; the answer.
        let rows = [
            ((-1, -1, 4), all),
            ((-7, -7, 20), all),
            ((5, -1, 10), all),
            ((4, -1, 10), Err(FencedLeaderEpoch)),
            ((6, -1, 10), Err(UnknownLeaderEpoch)),
            // The epoch is judged before the range.
            ((4, -1, 99), Err(FencedLeaderEpoch)),
            ((-1, -1, 3), Err(OffsetOutOfRange)),
            ((-1, -1, 21), Err(OffsetOutOfRange)),
            ((5, 5, 20), all),
            ((5, 3, 20), all),
            ((5, 3, 21), cut(3, 20)),
            ((5, 1, 10), all),
            ((5, 1, 11), cut(1, 10)),
            ((5, 2, 10), cut(1, 10)),
            ((5, 4, 20), cut(3, 20)),
            ((5, 0, 4), all),
            ((5, 0, 5), cut(0, 4)),
            // A longer log that parts from this one is told where to cut, one below the log start is not.
            ((5, 3, 99), cut(3, 20)),
            ((5, 2, 3), Err(OffsetOutOfRange)),
            ((5, 6, 10), Err(OffsetOutOfRange)),
        ];
        for ((current, last, offset), answer) in rows {
            let found = readable(&view(), &wanted(current, last, offset), false, false);
            let found = found.map(|readable| (readable.until, readable.diverging));
            assert_eq!(found, answer, "{current} {last} {offset}");
        }
    }

    #[test]
    fn isolation_and_role_count() {
        let plain = wanted(-1, -1, 10);
        let until = |committed| readable(&view(), &plain, committed, false).map(|found| found.until);
        assert_eq!((until(false), until(true)), (Ok(18), Ok(16)));
        let deleted = View { role: Role::Deleted, ..view() };
        for (by_id, code) in [(false, ErrorCode::UnknownTopicOrPartition), (true, ErrorCode::UnknownTopicId)]
        {
            assert_eq!(readable(&deleted, &wanted(4, 9, 99), false, by_id), Err(code));
        }
    }
}
