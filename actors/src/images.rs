//! The committed image, for everyone to read, and the index up to which this node serves it.
//!
//! Readers take the newest image without a lock. An image is newer than what this node serves, because leaders have to
//! start first. A request that changed something therefore waits for the second number. Only the controller's actor
//! publishes, and only `NodeActor` says what is served.

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
    /// The newest image.
    #[must_use]
    pub fn current(&self) -> Arc<Image> {
        self.current.load_full()
    }

    /// Shows a newer image to everyone.
    pub fn publish(&self, image: Arc<Image>) {
        let index = image.applied;
        self.current.store(image);
        self.changed.send_replace(index);
    }

    /// Wakes at each newer image.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Says that the directory holds everything up to this index.
    pub fn set_served(&self, index: u64) {
        self.served.send_replace(index);
    }

    /// Waits until the directory holds everything up to this index.
    pub async fn served(&self, index: u64) {
        let mut served = self.served.subscribe();
        let _ = served.wait_for(|at| *at >= index).await;
    }
}
