//! The clients at work: two idempotent producers, one consumer that follows the high watermark, and DeleteRecords.
//!
//! A client asks any node that runs who leads, and may be told something old. It retries a refusal after a while, and
//! gives a request up after some seconds. From the heal on there is no new load, and no retry.

use callboard_core::partition::Role;

use crate::sim::batch::{Batch, between};
use crate::sim::clients::PRODUCERS;
use crate::sim::event::{AtNode, Event};
use crate::sim::faults::{NodeIx, PartIx};
use crate::sim::messages::{Request, Said, Want};
use crate::sim::options::{MS, SECOND};
use crate::sim::world::World;

impl World {
    /// Begins the load: the first wishes of producers and consumer.
    pub fn begin_load(&mut self) {
        for producer in 0..PRODUCERS {
            let delay = SECOND + self.rng.below(self.options.produce_every);
            self.after(delay, Event::Produce(producer));
        }
        self.after(2 * SECOND, Event::Consume);
    }

    /// The node that leads a partition, as some node that runs believes.
    fn leader(&mut self, part: PartIx) -> Option<NodeIx> {
        let nodes = self.nodes.len();
        let asked = self.rng.below(nodes as u64) as usize;
        let id = self.parts[part].id;
        let running = (0..nodes).map(|n| (asked + n) % nodes);
        let image = running
            .filter_map(|node| self.nodes[node].process.as_ref())
            .map(|process| &process.image)
            .next()?;
        let leader = image.topics.get(&id.topic)?.partition(id.partition)?.leader;
        self.node_of(leader)
    }

    /// A producer makes a batch.
    pub fn produce(&mut self, producer: usize) {
        if self.healed {
            return;
        }
        let part = self.rng.below(self.parts.len() as u64) as usize;
        let lane = &self.clients.producers[producer].lanes[part];
        // A leader knows the last five batches of a producer again, so no batch runs further ahead of the first one.
        let most = if lane.known { self.options.in_flight } else { 1 };
        let ahead = lane.pending.front().map_or(0, |first| lane.batches - first.number);
        if !self.options.topics[part].idle && ahead < most as u64 && self.quiet <= self.now {
            let records = self.rng.within(1, 4) as i32;
            let size = self.rng.skewed(80, self.options.batch_bytes) as u32;
            let sequence = self.clients.new_batch(producer, part, records, size);
            self.figures.produced += 1;
            self.send(producer, part, sequence);
        }
        let every = self.options.produce_every;
        // Bursts and pauses: some of the time a producer is as fast as it can be.
        let wait = if self.rng.percent(20) { self.rng.skewed(100, every) } else { self.rng.below(2 * every) };
        self.after(wait, Event::Produce(producer));
    }

    /// Sends a batch that waits for its answer, if it still does.
    pub fn send(&mut self, producer: usize, part: PartIx, sequence: i32) {
        let Some(batch) = self.clients.batch(producer, part, sequence).filter(|_| !self.healed) else {
            return;
        };
        let Some(node) = self.leader(part).filter(|_| self.quiet <= self.now) else {
            return self.send_later(producer, part, sequence);
        };
        let number = self.clients.requests.len() as u32;
        let want = Want::Produce { producer, sequence, batch };
        self.push_request(want, part, node);
        if let Some(pending) = self.clients.pending(producer, part, sequence) {
            pending.request = Some(number);
        }
        let at = self.now + self.draw(self.options.delay);
        let last = &mut self.clients.producers[producer].last[node];
        *last = at.max(*last);
        let delay = *last - self.now;
        self.at(node, delay, AtNode::Request(number));
        let patience = self.rng.within(3 * SECOND, 6 * SECOND);
        self.after(patience, Event::GiveUp(number));
    }

    fn push_request(&mut self, want: Want, part: PartIx, node: NodeIx) {
        let life = self.nodes[node].life;
        let request = Request {
            want,
            part,
            node,
            life,
            arrived: false,
            answered: false,
            given_up: false,
            heard: false,
        };
        self.clients.requests.push(request);
    }

    fn send_later(&mut self, producer: usize, part: PartIx, sequence: i32) {
        let wait = self.quiet.saturating_sub(self.now) + self.rng.within(50 * MS, 400 * MS);
        self.after(wait, Event::Resend(producer, part, sequence));
    }

    /// A client wants records deleted.
    pub fn delete_records(&mut self, part: PartIx, percent: u64) {
        let Some(node) = self.leader(part) else { return };
        let number = self.clients.requests.len() as u32;
        self.push_request(Want::Delete { percent }, part, node);
        let delay = self.draw(self.options.delay);
        self.at(node, delay, AtNode::Request(number));
    }

    /// An answer comes to a client.
    pub fn answered(&mut self, number: u32, said: &Said) {
        self.clients.requests[number as usize].heard = true;
        let request = self.clients.requests[number as usize];
        let Want::Produce { producer, sequence, .. } = request.want else { return };
        let part = request.part;
        let current = self.clients.pending(producer, part, sequence).map(|pending| pending.request);
        if current != Some(Some(number)) || request.given_up {
            return;
        }
        match said {
            Ok(_) => {
                self.figures.acked += 1;
                let lane = &mut self.clients.producers[producer].lanes[part];
                lane.known = true;
                lane.pending.retain(|pending| pending.sequence != sequence);
            }
            Err(_) => self.send_later(producer, part, sequence),
        }
    }

    /// A client waits no longer for an answer, and sends again.
    pub fn give_up(&mut self, number: u32) {
        let request = &mut self.clients.requests[number as usize];
        let Want::Produce { producer, sequence, .. } = request.want else { return };
        if request.heard {
            return;
        }
        request.given_up = true;
        let part = request.part;
        let current = self.clients.pending(producer, part, sequence).map(|pending| pending.request);
        if current == Some(Some(number)) {
            self.send(producer, part, sequence);
        }
    }

    /// The consumer reads on in one partition, below the high watermark of whoever leads.
    pub fn consume(&mut self) {
        if self.done {
            return;
        }
        let wait = self.rng.within(100 * MS, 700 * MS);
        self.after(wait, Event::Consume);
        self.clients.turn = (self.clients.turn + 1) % self.parts.len();
        let part = self.clients.turn;
        let Some(node) = self.leader(part) else { return };
        if self.nodes[node].paused > self.now {
            return;
        }
        let Some(replica) = self.replica(node, part) else { return };
        let (role, start, hw) = (&replica.view.role, replica.view.log_start, replica.view.high_watermark);
        if *role != Role::Leader {
            return;
        }
        let from = self.clients.read[part].max(start);
        let read: Vec<Batch> = between(self.content(node, part), from, hw).to_vec();
        for batch in read.iter().filter(|batch| batch.next() <= hw) {
            self.figures.consumed += 1;
            self.clients.read[part] = self.clients.read[part].max(batch.next());
            let (from, until) = (batch.base(), batch.next());
            if until > self.truths[part].high_watermark {
                self.broken("I7", || {
                    format!("the consumer reads p{part} up to {until}, above the true high watermark")
                });
            }
            if let Err(why) = self.truths[part].compare(&read, from, until) {
                self.broken("I7", || format!("the consumer reads p{part} at n{}: {why}", node + 1));
            }
        }
    }
}
