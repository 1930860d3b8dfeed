//! The feed of a subscription: which replicas have something to send, and in which order.
//!
//! Replicas that are close to the end go before those that catch up, and the latter get at least a quarter of a turn. A
//! turn sends one frame of at most 256 KiB, or one larger batch. Bytes come from the tail at once, or through a reader
//! that takes a while; a slow read counts only if role, epoch and log are still the same when it ends (R39). Bytes that
//! the journal has not written are not read slowly: the read waits.

use callboard_core::partition::{Cursor, Next, Part};
use callboard_core::{BrokerId, Offset};

use crate::sim::batch::{Batch, between};
use crate::sim::event::AtNode;
use crate::sim::faults::{NodeIx, PartIx};
use crate::sim::network::{ConnIx, Msg, ReadOf, SentPart, Side, WINDOW};
use crate::sim::options::{MS, Time};
use crate::sim::world::{Feeding, World};

/// Bytes of one turn, and how many of them those that catch up may count on.
const TURN: u64 = 256 * 1024;
const CATCH_UP: u64 = TURN / 4;
/// Parts without bytes share a frame every so often.
const LAZY: Time = 100 * MS;

impl World {
    /// A leader has accepted a Position: its feed begins, and the first part leaves at once.
    pub fn feed(&mut self, node: NodeIx, part: PartIx, cursor: Cursor) {
        let Some(to) = self.node_of(cursor.to.broker) else { return };
        self.accepted(node, part, &cursor);
        let Some(process) = self.process(node) else { return };
        let Some(sub) = process.subs[to].as_mut().filter(|sub| sub.rank.0 == cursor.to.epoch) else { return };
        sub.feeds.insert(part, Feeding { cursor, read: None });
        self.turn(node, to, 0);
    }

    /// A leader ends a feed.
    pub fn unfeed(&mut self, node: NodeIx, part: PartIx, broker: BrokerId) {
        let Some(to) = self.node_of(broker) else { return };
        if let Some(sub) = self.process(node).and_then(|process| process.subs[to].as_mut()) {
            sub.feeds.remove(&part);
        }
    }

    /// A replica has shown a new view: its feeds have something to send, soon or lazily.
    pub fn wake_feeds(&mut self, node: NodeIx, part: PartIx) {
        for to in 0..self.nodes.len() {
            let Some(process) = self.process(node) else { return };
            let feeds = process.subs[to].as_ref().and_then(|sub| sub.feeds.get(&part));
            let Some(at) = feeds.map(|feeding| feeding.cursor.at()) else { continue };
            let data = self.replica(node, part).is_some_and(|replica| at < replica.view.end);
            let wait = if data { self.rng.skewed(20, MS) } else { LAZY };
            self.turn(node, to, wait);
        }
    }

    /// Plans a turn of the feed from one node to another, unless an earlier one is planned.
    pub fn turn(&mut self, node: NodeIx, to: NodeIx, wait: Time) {
        let (now, at) = (self.now, self.now + wait + 1);
        let Some(sub) = self.process(node).and_then(|process| process.subs[to].as_mut()) else { return };
        if sub.turn > now && sub.turn <= at {
            return;
        }
        sub.turn = at;
        let conn = sub.conn;
        self.at(node, wait + 1, AtNode::FeedTurn(conn));
    }

    /// A turn: one frame, if there is anything to send and room for it.
    pub fn feed_turn(&mut self, node: NodeIx, conn: ConnIx) {
        let to = self.conns[conn].dialler;
        if self.conns[conn].ways[1].bytes >= WINDOW {
            return; // the next delivery wakes it
        }
        let Some(process) = self.process(node) else { return };
        let Some(sub) = process.subs[to].as_mut().filter(|sub| sub.conn == conn) else { return };
        let mut order: Vec<PartIx> = sub.feeds.keys().copied().collect();
        let pivot = order.iter().position(|part| *part >= sub.next).unwrap_or(0);
        order.rotate_left(pivot);
        sub.next = order.first().map_or(0, |first| first + 1);
        let (mut parts, mut again) = (Vec::new(), false);
        let (mut left, mut catching_up) = (TURN, CATCH_UP);
        for part in order {
            let more = self.feed_part(node, (conn, to), part, (&mut left, &mut catching_up), &mut parts);
            again |= more;
        }
        if !parts.is_empty() {
            self.send_frame(conn, parts);
        }
        if again {
            self.turn(node, to, 50);
        }
    }

    fn send_frame(&mut self, conn: ConnIx, parts: Vec<SentPart>) {
        let frame = Msg::Frame(parts);
        self.figures.sent_bytes += frame.bytes();
        self.enqueue(conn, Side::Dialler, frame);
    }

    /// Adds what one replica has to send. True if it has more than fits.
    fn feed_part(
        &mut self,
        node: NodeIx,
        (conn, to): (ConnIx, NodeIx),
        part: PartIx,
        (left, catching_up): (&mut u64, &mut u64),
        parts: &mut Vec<SentPart>,
    ) -> bool {
        let slow = self.rng.percent(self.options.cold_reads);
        let Some(view) = self.replica(node, part).map(|replica| replica.view.clone()) else {
            return self.end_feed(node, to, part);
        };
        loop {
            let sub = self.process(node).and_then(|process| process.subs[to].as_mut());
            let Some(feeding) = sub.and_then(|sub| sub.feeds.get_mut(&part)) else { return false };
            if feeding.read.is_some() {
                return false;
            }
            match feeding.cursor.next(&view) {
                Next::Over => return self.end_feed(node, to, part),
                Next::Wait => return false,
                Next::Part(head) => {
                    parts.push(SentPart { part, head, batches: Vec::new() });
                }
                Next::Read { part: head, from, until } => {
                    if slow {
                        feeding.read = Some(ReadOf { head, from, until, log_id: view.log_id, slow });
                        let delay = self.rng.skewed(MS, 200 * MS);
                        self.at(node, delay, AtNode::SlowRead(conn, part));
                        return false;
                    }
                    let log = self.content(node, part);
                    let waiting: u64 = between(log, from, until).iter().map(|b| u64::from(b.head.size)).sum();
                    let room = if waiting > WINDOW { (*left).min(*catching_up) } else { *left };
                    let batches = take(between(log, from, until), room, parts.is_empty());
                    let Some(end) = batches.last().map(Batch::next) else { return true };
                    let bytes: u64 = batches.iter().map(|b| u64::from(b.head.size)).sum();
                    *left = left.saturating_sub(bytes);
                    if waiting > WINDOW {
                        *catching_up = catching_up.saturating_sub(bytes);
                    }
                    self.sent(node, to, part, (&head, end));
                    parts.push(SentPart { part, head, batches });
                    return end < until;
                }
            }
        }
    }

    fn sent(&mut self, node: NodeIx, to: NodeIx, part: PartIx, (head, end): (&Part, Offset)) {
        let sub = self.process(node).and_then(|process| process.subs[to].as_mut());
        if let Some(feeding) = sub.and_then(|sub| sub.feeds.get_mut(&part)) {
            feeding.cursor.sent(head, end);
        }
    }

    fn end_feed(&mut self, node: NodeIx, to: NodeIx, part: PartIx) -> bool {
        if let Some(sub) = self.process(node).and_then(|process| process.subs[to].as_mut()) {
            sub.feeds.remove(&part);
        }
        false
    }

    /// A slow read has ended.
    pub fn slow_read(&mut self, node: NodeIx, conn: ConnIx, part: PartIx) {
        let to = self.conns[conn].dialler;
        let view = self.replica(node, part).map(|replica| (replica.view.clone(), replica.replica));
        let Some(process) = self.process(node) else { return };
        let sub = process.subs[to].as_mut().filter(|sub| sub.conn == conn);
        let Some(feeding) = sub.and_then(|sub| sub.feeds.get_mut(&part)) else { return };
        let Some(read) = feeding.read.take() else { return };
        let cursor = feeding.cursor;
        self.turn(node, to, MS);
        let Some((view, replica)) = view else { return };
        let same = cursor.fits(&view)
            && (cursor.leader_epoch, cursor.n) == (read.head.leader_epoch, read.head.n)
            && cursor.at() == read.from
            && view.log_id == read.log_id;
        let Some(live) = self.nodes[node].disk.live(replica).filter(|_| same && read.slow) else { return };
        let found = between(live.content(), read.from, read.until);
        let written = found.partition_point(|batch| live.is_written(batch.seq));
        let batches = take(&found[..written], TURN, true);
        if let Some(end) = batches.last().map(Batch::next) {
            self.sent(node, to, part, (&read.head, end));
            self.send_frame(conn, vec![SentPart { part, head: read.head, batches }]);
        }
    }
}

/// As many whole batches as fit; the first one always, where it may stand alone.
fn take(batches: &[Batch], room: u64, alone: bool) -> Vec<Batch> {
    let mut taken = Vec::new();
    let mut bytes = 0;
    for batch in batches {
        bytes += u64::from(batch.head.size);
        if bytes > room && !(alone && taken.is_empty()) {
            break;
        }
        taken.push(*batch);
    }
    taken
}
