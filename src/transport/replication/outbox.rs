//! The words of a shard's followers for one leader's node, until the writer of the connection takes them.
//!
//! ```text
//!   Position ──> one a replica, the newest ─┐
//!   Ack ───────> one a replica, the newest ─┴─> frames of 1,024 at most, Positions first
//! ```
//!
//! The outbox belongs to one connection. An acknowledgement goes in only behind a Position of the same connection, because an
//! actor may still be busy with what came over the former one.

use crate::transport::frame::{ITEMS_MAX, Items};
use crate::transport::words;
use callboard_core::TopicPartition;
use callboard_core::partition::{Ack, Position};
use std::collections::{HashMap, HashSet};

/// Words that wait for the writer.
#[derive(Debug, Default)]
pub struct Outbox {
    positions: HashMap<TopicPartition, Position>,
    acks: HashMap<TopicPartition, Ack>,
    /// Replicas that have sent a Position over this connection.
    asked: HashSet<TopicPartition>,
}

impl Outbox {
    /// Takes a Position in place of one that has not left.
    pub fn position(&mut self, id: TopicPartition, position: Position) {
        self.asked.insert(id);
        self.positions.insert(id, position);
    }

    /// Takes an acknowledgement in place of one that has not left. False if it belongs to a former connection.
    pub fn ack(&mut self, id: TopicPartition, ack: Ack) -> bool {
        let current = self.asked.contains(&id);
        if current {
            self.acks.insert(id, ack);
        }
        current
    }

    /// Drops what a replica has to say.
    pub fn forget(&mut self, id: TopicPartition) {
        self.positions.remove(&id);
        self.acks.remove(&id);
        self.asked.remove(&id);
    }

    /// All that waits, as frames, with the number of items in each.
    pub fn drain(&mut self) -> Vec<(usize, Items)> {
        let positions: Vec<_> = self.positions.drain().map(|(id, word)| words::position(id, &word)).collect();
        let acks: Vec<_> = self.acks.drain().map(|(id, word)| words::ack(id, &word)).collect();
        let positions = positions.chunks(ITEMS_MAX).map(|all| (all.len(), Items::Positions(all.to_vec())));
        let acks = acks.chunks(ITEMS_MAX).map(|all| (all.len(), Items::Acks(all.to_vec())));
        positions.chain(acks).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::TopicId;

    fn id(partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicId([1; 16]), partition }
    }

    fn position(n: u64) -> Position {
        Position { leader_epoch: 1, n, end: 5, last_epoch: None, written: 5, synced: 5, log_start: 0 }
    }

    fn ack(n: u64, written: i64) -> Ack {
        Ack { leader_epoch: 1, n, written, synced: 0, log_start: 0 }
    }

    #[test]
    fn the_newest_word_of_each_replica_leaves_and_positions_go_first() {
        let mut outbox = Outbox::default();
        assert!(!outbox.ack(id(0), ack(1, 5)), "of a former connection");
        for partition in 0..2_000 {
            outbox.position(id(partition), position(1));
            outbox.position(id(partition), position(2));
            assert!(outbox.ack(id(partition), ack(2, 6)));
            assert!(outbox.ack(id(partition), ack(2, 7)));
        }
        outbox.forget(id(1_999));
        assert!(!outbox.ack(id(1_999), ack(2, 8)));
        let frames = outbox.drain();
        let sizes: Vec<_> =
            frames.iter().map(|(n, items)| (*n, matches!(items, Items::Positions(_)))).collect();
        assert_eq!(sizes, [(1024, true), (975, true), (1024, false), (975, false)]);
        for (_, items) in frames {
            match items {
                Items::Positions(all) => assert!(all.iter().all(|item| item.subject.n == 2)),
                Items::Acks(all) => assert!(all.iter().all(|item| item.written == 7)),
                other => panic!("{other:?}"),
            }
        }
        assert!(outbox.drain().is_empty());
    }
}
