//! The follower's side, against a leader by hand: links, words that gather, frames that are taken, skipped or refused.

use super::rig::{Hand, LEADER, Node, batch, id, position, soon, until};
use super::shard::TestShard;
use crate::transport::frame::{self, Items, Packer, encode};
use crate::transport::words;
use bytes::Bytes;
use callboard_actors::partition::Heard;
use callboard_actors::ports::Replication;
use callboard_actors::samples::Samples;
use callboard_core::TopicPartition;
use callboard_core::partition::{Ack, Answer, Continuity, Part, RefusedFor};

const AFTER: Part = Part {
    leader_epoch: 3,
    n: 1,
    place: Continuity::After { epoch: None, end: 0 },
    high_watermark: 0,
    log_start: 0,
};
const NOTHING: Part = Part { place: Continuity::Nothing, ..AFTER };

fn ack(n: u64, written: i64) -> Ack {
    Ack { leader_epoch: 3, n, written, synced: 0, log_start: 0 }
}

fn pool_used(node: &Node) -> bool {
    let mut samples = Samples::default();
    node.replication.sample(&mut samples);
    !samples.into_text().contains("callboard_replication_pool_bytes{shard=\"0\"} 0\n")
}

/// A replica that follows, and the leader's end of its connection behind its first Position.
async fn linked(node: &mut Node, shard: &TestShard) -> Hand {
    let replica = node.replica(0, shard).await;
    node.replication.follow(&replica, LEADER);
    let (_, connection) = node.dialled().await;
    assert!(matches!(node.heard().await, (0, Heard::Linked(LEADER))));
    node.replication.position(&replica, LEADER, position(1));
    let mut hand = Hand::leader(connection).await;
    assert_eq!(hand.frame().await.positions, [(0, position(1))]);
    hand
}

#[tokio::test]
async fn words_gather_and_the_newest_of_each_replica_leaves() {
    let (mut node, shard) = (Node::new(), TestShard::new());
    let mut hand = linked(&mut node, &shard).await;
    let (first, other) = (node.directory.get(id(0)).unwrap(), node.replica(1, &shard).await);
    node.replication.follow(&other, LEADER);
    assert!(matches!(node.heard().await, (1, Heard::Linked(LEADER))), "at once, because the link is up");
    node.replication.ack(&other, LEADER, ack(1, 5));
    for written in 1..=9 {
        node.replication.ack(&first, LEADER, ack(1, written));
    }
    node.replication.position(&other, LEADER, position(2));
    node.replication.position(&other, LEADER, position(3));
    node.replication.ack(&other, LEADER, ack(3, 6));
    assert_eq!(hand.frame().await.positions, [(1, position(3))], "Positions go first");
    let mut acks = hand.frame().await.acks;
    acks.sort_by_key(|(partition, _)| *partition);
    assert_eq!(acks, [(0, ack(1, 9)), (1, ack(3, 6))]);
}

#[tokio::test]
async fn a_new_connection_has_a_higher_number_and_nothing_of_the_former_one() {
    let (mut node, shard) = (Node::new(), TestShard::new());
    let replica = node.replica(0, &shard).await;
    node.replication.follow(&replica, LEADER);
    let (first, connection) = node.dialled().await;
    assert!(matches!(node.heard().await, (0, Heard::Linked(LEADER))));
    node.replication.position(&replica, LEADER, position(1));
    let mut hand = Hand::leader(connection).await;
    assert_eq!(hand.frame().await.positions.len(), 1);
    hand.connection.close(0u32.into(), b"enough");
    assert!(matches!(node.heard().await, (0, Heard::Unlinked(LEADER))));
    node.replication.ack(&replica, LEADER, ack(1, 5));
    node.replication.position(&replica, LEADER, position(1));
    let (second, connection) = node.dialled().await;
    assert!(second > first);
    assert!(matches!(node.heard().await, (0, Heard::Linked(LEADER))));
    // The actor may still be busy with what came before.
    node.replication.ack(&replica, LEADER, ack(1, 6));
    node.replication.position(&replica, LEADER, position(2));
    let mut hand = Hand::leader(connection).await;
    assert_eq!(hand.frame().await.positions, [(0, position(2))]);
    node.replication.ack(&replica, LEADER, ack(2, 7));
    assert_eq!(hand.frame().await.acks, [(0, ack(2, 7))]);
}

#[tokio::test]
async fn batches_come_whole_with_their_permits_and_other_partitions_are_skipped() {
    let (mut node, shard) = (Node::new(), TestShard::new());
    let mut hand = linked(&mut node, &shard).await;
    let (one, two) = (batch(0, 1_000), batch(1, 2_000));
    let elsewhere = Part { n: 8, ..AFTER };
    // A partition without a replica, one that follows, and one that is only here.
    drop(node.replica(5, &shard).await);
    hand.send_parts(&[
        (9, elsewhere, &[batch(0, 10)]),
        (0, AFTER, &[one.clone(), two.clone()]),
        (5, elsewhere, &[batch(0, 10)]),
        (0, NOTHING, &[]),
    ])
    .await;
    let (partition, heard) = node.heard().await;
    let Heard::Part { from, part, batches } = heard else { panic!("{heard:?}") };
    assert_eq!((partition, from, part), (0, LEADER, AFTER));
    let bytes: Vec<_> = batches.iter().map(|received| received.bytes.clone()).collect();
    assert_eq!(bytes, [one.clone(), two]);
    assert_eq!((batches[0].permit.bytes(), batches[1].head.base_offset), (one.len(), 1));
    assert!(batches[0].pinned > 3_000);
    let (_, second) = node.heard().await;
    assert!(matches!(second, Heard::Part { part: NOTHING, ref batches, .. } if batches.is_empty()));
    assert!(node.silent() && pool_used(&node));
    drop(batches);
    until(|| !pool_used(&node)).await;
}

#[tokio::test]
async fn a_frame_waits_for_the_gate_and_for_the_pool_and_a_large_one_takes_all_of_it() {
    let (mut node, shard) = (Node::new(), TestShard::new());
    let mut hand = linked(&mut node, &shard).await;
    shard.gate.send_replace(false);
    // Without batches it does not wait.
    hand.send_parts(&[(0, NOTHING, &[])]).await;
    node.heard().await;
    let large = batch(0, super::rig::SHARE + 100);
    hand.send_parts(&[(0, AFTER, std::slice::from_ref(&large))]).await;
    hand.send_parts(&[(0, AFTER, &[batch(1, 10)])]).await;
    assert!(node.silent());
    shard.gate.send_replace(true);
    let (_, Heard::Part { batches, .. }) = node.heard().await else { panic!() };
    assert_eq!((&batches[0].bytes, batches[0].permit.bytes()), (&large, super::rig::SHARE));
    drop(batches);
    let (_, Heard::Part { batches, .. }) = node.heard().await else { panic!() };
    assert_eq!(batches[0].head.base_offset, 1);
}

#[tokio::test]
async fn answers_come_to_their_replica() {
    let (mut node, shard) = (Node::new(), TestShard::new());
    let mut hand = linked(&mut node, &shard).await;
    let diverge = Answer::Diverge { leader_epoch: 3, n: 1, epoch: Some(2), end: 4 };
    let refused = Answer::Refused { leader_epoch: 3, n: 1, why: RefusedFor::OldEpoch };
    for answer in [diverge, refused] {
        let items = match words::answer(id(0), &answer) {
            words::Answered::Diverge(item) => Items::Diverge(vec![item]),
            words::Answered::Refused(item) => Items::Refused(vec![item]),
        };
        hand.send(encode(items).unwrap()).await;
        let (_, heard) = node.heard().await;
        assert!(matches!(heard, Heard::Told { from: LEADER, answer: told } if told == answer));
    }
}

#[tokio::test]
async fn what_is_not_sound_ends_the_connection_and_the_next_one_is_dialled() {
    let mut rotten = batch(0, 500).to_vec();
    *rotten.last_mut().unwrap() ^= 1;
    let mut short = batch(0, 500).to_vec();
    short.truncate(300);
    let part = |batch: Vec<u8>| {
        let mut packer = Packer::default();
        packer.part(words::part(id(0), &AFTER)).unwrap();
        packer.batch(batch.into()).unwrap();
        Bytes::from(packer.finish().unwrap().concat())
    };
    let strange = frame::Part { high_watermark: -7, ..words::part(id(0), &AFTER) };
    let rows = [
        (part(rotten), "no sound batch"),
        (part(short), "no sound batch"),
        (Bytes::from(vec![0xff; 64]), "no sound frame"),
        (Bytes::from(vec![11, 0, 0, 0, 0, 0, 0, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "no sound frame"),
        (encode(Items::Parts(vec![strange])).unwrap(), "no sound word"),
        (encode(Items::Acks(vec![words::ack(id(0), &ack(1, 1))])).unwrap(), "an acknowledgement"),
        (encode(Items::Positions(vec![words::position(id(0), &position(1))])).unwrap(), "a Position"),
    ];
    for (bytes, why) in rows {
        let (mut node, shard) = (Node::new(), TestShard::new());
        let mut hand = linked(&mut node, &shard).await;
        hand.send(bytes).await;
        let closed = hand.closed().await;
        assert!(closed.contains(why), "{closed:?} has no {why:?}");
        assert!(matches!(node.heard().await, (0, Heard::Unlinked(LEADER))), "{why}: and no part");
        assert!(!pool_used(&node), "{why}");
        node.dialled().await;
        assert!(matches!(node.heard().await, (0, Heard::Linked(LEADER))), "{why}");
    }
}

#[tokio::test]
async fn a_role_that_comes_back_finds_its_connection_and_a_replaced_replica_takes_nothing_away() {
    let (mut node, shard) = (Node::new(), TestShard::new());
    let mut hand = linked(&mut node, &shard).await;
    let former = node.directory.get(id(0)).unwrap();
    node.replication.unfollow(&former, LEADER);
    let next = node.replica(0, &shard).await;
    node.replication.follow(&next, LEADER);
    assert!(matches!(node.heard().await, (0, Heard::Linked(LEADER))), "at once");
    node.replication.unfollow(&former, LEADER);
    node.replication.ack(&former, LEADER, ack(1, 1));
    node.replication.position(&next, LEADER, position(2));
    let said = hand.frame().await;
    assert_eq!((said.positions, said.acks), (vec![(0, position(2))], vec![]));
    assert!(node.dialled.try_recv().is_err(), "the same connection");
    node.replication.close();
    assert!(matches!(soon(hand.connection.closed()).await, quinn::ConnectionError::ApplicationClosed(_)));
    let TopicPartition { partition, .. } = next.id;
    assert!(matches!(node.heard().await, (n, Heard::Unlinked(LEADER)) if n == partition));
}
