//! When the log is written anew.
//!
//! Every change of every entity is a record, so the log grows while the state it describes does not. Until the topic is
//! compacted record by record, all live state is written once more, and the log start moves to where that began.
//!
//! ```text
//!   > rewrite_bytes and > rewrite_factor × live ──> Rewrite ──> every entity writes ──> Rewritten ──> Trim ──> Trimmed
//!                                                                  one could not ──> nothing moves; later, again
//! ```
//!
//! It is sound because an entity writes what it wrote *last*, committed or not, behind whatever it wrote before: a replay
//! from there folds to the same state. Which records that are is the entity's business.

use super::messages::CoordinatorConfig;
use crate::ids::Offset;

/// A rewrite under way.
#[derive(Debug)]
struct Pass {
    /// The first batch that may hold a part of it.
    from_batch: u64,
    /// The offset of that batch, once it is committed.
    from_offset: Option<Offset>,
    /// Bytes appended since it began.
    bytes: u64,
    /// Whether every entity has written.
    done: bool,
}

/// The size of the log, and the rewrite that makes it small again.
#[derive(Debug)]
pub(super) struct Rewriting {
    config: CoordinatorConfig,
    bytes: u64,
    live: u64,
    pass: Option<Pass>,
}

impl Rewriting {
    /// A log whose size is not known yet.
    pub fn new(config: CoordinatorConfig) -> Rewriting {
        Rewriting { config, bytes: 0, live: 0, pass: None }
    }

    /// The log was loaded: its bytes, and how many of them are live.
    pub fn loaded(&mut self, bytes: u64, live: u64) {
        (self.bytes, self.live) = (bytes, live);
    }

    /// A batch of this many bytes is committed at this offset.
    pub fn appended(&mut self, batch: u64, bytes: u64, base: Offset) {
        match &mut self.pass {
            Some(pass) if batch >= pass.from_batch => {
                pass.from_offset.get_or_insert(base);
                pass.bytes += bytes;
            }
            _ => self.bytes += bytes,
        }
    }

    /// Begins a rewrite if the log is long enough and none is under way. `next_batch` is the first that it may write.
    pub fn begin(&mut self, next_batch: u64) -> bool {
        let due = self.bytes > self.config.rewrite_bytes
            && self.bytes > self.live.saturating_mul(self.config.rewrite_factor);
        let begins = due && self.pass.is_none();
        if begins {
            self.pass = Some(Pass { from_batch: next_batch, from_offset: None, bytes: 0, done: false });
        }
        begins
    }

    /// Every entity has written, or one could not: where the log may start now.
    pub fn rewritten(&mut self, all: bool) -> Option<Offset> {
        let pass = self.pass.as_mut()?;
        match pass.from_offset {
            Some(offset) if all => {
                pass.done = true;
                self.live = pass.bytes;
                Some(offset)
            }
            // Nothing was live, so nothing was written, and no offset is known to be right.
            _ => {
                self.give_up();
                None
            }
        }
    }

    /// The log start has moved, or could not.
    pub fn trimmed(&mut self, done: bool) {
        match &self.pass {
            Some(pass) if done && pass.done => {
                self.bytes = pass.bytes;
                self.pass = None;
            }
            _ => self.give_up(),
        }
    }

    /// The lead is lost: the log is another coordinator's to write anew.
    pub fn end(&mut self) {
        self.pass = None;
    }

    /// The old log stays; the next rewrite waits until the log is twice as long.
    fn give_up(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.bytes += pass.bytes;
            self.live = self.live.max(self.bytes / self.config.rewrite_factor.max(1) * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(bytes: u64, live: u64) -> Rewriting {
        let mut log = Rewriting::new(CoordinatorConfig { rewrite_bytes: 1_000, ..Default::default() });
        log.loaded(bytes, live);
        log
    }

    #[test]
    fn a_log_is_written_anew_when_it_is_long_and_mostly_dead() {
        let rows = [(1_000, 0, false), (1_001, 0, true), (1_001, 250, true), (1_001, 251, false)];
        for (bytes, live, begins) in rows {
            assert_eq!(log(bytes, live).begin(0), begins, "{bytes} of which {live} live");
        }
    }

    #[test]
    fn a_rewrite_that_is_done_counts_its_own_bytes_and_one_that_failed_counts_all() {
        let mut log = log(2_000, 100);
        assert!(log.begin(5) && !log.begin(5), "one at a time");
        log.appended(4, 50, 40);
        log.appended(5, 120, 77);
        log.appended(6, 30, 99);
        assert_eq!(log.rewritten(true), Some(77), "where its first batch is, not the one before it");
        log.trimmed(true);
        assert_eq!((log.bytes, log.live), (150, 150));

        log.appended(7, 1_000, 120);
        assert!(log.begin(8));
        log.appended(8, 10, 130);
        assert_eq!(log.rewritten(false), None);
        assert_eq!((log.bytes, log.live), (1_160, 580), "the next one begins at twice the length");
        assert_eq!(log.rewritten(true), None, "no rewrite is under way");
    }

    #[test]
    fn a_log_start_that_did_not_move_and_a_rewrite_that_wrote_nothing_change_no_count() {
        let mut log = log(2_000, 100);
        assert!(log.begin(0));
        assert_eq!(log.rewritten(true), None, "nothing was written");
        assert_eq!((log.bytes, log.live), (2_000, 1_000));
        log.loaded(2_000, 100);
        assert!(log.begin(1));
        log.appended(1, 5, 10);
        assert_eq!(log.rewritten(true), Some(10));
        log.trimmed(false);
        assert_eq!((log.bytes, log.live), (2_005, 1_002));
    }
}
