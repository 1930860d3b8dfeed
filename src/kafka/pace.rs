//! Waits for a socket as long as its pace allows. [`callboard_core::pace::Pace`] decides; this module asks it.

use callboard_actors::clock::Clock;
use callboard_core::pace::{Ended, Pace};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Time between two looks at a silent socket.
const LOOK: Duration = Duration::from_secs(1);

/// Why a transfer ends.
pub(super) enum Stop {
    Ended(Ended),
    Io(io::Error),
}

pub(super) struct Paced<'a, W: Fn() -> bool> {
    pace: Pace,
    clock: &'a Arc<dyn Clock>,
    idle_ms: u64,
    others_wait: W,
}

impl<'a, W: Fn() -> bool> Paced<'a, W> {
    /// A transfer that begins now, with so many bytes done.
    pub fn new(clock: &'a Arc<dyn Clock>, idle: Duration, done: usize, others_wait: W) -> Paced<'a, W> {
        let pace = Pace::new(clock.now().mono, done as u64);
        Paced { pace, clock, idle_ms: idle.as_millis() as u64, others_wait }
    }

    /// Takes time off that the broker itself kept it waiting.
    pub fn excuse(&mut self, waited: Duration) {
        self.pace.excuse(waited.as_millis() as u64);
    }

    /// Notes the bytes done, and ends the transfer if it is too slow.
    pub fn at(&mut self, done: usize) -> Result<(), Stop> {
        let ended = self.pace.at(self.clock.now().mono, done as u64, self.idle_ms, &self.others_wait);
        ended.map_or(Ok(()), |ended| Err(Stop::Ended(ended)))
    }

    /// Waits for the socket as long as the pace allows; `done` bytes came before.
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
