//! The leader's side, against a follower by hand: who is heard, who is refused, and which connection counts (R37).

use super::rig::{FOLLOWER, Hand, Node, batch, cursor, id, position, soon};
use super::shard::TestShard;
use crate::transport::frame::{self, Items, encode};
use crate::transport::words;
use bytes::Bytes;
use callboard_actors::partition::{Heard, PartitionHandle};
use callboard_actors::ports::Replication;
use callboard_core::Peer;
use callboard_core::partition::{Ack, Answer, Continuity, Part, RefusedFor};
use std::sync::Arc;

#[tokio::test]
async fn positions_and_acks_come_with_the_life_that_the_hello_proved() {
    let (mut node, shard) = (Node::new(), TestShard::new());
    node.leading(4, &shard).await;
    let mut hand = node.follower(1, &[4]).await;
    let (partition, heard) = node.heard().await;
    assert!(matches!(heard, Heard::Position { from: FOLLOWER, position: said } if said == position(1)));
    assert_eq!(partition, 4);
    let ack = Ack { leader_epoch: 3, n: 1, written: 8, synced: 7, log_start: 2 };
    // One of a partition that is not here is worth nothing.
    let items = [9, 4].map(|n| words::ack(id(n), &ack)).to_vec();
    hand.send(encode(Items::Acks(items)).unwrap()).await;
    let (_, heard) = node.heard().await;
    assert!(matches!(heard, Heard::Acked { from: FOLLOWER, ack: said } if said == ack));
    assert!(node.silent());
}

#[tokio::test]
async fn a_position_of_no_replica_is_refused_at_once_and_answers_find_their_connection() {
    let (mut node, shard) = (Node::new(), TestShard::new());
    node.leading(0, &shard).await;
    node.directory.insert(vec![Arc::new(PartitionHandle::new(id(1), None, Arc::default()))]);
    let mut hand = node.follower(5, &[1, 2]).await;
    let why = RefusedFor::NotLeading;
    let refused = Answer::Refused { leader_epoch: 3, n: 5, why };
    let mut answers = Vec::new();
    while answers.len() < 2 {
        answers.extend(hand.frame().await.answers);
    }
    answers.sort_by_key(|(partition, _)| *partition);
    assert_eq!(answers, [(1, refused), (2, refused)], "without an actor, and unknown");
    let positions = Items::Positions(vec![words::position(id(0), &position(6))]);
    hand.send(encode(positions).unwrap()).await;
    node.heard().await;
    let diverge = Answer::Diverge { leader_epoch: 3, n: 6, epoch: None, end: 4 };
    node.replication.reply(id(0), Peer { epoch: 8, ..FOLLOWER }, refused);
    node.replication.reply(id(3), FOLLOWER, refused);
    node.replication.reply(id(0), FOLLOWER, diverge);
    assert_eq!(hand.frame().await.answers, [(0, diverge)], "of this life and this partition");
}

#[tokio::test]
async fn the_connection_with_the_highest_number_of_the_highest_life_counts() {
    let (mut node, shard) = (Node::new(), TestShard::new());
    let replica = node.leading(0, &shard).await;
    let former = node.follower(5, &[0]).await;
    node.heard().await;
    node.replication.feed(&replica, cursor(5));
    let later = |number, epoch| (number, Peer { epoch, ..FOLLOWER });
    for (number, peer) in [later(4, 9), later(5, 9), later(99, 8)] {
        let (dialled, accepted) = node.wire.connect().await;
        node.replication.accepted(peer, 0, number, accepted);
        let closed = soon(dialled.closed()).await.to_string();
        assert!(closed.contains("is later than this one"), "{number} {peer}: {closed}");
    }
    assert!(former.connection.close_reason().is_none());
    let mut hand = node.follower(6, &[0]).await;
    assert!(former.closed().await.contains("a later connection"));
    let (_, heard) = node.heard().await;
    assert!(matches!(heard, Heard::Position { position: said, .. } if said.n == 6));
    node.replication.feed(&replica, cursor(6));
    assert_eq!(hand.frame().await.parts[0].1.n, 6);
    // Another life, whose numbers begin anew; and the former one is over although its connection has ended.
    let (dialled, accepted) = node.wire.connect().await;
    node.replication.accepted(Peer { epoch: 10, ..FOLLOWER }, 0, 1, accepted);
    hand.closed().await;
    dialled.close(0u32.into(), b"");
    let (dialled, accepted) = node.wire.connect().await;
    node.replication.accepted(FOLLOWER, 0, 7, accepted);
    soon(dialled.closed()).await;
    // Another shard of the same node has its own order.
    let (dialled, accepted) = node.wire.connect().await;
    node.replication.accepted(FOLLOWER, 1, 2, accepted);
    assert!(dialled.close_reason().is_none());
    node.replication.close();
    soon(dialled.closed()).await;
}

#[tokio::test]
async fn what_is_not_sound_ends_the_connection() {
    let part = Part {
        leader_epoch: 3,
        n: 1,
        place: Continuity::After { epoch: None, end: 0 },
        high_watermark: 0,
        log_start: 0,
    };
    let strange = frame::Position { written: -7, ..words::position(id(0), &position(1)) };
    let refused = Answer::Refused { leader_epoch: 3, n: 1, why: RefusedFor::Behind };
    let words::Answered::Refused(refused) = words::answer(id(0), &refused) else { panic!() };
    let rows = [
        (Bytes::from(vec![0xff; 64]), "no sound frame"),
        (Bytes::from(vec![11, 0, 0, 0, 1, 0, 0, 0]), "batches for a leader"),
        (encode(Items::Positions(vec![strange])).unwrap(), "no sound word"),
        (encode(Items::Parts(vec![words::part(id(0), &part)])).unwrap(), "a part for a leader"),
        (encode(Items::Refused(vec![refused])).unwrap(), "an answer for a leader"),
    ];
    for (bytes, why) in rows {
        let (mut node, shard) = (Node::new(), TestShard::new());
        let replica = node.leading(0, &shard).await;
        let mut hand: Hand = node.follower(1, &[0]).await;
        node.heard().await;
        node.replication.feed(&replica, cursor(1));
        assert_eq!(hand.frame().await.parts.len(), 1);
        hand.send(bytes).await;
        let closed = hand.closed().await;
        assert!(closed.contains(why), "{closed:?} has no {why:?}");
        super::rig::until(|| replica.fed() == 0).await;
        assert!(batch(0, 1).len() > 1 && node.silent());
    }
}
