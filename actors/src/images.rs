//! The committed image, which every task may read, and the index up to which this node serves it.
//!
//! Readers take the newest image without a lock. The image runs ahead of the directory, because replicas have to
//! start first. A request that changed something therefore waits for the served index. Only the controller's actor
//! publishes, and only `NodeActor` says which index is served.

use arc_swap::ArcSwap;
use callboard_core::metadata::Image;
use std::sync::Arc;
use tokio::sync::watch;

/// The newest image, and how far this node serves it.
#[derive(Debug)]
pub struct Images {
    current: ArcSwap<Image>,
    changed: watch::Sender<u64>,
    served: watch::Sender<u64>,
}

impl Default for Images {
    fn default() -> Images {
        Images { current: ArcSwap::default(), changed: watch::Sender::new(0), served: watch::Sender::new(0) }
    }
}

impl Images {
    /// The newest image, taken without a lock.
    #[must_use]
    pub fn current(&self) -> Arc<Image> {
        self.current.load_full()
    }

    /// Publishes a newer image and wakes the watchers.
    pub fn publish(&self, image: Arc<Image>) {
        let index = image.applied;
        self.current.store(image);
        self.changed.send_replace(index);
    }

    /// A receiver that wakes at each newer image. It holds the image's index.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Says that the directory holds everything up to this index.
    pub fn set_served(&self, index: u64) {
        self.served.send_replace(index);
    }

    /// Waits until the directory holds everything up to this index; returns how far it is then.
    pub async fn served(&self, index: u64) -> u64 {
        let mut served = self.served.subscribe();
        // The sender lives as long as `self`, so the wait does not fail.
        served.wait_for(|at| *at >= index).await.map_or(index, |at| *at)
    }
}
