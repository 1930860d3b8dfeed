//! The wish of this node to end, which its heartbeats tell the controller.
//!
//! Whoever ends the node says so here, and the heartbeats look here. The wish is never taken back.

use tokio::sync::watch;

/// Whether the node wants to end.
#[derive(Debug)]
pub struct Ending(watch::Sender<bool>);

impl Default for Ending {
    fn default() -> Ending {
        Ending(watch::channel(false).0)
    }
}

impl Ending {
    /// The node wants to end; the next heartbeat goes at once and says so.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether the node wants to end.
    #[must_use]
    pub fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Tells when the wish comes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}
