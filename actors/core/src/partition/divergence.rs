//! The offset at which a client's log parts from the leader's (KIP-595).
//!
//! A consumer names the epoch of its last record and its next offset. The leader looks up where that epoch ended
//! here. An earlier end, or an earlier epoch, means that the client holds records which this log lacks. The client is
//! then told where to cut its log. This file compares; it cuts nothing.

use super::epochs::last_offset_for;
use super::view::View;
use crate::error::ErrorCode;
use crate::ids::{LeaderEpoch, Offset};

/// The largest epoch that both logs share, and its end here, if the client's log parts from this one.
///
/// `last_fetched` is the epoch of the client's last record, and lies below 0 if the client names none. An epoch whose
/// end is unknown here makes the client out of range.
pub fn diverging(
    view: &View,
    last_fetched: LeaderEpoch,
    fetch_offset: Offset,
) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
    if last_fetched < 0 {
        return Ok(None);
    }
    let (epoch, end) = last_offset_for(&view.epochs, view.leader_epoch, last_fetched, view.end)
        .ok_or(ErrorCode::OffsetOutOfRange)?;
    let parts = epoch < last_fetched || end < fetch_offset;
    Ok(parts.then_some((epoch, end)))
}
