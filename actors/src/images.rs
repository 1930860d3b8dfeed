//! The committed image, for everyone to read; and up to which index this node serves what it says.

use arc_swap::ArcSwap;
use callboard_core::metadata::Image;
use std::sync::Arc;
use tokio::sync::watch;

/// The newest image.
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

    /// Shows a new one.
    pub fn publish(&self, image: Arc<Image>) {
        let index = image.applied;
        self.current.store(image);
        self.changed.send_replace(index);
    }

    /// Wakes at each new image.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Everything up to this index is in the directory.
    pub fn set_served(&self, index: u64) {
        self.served.send_replace(index);
    }

    /// Waits until everything up to this index is in the directory.
    pub async fn served(&self, index: u64) {
        let mut served = self.served.subscribe();
        let _ = served.wait_for(|at| *at >= index).await;
    }
}
