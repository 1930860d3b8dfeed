//! Both sides together: words and batches of many partitions, and a node that is gone for a while.

use super::rig::{FOLLOWER, LEADER, Node, cursor, id, position};
use super::shard::TestShard;
use callboard_actors::partition::Heard;
use callboard_actors::ports::Replication;
use callboard_core::partition::{Ack, Continuity};
use quinn::Connection;
use std::collections::BTreeMap;

const PARTITIONS: i32 = 20;

/// Links all followers, and hands their connection to the leader.
async fn link(leader: &mut Node, follower: &mut Node, n: u64) -> Connection {
    let (number, accepted) = follower.dialled().await;
    leader.replication.accepted(FOLLOWER, 0, number, accepted.clone());
    for _ in 0..PARTITIONS {
        let (partition, heard) = follower.heard().await;
        assert!(matches!(heard, Heard::Linked(LEADER)));
        let replica = follower.directory.get(id(partition)).unwrap();
        follower.replication.position(&replica, LEADER, position(n));
    }
    for _ in 0..PARTITIONS {
        let (partition, heard) = leader.heard().await;
        assert!(matches!(heard, Heard::Position { from: FOLLOWER, position: said } if said.n == n));
        leader.replication.feed(&leader.directory.get(id(partition)).unwrap(), cursor(n));
    }
    accepted
}

#[tokio::test]
async fn every_byte_arrives_once_and_a_new_connection_begins_again() {
    let (mut leader, mut follower, shard) = (Node::new(), Node::new(), TestShard::new());
    for partition in 0..PARTITIONS {
        leader.leading(partition, &shard).await;
        let replica = follower.replica(partition, &shard).await;
        follower.replication.follow(&replica, LEADER);
    }
    let mut sent = BTreeMap::<i32, Vec<u8>>::new();
    for n in 1..=2 {
        let link = link(&mut leader, &mut follower, n).await;
        for size in [10, 4_000, 90_000] {
            for partition in 0..PARTITIONS {
                let replica = leader.directory.get(id(partition)).unwrap();
                sent.entry(partition).or_default().extend_from_slice(&leader.append(&replica, size));
            }
        }
        let mut got = BTreeMap::<i32, Vec<u8>>::new();
        while got != sent {
            let (partition, heard) = follower.heard().await;
            let Heard::Part { part, batches, .. } = heard else { panic!("{heard:?}") };
            assert_eq!(part.n, n);
            let log = got.entry(partition).or_default();
            for received in batches {
                assert!(matches!(part.place, Continuity::After { .. }));
                log.extend_from_slice(&received.bytes);
                assert!(log.len() <= sent[&partition].len());
            }
        }
        let ack = Ack { leader_epoch: 3, n, written: 3, synced: 3, log_start: 0 };
        for partition in 0..PARTITIONS {
            let replica = follower.directory.get(id(partition)).unwrap();
            follower.replication.ack(&replica, LEADER, ack);
        }
        for _ in 0..PARTITIONS {
            let (_, heard) = leader.heard().await;
            assert!(matches!(heard, Heard::Acked { from: FOLLOWER, ack: said } if said == ack));
        }
        link.close(0u32.into(), b"enough");
        for _ in 0..PARTITIONS {
            assert!(matches!(follower.heard().await.1, Heard::Unlinked(LEADER)));
        }
    }
}
