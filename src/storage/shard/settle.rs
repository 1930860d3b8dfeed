//! Settling, as the shard does it: when, how far, and what an error of redb means.
//!
//! ```text
//!   settle window (settled/window.rs) ─┬─ done
//!                                      ├─ no space        ─> redb is opened again, room is short, later
//!                                      └─ another error   ─> redb is opened again, once ─> the window again ─> final
//! ```
//!
//! Redb refuses every write after one I/O error until it is opened again. How rows are written is not known here.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::position::SyncedTo;
use crate::storage::shard::engine::Engine;
use callboard_core::Lsn;

impl Engine {
    /// Settles everything synced so far. Returns whether there was anything.
    pub fn settle(&self) -> Result<bool, ShardFault> {
        self.healthy()?;
        let mut settler = self.settled.settler();
        let target = self.settle_target(settler.x);
        let mut result = self.settled.settle_to(&mut settler, &self.journal, target);
        if let Err(fault) = &result
            && self.fault().is_none()
        {
            if self.settled.db.health.ran_out_now() {
                return self.settle_later(fault.clone()).map(|()| false);
            }
            tracing::warn!(shard = self.shard, "settling failed, store.redb is opened again: {result:?}");
            let reopened = self.settled.reopen(&self.journal);
            result = reopened.and_then(|()| self.settled.settle_to(&mut settler, &self.journal, target));
        }
        match result {
            Ok(done) => {
                if done || settler.sweep.is_empty() {
                    self.space.settled();
                }
                Ok(done)
            }
            Err(fault) => self.settle_later(fault).map(|()| false),
        }
    }

    /// The end of the next window: everything that is synced. Where room is short it is one segment, which comes free
    /// with it.
    fn settle_target(&self, x: Lsn) -> SyncedTo {
        match self.journal.rolls.start_above(x) {
            Some(start) if self.room().short() => start,
            _ => self.journal.synced_to(),
        }
    }

    /// Whether to settle now. `due`: for other reasons than room.
    #[must_use]
    pub fn settles_now(&self, due: bool) -> bool {
        self.space.settles_now(due)
    }

    /// Whether redb may be written to: not within a second after it found no space.
    #[must_use]
    pub fn may_sweep(&self) -> bool {
        self.space.may_settle()
    }

    /// Removes rows that no reader can see any more: one slice, one transaction. Returns whether there are more.
    ///
    /// Deleting reads what it deletes and holds redb's writer, so a settle that is due goes first.
    pub fn sweep(&self) -> Result<bool, ShardFault> {
        self.healthy()?;
        let mut settler = self.settled.settler();
        if settler.sweep.is_empty() {
            return Ok(false);
        }
        let done = match self.settled.sweep_slice(&settler) {
            Ok(done) => done,
            Err(fault) => return self.settle_later(fault).map(|()| false),
        };
        self.space.settled();
        done.iter().for_each(|replica| {
            settler.sweep.remove(replica);
        });
        Ok(!settler.sweep.is_empty())
    }

    /// Redb failed. For want of space (`Ok`) it is opened again, so that reads go on. Anything else is final.
    pub(super) fn settle_later(&self, fault: ShardFault) -> Result<(), ShardFault> {
        let db = &self.settled.db;
        if !db.health.ran_out_now() && db.is_open() {
            self.fail(&fault);
            return Err(fault);
        }
        tracing::debug!("shard {}: settling waits for room: {fault}", self.shard);
        self.space.ran_out();
        // Readers see either that it ran out or that it was opened since, so the note is taken off last.
        let opened = self.settled.reopen(&self.journal);
        let ran_out = db.health.ran_out();
        if opened.is_err() && !ran_out {
            return opened.inspect_err(|fault| self.fail(fault));
        }
        Ok(())
    }
}
