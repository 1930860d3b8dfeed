//! The quorum of a cluster, as the leader of its metadata log sees it, asked on any node.
//!
//! ```text
//!   this node leads ──> its own openraft         another leads ──> its Desk ──> the same there
//! ```
//! Offsets are indexes of the metadata log. Nothing is kept here between two questions.

use crate::controller::{RaftLog, RaftStatus};
use bytes::Bytes;
use callboard_actors::clock::Clock;
use callboard_actors::images::Images;
use callboard_actors::ports::{Calls, Quorum, QuorumNode, QuorumState, Service};
use callboard_core::BrokerId;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Time for the leader's answer.
const WITHIN: Duration = Duration::from_secs(3);

/// The quorum of a node's cluster.
pub(super) struct Voters {
    pub me: BrokerId,
    pub raft: Arc<RaftLog>,
    pub calls: Arc<dyn Calls>,
    pub images: Arc<Images>,
    pub clock: Arc<dyn Clock>,
}

impl Voters {
    /// The status of the log on the node that leads it.
    async fn status(&self) -> Option<RaftStatus> {
        let here = self.raft.status();
        let leader = here.leader?;
        if leader == self.me {
            return Some(here);
        }
        let answer = self.calls.call(leader, Service::Quorum, Bytes::new(), WITHIN).await.ok()?;
        let there: RaftStatus = serde_json::from_slice(&answer).ok()?;
        (there.leader == Some(leader)).then_some(there)
    }

    fn node(&self, id: BrokerId, leader: BrokerId, status: &RaftStatus) -> QuorumNode {
        let now = self.clock.now().wall.0;
        let image = self.images.current();
        let directory = image.brokers.get(&id).and_then(|broker| broker.directories.first().copied());
        let matched = status.matched.as_ref().and_then(|all| all.get(&id).copied().flatten());
        let held = if id == leader { status.end } else { matched };
        let ago = |ms: &u64| now.saturating_sub(i64::try_from(*ms).unwrap_or(i64::MAX));
        let time = |of: &BTreeMap<BrokerId, u64>| match id == leader {
            true => now,
            false => of.get(&id).map_or(-1, ago),
        };
        QuorumNode {
            id,
            directory,
            log_end: held.map_or(-1, offset),
            last_fetch_ms: time(&status.silent_ms),
            last_caught_up_ms: time(&status.behind_ms),
        }
    }
}

/// The offset behind an entry.
fn offset(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX).saturating_add(1)
}

impl Quorum for Voters {
    fn leads(&self) -> bool {
        self.raft.status().leader == Some(self.me)
    }

    fn state(&self) -> BoxFuture<'_, Option<QuorumState>> {
        Box::pin(async move {
            let status = self.status().await?;
            let leader = status.leader?;
            let nodes = |ids: &[BrokerId]| ids.iter().map(|id| self.node(*id, leader, &status)).collect();
            Some(QuorumState {
                leader,
                epoch: i32::try_from(status.term).unwrap_or(i32::MAX),
                high_watermark: status.committed.map_or(0, offset),
                voters: nodes(&status.voters),
                observers: nodes(&status.learners),
            })
        })
    }
}
