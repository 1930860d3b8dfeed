//! Time on the disk: a group is written, then synced if it has to be, then its notices go into mailboxes.
//!
//! One writer works on a shard, so the next group waits for the sync of the one before. Notices stay in order and may
//! take a while, so that one from before a truncation can arrive after it (R33).

use callboard_core::partition::Input;

use crate::sim::disk::Notice;
use crate::sim::event::AtNode;
use crate::sim::faults::NodeIx;
use crate::sim::options::{MS, SECOND, Time};
use crate::sim::world::World;

impl World {
    /// Begins to write what waits, unless a group is in flight.
    pub fn kick_writer(&mut self, node: NodeIx) {
        let Some(process) = &self.nodes[node].process else { return };
        if !process.syncing && !process.stopped && self.nodes[node].disk.begin() {
            // A slow disk holds up a write far less than a sync.
            let delay = self.disk_delay(node, self.options.write, 10);
            self.at(node, delay, AtNode::Wrote);
        }
    }

    fn disk_delay(&mut self, node: NodeIx, usual: (Time, Time), share: Time) -> Time {
        let (until, each) = self.nodes[node].slow;
        let usual = self.draw(usual);
        if until > self.now { usual + each / share } else { usual }
    }

    /// The group in flight is in the page cache.
    pub fn wrote(&mut self, node: NodeIx) {
        let (notices, sync) = self.nodes[node].disk.wrote();
        self.send_notices(node, notices);
        if sync {
            self.begin_sync(node);
        } else {
            self.kick_writer(node);
            self.plan_background_sync(node);
        }
    }

    fn begin_sync(&mut self, node: NodeIx) {
        let now = self.now;
        if let Some(process) = self.process(node) {
            (process.syncing, process.sync_since) = (true, now);
        }
        let delay = self.disk_delay(node, self.options.sync, 1);
        self.at(node, delay, AtNode::Synced);
    }

    /// A sync has ended.
    pub fn synced(&mut self, node: NodeIx) {
        if let Some(how) = self.nodes[node].sync_breaks.take() {
            return self.sync_failed(node, how);
        }
        if let Some(process) = self.process(node) {
            process.syncing = false;
        }
        let notices = self.nodes[node].disk.synced();
        self.send_notices(node, notices);
        self.kick_writer(node);
    }

    /// Writes of `os` topics are synced within a second.
    fn plan_background_sync(&mut self, node: NodeIx) {
        let Some(process) = self.process(node) else { return };
        if !std::mem::replace(&mut process.background, true) {
            let delay = self.rng.within(100 * MS, SECOND);
            self.at(node, delay, AtNode::BackgroundSync);
        }
    }

    /// The background sync is due.
    pub fn background_sync(&mut self, node: NodeIx) {
        let Some(process) = self.process(node) else { return };
        process.background = false;
        if process.syncing || process.stopped {
            return;
        }
        if self.nodes[node].disk.needs_background_sync() {
            self.begin_sync(node);
        } else if self.nodes[node].disk.is_behind() {
            self.plan_background_sync(node);
        }
    }

    fn send_notices(&mut self, node: NodeIx, notices: Vec<Notice>) {
        for notice in notices {
            let delay = self.draw(self.options.notice);
            let at = self.now + delay;
            let Some(process) = self.process(node) else { return };
            process.notice_last = process.notice_last.max(at);
            let delay = process.notice_last - self.now;
            self.at(node, delay, AtNode::Notice(notice));
        }
    }

    /// A notice comes out of the mailbox.
    pub fn notice(&mut self, node: NodeIx, notice: Notice) {
        let Some(id) = self.nodes[node].disk.live(notice.replica).map(|live| live.id) else { return };
        let Some(part) = self.part(id) else { return };
        if self.replica(node, part).is_some_and(|replica| replica.replica == notice.replica) {
            let (written, synced) = (notice.written, notice.synced);
            self.replica_step(node, part, Input::Persisted { written, synced });
        }
    }

    /// Settles every replica of a node: its high watermark is stored as a hint (R42).
    pub fn settle(&mut self, node: NodeIx) {
        self.settle_now(node);
        let delay = self.rng.within(SECOND, 8 * SECOND);
        self.at(node, delay, AtNode::Settle);
    }

    /// Settles every replica now, as the end of a process does; no further settling is planned.
    pub fn settle_now(&mut self, node: NodeIx) {
        for part in 0..self.parts.len() {
            let settled =
                self.replica(node, part).map(|replica| (replica.replica, replica.view.high_watermark));
            if let Some((replica, high_watermark)) = settled {
                self.nodes[node].disk.settle(replica, high_watermark);
            }
        }
    }
}
