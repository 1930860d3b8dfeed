//! The contact of a leader of the metadata log with its voters, as openraft knows it.
//!
//! openraft notes when the leader sent what a majority has answered. A leader that is cut off goes on as leader, so only
//! this age tells it. The time of a metric lags behind by one heartbeat of Raft at most.

use super::log::RaftLog;
use super::machine::Raft;
use callboard_actors::ports::Majority;
use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use std::time::Duration;

/// Time since this leader sent what a majority has answered; none if this node does not lead, or has no answer yet.
pub fn answered(raft: &Raft) -> Option<Duration> {
    let metrics = raft.metrics();
    let m = metrics.borrow_watched();
    if m.current_leader != Some(m.id) {
        return None;
    }
    // A leader that is the only voter asks nobody, and openraft notes no time.
    let alone = m.membership_config.membership().voter_ids().all(|voter| voter == m.id);
    if alone { Some(Duration::ZERO) } else { m.last_quorum_acked.as_ref().map(|acked| acked.elapsed()) }
}

impl Majority for RaftLog {
    fn answered_ms(&self) -> Option<u64> {
        let age = answered(self.raft())?;
        Some(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
    }
}
