//! A socket that is waited for, by its pace: [`callboard_core::pace::Pace`] decides, here it is asked.

use callboard_actors::clock::Clock;
use callboard_core::pace::{Ended, Pace};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A silent socket is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// Why a transfer does not go on.
pub(super) enum Stop {
    Ended(Ended),
    Io(io::Error),
}

/// One transfer.
pub(super) struct Paced<'a, W: Fn() -> bool> {
    pace: Pace,
    clock: &'a Arc<dyn Clock>,
    idle_ms: u64,
    others_wait: W,
}

impl<'a, W: Fn() -> bool> Paced<'a, W> {
    /// One that begins now, with so much done.
    pub fn new(clock: &'a Arc<dyn Clock>, idle: Duration, done: usize, others_wait: W) -> Paced<'a, W> {
        let pace = Pace::new(clock.now().mono, done as u64);
        Paced { pace, clock, idle_ms: idle.as_millis() as u64, others_wait }
    }

    /// It was kept waiting by us.
    pub fn excuse(&mut self, waited: Duration) {
        self.pace.excuse(waited.as_millis() as u64);
    }

    /// It has come so far.
    pub fn at(&mut self, done: usize) -> Result<(), Stop> {
        let ended = self.pace.at(self.clock.now().mono, done as u64, self.idle_ms, &self.others_wait);
        ended.map_or(Ok(()), |ended| Err(Stop::Ended(ended)))
    }

    /// Waits for the socket, as long as the pace allows; so much was done before.
    pub async fn wait<T>(
        &mut self,
        done: usize,
        socket: impl Future<Output = io::Result<T>>,
    ) -> Result<T, Stop> {
        let mut socket = pin!(socket);
        loop {
            match timeout(LOOK, &mut socket).await {
                Ok(result) => return result.map_err(Stop::Io),
                Err(_) => self.at(done)?,
            }
        }
    }
}
