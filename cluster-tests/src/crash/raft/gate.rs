//! A disk that stands still before one of its changes, until the script has looked.
//!
//! While it stands, more changes are queued, and none of them may be answered. So a sync that takes long overtakes
//! nothing and is overtaken by nothing, and an answer that comes too early is seen each time.

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

#[derive(Default)]
struct State {
    /// Changes that still pass; `None` lets all pass.
    left: Option<u64>,
    /// How often the gate was opened.
    openings: u64,
}

/// The gate before the changes of one disk.
pub struct Gate {
    state: Mutex<State>,
    opened: Condvar,
    held: watch::Sender<bool>,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { state: Mutex::default(), opened: Condvar::new(), held: watch::channel(false).0 }
    }
}

impl Gate {
    /// Lets `n` more changes pass, and holds the next one.
    pub fn hold_after(&self, n: u64) {
        self.state.lock().left = Some(n);
    }

    /// Lets everything pass, the held change too, even if the next hold comes before its thread wakes.
    pub fn open(&self) {
        let mut state = self.state.lock();
        state.left = None;
        state.openings += 1;
        self.held.send_replace(false);
        self.opened.notify_all();
    }

    /// Passes a change, now or when the gate is opened.
    pub fn pass(&self) {
        let mut state = self.state.lock();
        match &mut state.left {
            None => {}
            Some(0) => {
                self.held.send_replace(true);
                let before = state.openings;
                while state.openings == before {
                    self.opened.wait(&mut state);
                }
            }
            Some(n) => *n -= 1,
        }
    }

    /// Whether a change is held now.
    #[must_use]
    pub fn holds(&self) -> bool {
        *self.held.borrow()
    }

    /// Waits until a change is held.
    pub async fn held(&self) {
        // The sender lives as long as the gate.
        let _ = self.held.subscribe().wait_for(|held| *held).await;
    }
}
