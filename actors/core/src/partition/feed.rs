//! The place in a partition up to which a follower was sent everything, and what is to be sent next.
//!
//! A leader accepts a follower's Position and hands out a cursor. The sender keeps it, reads the leader's published
//! view, and asks the cursor for the next part. Bytes are read outside, from the tail or from the store.
//!
//! ```text
//!   cursor + view ──> Restart       the follower is below the log start, and begins again there (R39)
//!                 ──> Read          bytes from the cursor on, with the epoch of the record before them
//!                 ──> Part          only the high watermark or the log start moved (R5)
//!                 ──> Wait · Over
//! ```
//!
//! The first part accepts the Position and leaves at once, even without bytes. The cursor sends nothing itself, and does
//! not decide when a part without bytes is worth a frame.

use super::epochs::epoch_at;
use super::replication::{Continuity, Part, PositionNumber};
use super::view::{Role, View};
use crate::ids::{LeaderEpoch, Offset, Peer};

/// One follower's place in one partition, for one accepted Position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    pub to: Peer,
    pub leader_epoch: LeaderEpoch,
    pub n: PositionNumber,
    at: Offset,
    restart: bool,
    log_id: u64,
    /// The high watermark and the log start of the last part; none before the first one.
    told: Option<(Offset, Offset)>,
}

/// What a cursor wants sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    Wait,
    /// A part without bytes.
    Part(Part),
    /// A part with the bytes of whole batches from `from` on, below `until`.
    Read {
        part: Part,
        from: Offset,
        until: Offset,
    },
    /// The leadership of this cursor is over.
    Over,
}

impl Cursor {
    /// A cursor at the follower's end, or, with `restart`, at the leader's log start.
    #[must_use]
    pub fn new(
        to: Peer,
        leader_epoch: LeaderEpoch,
        n: PositionNumber,
        at: Offset,
        restart: bool,
        log_id: u64,
    ) -> Cursor {
        Cursor { to, leader_epoch, n, at, restart, log_id, told: None }
    }

    /// The offset up to which everything was sent.
    #[must_use]
    pub fn at(&self) -> Offset {
        self.at
    }

    /// Whether the view is still that of the leadership and the log that the cursor belongs to. A read that began under
    /// another view is dropped.
    #[must_use]
    pub fn fits(&self, view: &View) -> bool {
        view.role == Role::Leader && view.leader_epoch == self.leader_epoch && view.log_id == self.log_id
    }

    /// The next part under this view. A part without bytes counts as sent; one with bytes when the caller says so.
    pub fn next(&mut self, view: &View) -> Next {
        if !self.fits(view) {
            return Next::Over;
        }
        let part = |place| Part {
            leader_epoch: self.leader_epoch,
            n: self.n,
            place,
            high_watermark: view.high_watermark,
            log_start: view.log_start,
        };
        let news = Some((view.high_watermark, view.log_start));
        if self.restart || self.at < view.log_start {
            let part = part(Continuity::Restart);
            (self.restart, self.at, self.told) = (false, view.log_start, news);
            return Next::Part(part);
        }
        if self.at < view.end {
            let before = self.at.checked_sub(1).filter(|before| *before >= view.log_start);
            let epoch = before.and_then(|before| epoch_at(&view.epochs, before));
            let part = part(Continuity::After { epoch, end: self.at });
            return Next::Read { part, from: self.at, until: view.end };
        }
        if self.told != news {
            let part = part(Continuity::Nothing);
            self.told = news;
            return Next::Part(part);
        }
        Next::Wait
    }

    /// The part that [`Cursor::next`] gave is sent, with bytes up to this offset.
    pub fn sent(&mut self, part: &Part, end: Offset) {
        self.at = self.at.max(end);
        self.told = Some((part.high_watermark, part.log_start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const TO: Peer = Peer { broker: 2, epoch: 9 };

    fn view(log_start: Offset, end: Offset, high_watermark: Offset) -> View {
        let epochs = Arc::new(vec![(3, log_start), (4, 20)]);
        View { log_start, end, high_watermark, epochs, ..View::unknown(Role::Leader, 4) }
    }

    fn part(place: Continuity, high_watermark: Offset, log_start: Offset) -> Part {
        Part { leader_epoch: 4, n: 7, place, high_watermark, log_start }
    }

    #[test]
    fn an_accepted_position_is_answered_at_once_and_then_only_with_news() {
        let mut cursor = Cursor::new(TO, 4, 7, 30, false, 0);
        let at_once = Next::Part(part(Continuity::Nothing, 25, 0));
        assert_eq!((cursor.next(&view(0, 30, 25)), cursor.next(&view(0, 30, 25))), (at_once, Next::Wait));
        assert_eq!(cursor.next(&view(0, 30, 30)), Next::Part(part(Continuity::Nothing, 30, 0)));
        assert_eq!(cursor.next(&view(10, 30, 30)), Next::Part(part(Continuity::Nothing, 30, 10)));
        assert_eq!(cursor.next(&view(10, 30, 30)), Next::Wait);
    }

    #[test]
    fn bytes_come_with_the_epoch_of_the_record_before_them() {
        for (at, log_start, epoch) in [(20, 0, Some(3)), (21, 0, Some(4)), (0, 0, None), (20, 20, None)] {
            let mut cursor = Cursor::new(TO, 4, 7, at, false, 0);
            let after = part(Continuity::After { epoch, end: at }, 20, log_start);
            let read = Next::Read { part: after, from: at, until: 40 };
            assert_eq!((cursor.next(&view(log_start, 40, 20)), cursor.at()), (read, at), "at {at}");
            cursor.sent(&after, 40);
            assert_eq!((cursor.next(&view(log_start, 40, 20)), cursor.at()), (Next::Wait, 40));
        }
    }

    #[test]
    fn a_follower_below_the_log_start_begins_again_there() {
        let mut cursor = Cursor::new(TO, 4, 7, 30, true, 0);
        assert_eq!(cursor.next(&view(30, 30, 30)), Next::Part(part(Continuity::Restart, 30, 30)));
        assert_eq!(cursor.next(&view(30, 30, 30)), Next::Wait);
        assert_eq!(cursor.next(&view(50, 60, 60)), Next::Part(part(Continuity::Restart, 60, 50)));
        let after = part(Continuity::After { epoch: None, end: 50 }, 60, 50);
        assert_eq!(cursor.next(&view(50, 60, 60)), Next::Read { part: after, from: 50, until: 60 });
    }

    #[test]
    fn a_cursor_ends_with_its_leadership_and_its_log() {
        let mut cursor = Cursor::new(TO, 4, 7, 0, false, 0);
        let follower = View { role: Role::Follower { leader: 1 }, ..view(0, 30, 0) };
        let later = View { leader_epoch: 5, ..view(0, 30, 0) };
        let other = View { log_id: 1, ..view(0, 30, 0) };
        for view in [follower, later, other] {
            assert_eq!(cursor.next(&view), Next::Over);
        }
    }
}
