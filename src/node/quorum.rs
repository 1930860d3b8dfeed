//! The quorum of a node that is alone: it leads, it is the only voter, and it has all there is.
//!
//! ```text
//!   the node's image ─> index of the last batch ─> high watermark, and the end of its log
//! ```
//! This is what Apache Kafka tells of one node that is broker and controller. It asks nobody, because every batch that the
//! image holds is committed on this node.

use crate::controller::SINGLE_TERM;
use callboard_actors::clock::Clock;
use callboard_actors::images::Images;
use callboard_actors::ports::{Quorum, QuorumNode, QuorumState};
use callboard_core::{BrokerId, DirectoryId};
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// The quorum of one node.
pub(super) struct Alone {
    pub node: BrokerId,
    pub directory: Option<DirectoryId>,
    pub images: Arc<Images>,
    pub clock: Arc<dyn Clock>,
}

impl Quorum for Alone {
    fn leads(&self) -> bool {
        true
    }

    fn state(&self) -> BoxFuture<'_, Option<QuorumState>> {
        let applied = self.images.current().applied;
        let end = i64::try_from(applied).unwrap_or(i64::MAX).saturating_add(1);
        let now = self.clock.now().wall.0;
        let me = QuorumNode {
            id: self.node,
            directory: self.directory,
            log_end: end,
            last_fetch_ms: now,
            last_caught_up_ms: now,
        };
        let state = QuorumState {
            leader: self.node,
            epoch: i32::try_from(SINGLE_TERM).unwrap_or(i32::MAX),
            high_watermark: end,
            voters: vec![me],
            observers: Vec::new(),
        };
        Box::pin(std::future::ready(Some(state)))
    }
}
