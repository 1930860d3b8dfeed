//! The control links that are up, whoever dialled them.
//!
//! A heartbeat looks here for links that the peer dialled (R45), and a scrape looks here for all. A link stands here from
//! its hello to the end of its connection. `links.rs` decides which side redials.

use super::link::{Link, Side};
use callboard_core::NodeUuid;
use parking_lot::Mutex;
use std::sync::Arc;

/// Accepted links of one node at most; the oldest goes first. A node that crashes often leaves some behind.
const EACH: usize = 8;

/// All control links of this node.
#[derive(Default)]
pub(super) struct Registry(Mutex<Vec<Arc<Link>>>);

impl Registry {
    /// Enters a link. It returns one that has to go for it.
    pub(super) fn enter(&self, link: Arc<Link>) -> Option<Arc<Link>> {
        let mut links = self.0.lock();
        let (uuid, side) = (link.uuid(), link.side);
        links.push(link);
        let same = |other: &&Arc<Link>| side == Side::Accepted && of(other, uuid);
        let more = links.iter().filter(same).count() > EACH;
        more.then(|| links.iter().find(same).cloned()).flatten()
    }

    pub(super) fn leave(&self, link: &Arc<Link>) {
        self.0.lock().retain(|other| !Arc::ptr_eq(other, link));
    }

    /// Links that the node dialled and that are up.
    pub(super) fn accepted_of(&self, uuid: NodeUuid) -> Vec<Arc<Link>> {
        self.0.lock().iter().filter(|link| of(link, uuid) && link.is_up()).cloned().collect()
    }

    pub(super) fn all(&self) -> Vec<Arc<Link>> {
        self.0.lock().clone()
    }
}

fn of(link: &Link, uuid: NodeUuid) -> bool {
    link.side == Side::Accepted && link.uuid() == uuid
}
