//! Data connections: a follower's shard dials the nodes that it follows at, and both sides see ends in their own time.
//!
//! The dialler keeps one connection to each node that a replica wants. The peer keeps the connection with the highest
//! (broker epoch, number) of each node, and closes a lower one before it reads from the higher (R37). A side that heard
//! nothing for three seconds gives its end up; the other side hears of that when it can.

use callboard_core::partition::{Ack, Input};
use callboard_core::{BrokerId, Peer};

use crate::sim::event::{AtNode, Event};
use crate::sim::faults::{NodeIx, PartIx, Seen};
use crate::sim::network::{Conn, ConnIx, Msg, Side, WINDOW};
use crate::sim::options::{MS, SECOND, Time};
use crate::sim::world::{Sub, World};

/// An end that hears nothing for this long gives up (CLUSTER §4).
const IDLE: Time = 3 * SECOND;

/// Time that a stream needs for the messages that gathered while it stood still.
const DRAIN: Time = 50 * MS;

impl World {
    /// Until when nothing can come from one node to another, or be taken there. 0: now.
    #[must_use]
    pub fn held_until(&self, from: NodeIx, to: NodeIx) -> Time {
        self.blocked[from][to].max(self.nodes[to].paused)
    }

    /// Whether two nodes can talk, in both directions, right now.
    #[must_use]
    pub fn can_talk(&self, a: NodeIx, b: NodeIx) -> bool {
        let up = |node: NodeIx| self.nodes[node].process.is_some() && self.nodes[node].paused <= self.now;
        up(a) && up(b) && self.blocked[a][b] <= self.now && self.blocked[b][a] <= self.now
    }

    /// A replica wants a connection. Gives the input that says it is up, if it is.
    pub fn follow(&mut self, node: NodeIx, part: PartIx, broker: BrokerId) -> Option<Input> {
        let to = self.node_of(broker)?;
        let link = &mut self.process(node)?.links[to];
        link.wanted[part] = true;
        match link.conn {
            Some(_) => Some(Input::Linked(broker)),
            None => {
                self.dial_soon(node, to, 0);
                None
            }
        }
    }

    /// A replica wants a connection no more.
    pub fn unfollow(&mut self, node: NodeIx, part: PartIx, broker: BrokerId) {
        let keep = self.options.keep_links;
        let Some(to) = self.node_of(broker) else { return };
        let Some(process) = self.process(node) else { return };
        let link = &mut process.links[to];
        link.wanted[part] = false;
        link.acks.remove(&part);
        let unused = link.wanted.iter().all(|wanted| !wanted);
        if let Some(conn) = link.conn.filter(|_| unused && !keep) {
            self.close(conn, Side::Dialler, 0);
        }
    }

    fn dial_soon(&mut self, node: NodeIx, to: NodeIx, wait: Time) {
        let Some(process) = self.process(node) else { return };
        if !std::mem::replace(&mut process.links[to].dialling, true) {
            let delay = wait + self.draw(self.options.delay);
            self.at(node, delay, AtNode::Dial(to));
        }
    }

    /// Dials another node's shard, or tries later.
    pub fn dial(&mut self, node: NodeIx, to: NodeIx) {
        let reachable = self.can_talk(node, to);
        let (life, other_life) = (self.nodes[node].life, self.nodes[to].life);
        let Some(process) = self.process(node) else { return };
        let epoch = process.epoch;
        let link = &mut process.links[to];
        link.dialling = false;
        if link.conn.is_some() || link.wanted.iter().all(|wanted| !wanted) {
            return;
        }
        let Some(epoch) = epoch.filter(|_| reachable) else {
            let wait = self.rng.within(100 * MS, 800 * MS);
            return self.dial_soon(node, to, wait);
        };
        link.dialling = true;
        process.connections += 1;
        let rank = (epoch, process.connections);
        let conn = self.conns.len();
        self.conns.push(Conn {
            dialler: node,
            peer: to,
            lives: [life, other_life],
            rank,
            open: [true, true],
            linked: false,
            ways: Default::default(),
        });
        self.accept(node, to, conn);
        let delay = self.draw(self.options.delay);
        self.after(delay, Event::Linked(conn));
    }

    /// The peer takes a connection, if it is higher than the one it has.
    fn accept(&mut self, node: NodeIx, to: NodeIx, conn: ConnIx) {
        let rank = self.conns[conn].rank;
        let Some(process) = self.process(to) else { return };
        match &process.subs[node] {
            Some(sub) if sub.rank > rank => return self.close(conn, Side::Peer, 0),
            Some(sub) => {
                let old = sub.conn;
                self.close(old, Side::Peer, 0);
            }
            None => {}
        }
        let sub = Sub { conn, rank, feeds: Default::default(), turn: 0, next: 0 };
        if let Some(process) = self.process(to) {
            process.subs[node] = Some(sub);
        }
    }

    /// The dialler hears the peer's hello.
    pub fn linked(&mut self, conn: ConnIx) {
        let Conn { dialler, peer, lives, .. } = self.conns[conn];
        let current = self.nodes[dialler].process.is_some() && self.nodes[dialler].life == lives[0];
        if !current || !self.conns[conn].is_open(Side::Dialler) {
            return;
        }
        let held = self.held_until(peer, dialler);
        if held > self.now {
            return self.queue.push(held, Event::Linked(conn));
        }
        self.conns[conn].linked = true;
        let broker = self.nodes[peer].id;
        let Some(process) = self.process(dialler) else { return };
        let link = &mut process.links[peer];
        (link.dialling, link.conn) = (false, Some(conn));
        let wanted = link.wanted;
        for part in (0..wanted.len()).filter(|part| wanted[*part]) {
            self.replica_step(dialler, part, Input::Linked(broker));
        }
    }

    /// One side gives a connection up, and the other one hears of it after `seen`, or when it can.
    pub fn close(&mut self, conn: ConnIx, side: Side, seen: Time) {
        if !self.conns[conn].is_open(side) {
            return;
        }
        self.figures.lost_bytes += self.conns[conn].way_to(side).bytes;
        self.conns[conn].close(side);
        let Conn { dialler, peer, lives, .. } = self.conns[conn];
        if side == Side::Dialler && self.nodes[dialler].life == lives[0] {
            self.unlinked(dialler, peer, conn);
        }
        if side == Side::Peer
            && self.nodes[peer].life == lives[1]
            && let Some(process) = self.process(peer)
        {
            let sub = &mut process.subs[dialler];
            if sub.as_ref().is_some_and(|sub| sub.conn == conn) {
                *sub = None;
            }
        }
        let delay = seen + self.draw(self.options.delay);
        self.after(delay, Event::CloseSeen(conn, side.other()));
    }

    fn unlinked(&mut self, node: NodeIx, to: NodeIx, conn: ConnIx) {
        let broker = self.nodes[to].id;
        let Some(process) = self.process(node) else { return };
        let link = &mut process.links[to];
        let had = link.conn == Some(conn);
        if had {
            link.conn = None;
            link.acks.clear();
        } else if link.conn.is_none() {
            link.dialling = false;
        }
        let wanted = link.wanted;
        for part in (0..wanted.len()).filter(|part| had && wanted[*part]) {
            self.replica_step(node, part, Input::Unlinked(broker));
        }
        if wanted.iter().any(|wanted| *wanted) {
            let wait = self.rng.skewed(0, 300 * MS);
            self.dial_soon(node, to, wait);
        }
    }

    /// A side may hear that the other one is gone.
    pub fn close_seen(&mut self, conn: ConnIx, side: Side) {
        if !self.conns[conn].is_open(side) {
            return;
        }
        let (node, from) = (self.conns[conn].node(side), self.conns[conn].node(side.other()));
        let held = self.held_until(from, node);
        if held > self.now {
            // Without a word from the other side it is silence that tells.
            let at = held.min(self.now + IDLE).max(self.nodes[node].paused);
            if self.blocked[from][node] > self.now + IDLE {
                return self.queue.push(at, Event::Idle(conn, side));
            }
            return self.queue.push(held, Event::CloseSeen(conn, side));
        }
        self.close(conn, side, 0);
    }

    /// A side has heard nothing for long, if the silence lasts.
    pub fn idle(&mut self, conn: ConnIx, side: Side) {
        let (node, from) = (self.conns[conn].node(side), self.conns[conn].node(side.other()));
        if self.nodes[node].paused > self.now {
            let at = self.nodes[node].paused;
            return self.queue.push(at, Event::Idle(conn, side));
        }
        let silent = self.blocked[from][node] > self.now || self.nodes[from].paused > self.now;
        if self.conns[conn].is_open(side) && (silent || !self.conns[conn].is_open(side.other())) {
            self.close(conn, side, 0);
        }
    }

    /// Silence begins between two nodes: the side that hears nothing will give up.
    pub fn silence(&mut self, from: NodeIx, to: NodeIx) {
        for conn in 0..self.conns.len() {
            for side in [Side::Dialler, Side::Peer] {
                let ends = (self.conns[conn].node(side.other()), self.conns[conn].node(side));
                if ends == (from, to) && self.conns[conn].is_open(side) {
                    self.after(IDLE, Event::Idle(conn, side));
                }
            }
        }
    }

    /// Ends the data connections of two nodes.
    pub fn reset(&mut self, a: NodeIx, b: NodeIx, seen: Seen) {
        for conn in 0..self.conns.len() {
            let Conn { dialler, peer, open, .. } = self.conns[conn];
            if (dialler, peer) != (a, b) && (dialler, peer) != (b, a) || open == [false, false] {
                continue;
            }
            self.figures.resets += 1;
            let late = self.rng.skewed(MS, 2 * SECOND);
            match seen {
                Seen::Both => {
                    self.close(conn, Side::Dialler, 0);
                    self.close(conn, Side::Peer, 0);
                }
                Seen::Dialler => self.close(conn, Side::Dialler, late),
                Seen::Peer => self.close(conn, Side::Peer, late),
            }
        }
    }

    /// A process ends: its ends of connections are gone, and the others hear of it.
    pub fn drop_connections(&mut self, node: NodeIx, seen: Time) {
        for conn in 0..self.conns.len() {
            for side in [Side::Dialler, Side::Peer] {
                if self.conns[conn].node(side) == node {
                    self.close(conn, side, seen);
                }
            }
        }
    }

    /// Sends something towards one side of a connection.
    pub fn enqueue(&mut self, conn: ConnIx, side: Side, msg: Msg) {
        if !self.conns[conn].is_open(side.other()) {
            return;
        }
        let bytes = msg.bytes();
        // About 100 MB/s.
        let delay = self.draw(self.options.delay) + bytes / 100;
        let now = self.now;
        let way = self.conns[conn].way_to(side);
        way.last = way.last.max(now + delay);
        way.bytes += bytes;
        way.queue.push_back(msg);
        let at = way.last;
        self.queue.push(at, Event::Deliver(conn, side));
    }

    /// The first message of a stream may arrive.
    pub fn deliver(&mut self, conn: ConnIx, side: Side) {
        let (to, from) = (self.conns[conn].node(side), self.conns[conn].node(side.other()));
        if !self.conns[conn].is_open(side) {
            return;
        }
        let held = self.held_until(from, to).max(self.stalled[from][to]);
        if held > self.now {
            // Messages that have gathered come one by one.
            let after = self.rng.skewed(0, DRAIN);
            return self.queue.push(held + after, Event::Deliver(conn, side));
        }
        let way = self.conns[conn].way_to(side);
        let Some(msg) = way.queue.pop_front() else { return };
        let full = way.bytes >= WINDOW;
        way.bytes -= msg.bytes();
        self.note(msg.bytes());
        let broker = self.nodes[from].id;
        let peer = Peer { broker, epoch: self.conns[conn].rank.0 };
        match msg {
            Msg::Position(part, position) => {
                self.heard_position(to, part, peer, &position);
                self.position(to, part, peer, position);
            }
            Msg::Acks(acks) => {
                for (part, ack) in acks {
                    self.heard_ack(to, part, peer, &ack);
                    self.replica_step(to, part, Input::Acked { from: peer, ack });
                }
            }
            Msg::Frame(parts) => {
                self.frame(to, broker, parts);
                if full {
                    self.turn(from, to, 0);
                }
            }
            Msg::Told(part, answer) => self.replica_step(to, part, Input::Told { from: broker, answer }),
        }
    }

    /// Sends something to the leader's node that a follower follows at.
    pub fn send_up(&mut self, node: NodeIx, broker: BrokerId, msg: Msg) {
        let Some(to) = self.node_of(broker) else { return };
        if let Some(conn) = self.process(node).and_then(|process| process.links[to].conn) {
            self.enqueue(conn, Side::Peer, msg);
        }
    }

    /// Keeps the newest acknowledgement until the writer of the stream wakes.
    pub fn gather_ack(&mut self, node: NodeIx, part: PartIx, broker: BrokerId, ack: Ack) {
        let Some(to) = self.node_of(broker) else { return };
        self.check_ack(node, part, &ack);
        let delay = self.rng.skewed(20, 2 * MS);
        let Some(process) = self.process(node) else { return };
        let link = &mut process.links[to];
        if link.conn.is_none() {
            return;
        }
        link.acks.insert(part, ack);
        if !std::mem::replace(&mut link.flushing, true) {
            self.at(node, delay, AtNode::FlushAcks(to));
        }
    }

    /// The writer of the stream wakes.
    pub fn flush_acks(&mut self, node: NodeIx, to: NodeIx) {
        let Some(process) = self.process(node) else { return };
        let link = &mut process.links[to];
        link.flushing = false;
        let acks: Vec<_> = std::mem::take(&mut link.acks).into_iter().collect();
        if let Some(conn) = link.conn.filter(|_| !acks.is_empty()) {
            self.enqueue(conn, Side::Peer, Msg::Acks(acks));
        }
    }

    /// Sends something to a follower's node, on the connection of that life.
    pub fn send_down(&mut self, node: NodeIx, to: Peer, msg: Msg) {
        let Some(other) = self.node_of(to.broker) else { return };
        let sub = self.process(node).and_then(|process| process.subs[other].as_ref());
        if let Some(conn) = sub.filter(|sub| sub.rank.0 == to.epoch).map(|sub| sub.conn) {
            self.enqueue(conn, Side::Dialler, msg);
        }
    }
}
