//! Frames of a feed: the order of batches, shared frames, the rings, cold reads, and the end of a cursor.

use super::rig::{FOLLOWER, Hand, Node, batch, cursor, id, until};
use super::shard::TestShard;
use crate::transport::frame::{HEADER, Lengths, PAYLOAD, Packer};
use crate::transport::replication::cursors::Cursors;
use crate::transport::replication::inbox::{Inbox, LAZY, Tap};
use bytes::Bytes;
use callboard_actors::partition::{Fed, PartitionHandle};
use callboard_actors::ports::{ReadError, Replication};
use callboard_core::partition::{Continuity, Part, Role, View};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

fn after(end: i64) -> Continuity {
    Continuity::After { epoch: None, end }
}

/// Batches of one partition, until so many bytes have come.
async fn batches(hand: &mut Hand, partition: i32, bytes: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < bytes {
        for (of, part, bytes) in hand.frame().await.parts {
            assert_eq!(of, partition);
            assert!(bytes.is_empty() || part.place != Continuity::Nothing);
            all.extend_from_slice(&bytes);
        }
    }
    all
}

/// A feed of partition 0, behind its first part.
async fn fed(node: &mut Node, shard: &TestShard) -> (Arc<PartitionHandle>, Hand) {
    let replica = node.leading(0, shard).await;
    let mut hand = node.follower(1, &[0]).await;
    node.heard().await;
    node.replication.feed(&replica, cursor(1));
    let first = hand.frame().await.parts;
    let part = Part { leader_epoch: 3, n: 1, place: Continuity::Nothing, high_watermark: 0, log_start: 0 };
    assert_eq!(first, [(0, part, Bytes::new())], "it leaves at once, without bytes");
    (replica, hand)
}

#[tokio::test]
async fn batches_leave_in_order_and_byte_for_byte_and_a_large_one_alone() {
    let (mut node, shard) = (Node::new(), TestShard::new());
    let (replica, mut hand) = fed(&mut node, &shard).await;
    let sizes = [100, 70_000, 70_000, 70_000, 70_000, 400_000, 1, 2];
    let sent: Vec<Bytes> = sizes.map(|size| node.append(&replica, size)).into();
    let (mut frames, mut got, mut at) = (Vec::new(), Vec::new(), 0);
    while at < sizes.len() as i64 {
        let parts = hand.frame().await.parts;
        frames.push(parts.iter().map(|(_, _, bytes)| bytes.len()).sum::<usize>());
        for (_, part, bytes) in parts {
            assert_eq!(part.place, after(at));
            let count = callboard_core::records::batches(&bytes).count();
            at += count as i64;
            got.extend_from_slice(&bytes);
        }
    }
    assert_eq!(got, sent.concat());
    assert!(frames.iter().all(|bytes| *bytes <= PAYLOAD || *bytes == sent[5].len()), "{frames:?}");
    assert_eq!(frames.len(), 4, "three that fit, two that fit, the large one, the rest: {frames:?}");
}

#[tokio::test]
async fn many_partitions_share_a_frame_and_so_do_their_high_watermarks() {
    let (mut node, shard) = (Node::new(), TestShard::new());
    let all: Vec<i32> = (0..180).collect();
    let mut replicas = Vec::new();
    for partition in &all {
        replicas.push(node.leading(*partition, &shard).await);
    }
    let mut hand = node.follower(1, &all).await;
    for _ in &all {
        node.heard().await;
    }
    for replica in &replicas {
        node.replication.feed(replica, cursor(1));
        node.append(replica, 500);
    }
    let named = |parts: &[(i32, Part, Bytes)], bytes: bool| {
        let parts = parts.iter().filter(|(_, _, of)| of.is_empty() != bytes);
        parts.map(|(partition, ..)| *partition).collect::<BTreeSet<_>>()
    };
    let every: BTreeSet<i32> = all.iter().copied().collect();
    let first = hand.frame().await.parts;
    assert_eq!((named(&first, true), named(&first, false)), (every.clone(), every.clone()), "one frame");
    for replica in &replicas {
        let view = replica.view();
        replica.publish(View { high_watermark: 1, ..View::clone(&view) });
    }
    let lazy = hand.frame().await.parts;
    assert_eq!((named(&lazy, false), lazy.len()), (every, 180), "one lazy frame");
    assert!(lazy.iter().all(|(_, part, _)| (part.high_watermark, part.place) == (1, Continuity::Nothing)));
}

#[test]
fn a_high_watermark_alone_waits_for_the_lazy_frame_and_data_does_not() {
    let inbox = Inbox::new(FOLLOWER);
    let taps = [Tap::new(&inbox), Tap::new(&inbox)];
    let early = Instant::now();
    assert!(inbox.take(early).due.is_none(), "an idle feed has no timer");
    taps[0].moved(id(0), false);
    taps[1].moved(id(1), true);
    taps[1].moved(id(1), true);
    let taken = inbox.take(early);
    let due = taken.due.expect("a timer");
    assert_eq!((taken.data, taken.lazy), (vec![id(1)], vec![]));
    assert!(due >= early + LAZY);
    taps[1].moved(id(1), false);
    taps[0].moved(id(0), false);
    assert_eq!(inbox.take(early).due, Some(due), "the first one counts");
    let taken = inbox.take(due);
    assert_eq!((taken.lazy, taken.due), (vec![id(0), id(1)], None), "each once");
    taps[1].moved(id(1), true);
    assert!(inbox.take(due).data.is_empty(), "nobody has looked since");
    taps[1].looks(true);
    taps[1].moved(id(1), true);
    assert_eq!(inbox.take(due).data, [id(1)]);
}

#[tokio::test]
async fn a_cursor_whose_leadership_is_over_goes_and_rings_no_more() {
    let (mut node, shard) = (Node::new(), TestShard::new());
    let (replica, mut hand) = fed(&mut node, &shard).await;
    assert_eq!(replica.fed(), 1);
    replica.publish(View { role: Role::Idle, ..View::clone(&replica.view()) });
    until(|| replica.fed() == 0).await;
    replica.publish(View::unknown(Role::Leader, 3));
    node.replication.feed(&replica, cursor(2));
    assert_eq!(hand.frame().await.parts[0].1.n, 2, "the next Position has its own cursor");
    node.replication.unfeed(id(0), FOLLOWER.broker);
    until(|| replica.fed() == 0).await;
    node.replication.feed(&replica, cursor(3));
    hand.frame().await;
    hand.connection.close(0u32.into(), b"");
    until(|| replica.fed() == 0).await;
}

#[tokio::test]
async fn what_the_tail_has_lost_comes_from_the_store_and_what_is_not_written_is_waited_for() {
    let (mut node, shard) = (Node::new(), TestShard::new());
    let (replica, mut hand) = fed(&mut node, &shard).await;
    let stored: Vec<Bytes> = (0..40).map(|base| batch(base, 30_000)).collect();
    *shard.batches.lock() = stored[..30].to_vec();
    *shard.fails.lock() = Some(ReadError::Busy);
    replica.publish(View { end: 40, ..View::clone(&replica.view()) });
    *shard.fails.lock() = None;
    let (first, rest) = (stored[..30].concat(), stored[30..].concat());
    assert_eq!(batches(&mut hand, 0, first.len()).await, first);
    shard.batches.lock().extend_from_slice(&stored[30..]);
    assert_eq!(batches(&mut hand, 0, rest.len()).await, rest);
    let large = batch(40, 2_000_000);
    shard.batches.lock().push(large.clone());
    replica.publish(View { end: 41, ..View::clone(&replica.view()) });
    assert_eq!(batches(&mut hand, 0, large.len()).await, large);
}

#[tokio::test]
async fn a_read_that_another_position_overtook_is_dropped() {
    let (mut node, shard) = (Node::new(), TestShard::held(Semaphore::new(0)));
    let (replica, mut hand) = fed(&mut node, &shard).await;
    let stored = [batch(0, 100), batch(1, 100)];
    *shard.batches.lock() = stored.to_vec();
    replica.publish(View { end: 1, ..View::clone(&replica.view()) });
    // The read of n 1 has begun, or begins under n 2: the feeder has looked at the view in either case.
    until(|| replica.fed() == 1).await;
    node.replication.feed(&replica, cursor(2));
    assert_eq!(hand.frame().await.parts[0].1.n, 2);
    replica.publish(View { end: 2, ..View::clone(&replica.view()) });
    shard.reads.add_permits(100);
    let mut at = 0;
    while at < 2 {
        for (_, part, bytes) in hand.frame().await.parts {
            assert_eq!((part.n, part.place), (2, after(at)));
            assert_eq!(
                bytes,
                stored[at as usize..][..callboard_core::records::batches(&bytes).count()].concat()
            );
            at += callboard_core::records::batches(&bytes).count() as i64;
        }
    }
}

#[tokio::test]
async fn who_catches_up_gets_a_quarter_and_large_batches_take_turns() {
    let (node, shard) = (Node::new(), TestShard::new());
    // Each row: sizes of the near replica's batches and of the far one's, and how many; bytes that count as a share.
    for (near, far, least) in [(1_000, 30_000, PAYLOAD / 4 - 31_000), (300_000, 300_000, 300_000)] {
        let replicas = [node.leading(0, &shard).await, node.leading(1, &shard).await];
        (0..900_000 / near).for_each(|_| drop(node.append(&replicas[0], near)));
        (0..3_000_000 / far).for_each(|_| drop(node.append(&replicas[1], far)));
        let inbox = Inbox::new(FOLLOWER);
        let (done, _reads) = mpsc::unbounded_channel();
        let (mut cursors, mut packer) = (Cursors::new(&inbox, done), Packer::default());
        replicas.iter().for_each(|replica| cursors.begin(Arc::clone(replica), cursor(1)));
        let mut shares = [0, 0];
        for _ in 0..2 {
            cursors.fill(Vec::new(), &mut packer).unwrap();
            let wire = Bytes::from(packer.finish().unwrap().concat());
            let lengths = Lengths::read(*wire.first_chunk::<HEADER>().unwrap()).unwrap();
            for (partition, _, bytes) in super::rig::read(lengths, &wire.slice(HEADER..)).parts {
                shares[partition as usize] += bytes.len();
            }
        }
        assert!(shares.iter().all(|share| *share >= least), "{shares:?} of {near} and {far}");
    }
}
