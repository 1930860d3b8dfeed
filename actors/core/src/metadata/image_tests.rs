//! Tests of the image: the records that it takes, and its use of the index.

use super::{Image, MetadataRecord, PartitionChange};
use crate::ids::TopicId;
use proptest::prelude::*;

const ID: TopicId = TopicId([7; 16]);

fn with_topic() -> Image {
    let mut image = Image::default();
    let (name, isr, configs) = ("t".to_owned(), Vec::new(), Default::default());
    let (replicas, default_factor) = (vec![vec![1, 2, 3]], false);
    image.apply_batch(1, &[MetadataRecord::Topic { id: ID, name, replicas, isr, default_factor, configs }]);
    for (leader_epoch, partition_epoch) in [(1, 1), (2, 2)] {
        image.apply_batch(1 + partition_epoch as u64, &[change(1, leader_epoch, partition_epoch)]);
    }
    image
}

fn change(leader: i32, leader_epoch: i32, partition_epoch: i32) -> MetadataRecord {
    let isr = vec![leader];
    let change =
        PartitionChange { topic: ID, leader, leader_epoch, isr, partition_epoch, ..Default::default() };
    MetadataRecord::PartitionChange(change)
}

#[test]
fn a_partition_change_counts_only_on_the_state_it_was_decided_on() {
    // The partition has leader 1, leader epoch 2, partition epoch 2. Each row: leader, leader epoch and partition
    // epoch of the change, and whether it counts.
    let rows = [
        (1, 2, 3, true),
        (1, 3, 3, true),
        (2, 3, 3, true),
        (-1, 3, 3, true),
        (1, 3, 2, false),
        (1, 3, 4, false),
        (1, 3, 0, false),
        (1, 3, i32::MIN, false),
        (1, 1, 3, false),
        (2, 2, 3, false),
        (-1, 2, 3, false),
    ];
    for (leader, leader_epoch, partition_epoch, counts) in rows {
        let before = with_topic();
        let mut image = before.clone();
        image.apply(&change(leader, leader_epoch, partition_epoch), 9);
        assert_eq!(image != before, counts, "{leader} {leader_epoch} {partition_epoch}");
        if counts {
            let p = &image.topics[&ID].partitions[0];
            assert_eq!(
                (p.leader, p.leader_epoch, p.partition_epoch),
                (leader, leader_epoch, partition_epoch)
            );
            image.apply(&change(leader, leader_epoch, partition_epoch), 10);
            assert_eq!(image.topics[&ID].partitions[0].partition_epoch, partition_epoch, "twice is once");
        }
    }
}

proptest! {
    #[test]
    fn epochs_never_go_back_whatever_the_log_holds(
        changes in prop::collection::vec((-1i32..4, -1i32..9, -1i32..9), 0..40)
    ) {
        let mut image = with_topic();
        for (leader, leader_epoch, partition_epoch) in changes {
            let before = image.topics[&ID].partitions[0].clone();
            image.apply(&change(leader, leader_epoch, partition_epoch), 9);
            let after = &image.topics[&ID].partitions[0];
            prop_assert!(after.leader_epoch >= before.leader_epoch);
            let counted = i32::from(*after != before);
            prop_assert_eq!(after.partition_epoch, before.partition_epoch + counted);
            prop_assert!(after.leader == before.leader || after.leader_epoch > before.leader_epoch);
        }
    }
}

#[test]
fn a_broker_epoch_is_the_index_of_the_last_registration() {
    let mut image = Image::default();
    let register = |broker_id| {
        let (host, port, rack) = ("h".to_owned(), 9, None);
        [MetadataRecord::Broker { broker_id, host, port, rack }]
    };
    image.apply_batch(4, &register(1));
    image.apply_batch(7, &register(2));
    image.apply_batch(9, &register(1));
    assert_eq!((image.brokers[&1].epoch, image.brokers[&2].epoch, image.applied), (9, 7, 9));
}

#[test]
fn a_snapshot_of_an_earlier_build_opens() {
    let json = r#"{"cluster_id":"c","brokers":{"1":{"id":1,"host":"h","port":9,"rack":null}},"topics":
        {"07070707-0707-0707-0707-070707070707":{"id":"07070707-0707-0707-0707-070707070707","name":"t","partitions":
        [{"replicas":[1],"isr":[1],"leader":1,"leader_epoch":3,"partition_epoch":3,"opened":[1]}],"configs":{}}},
        "by_name":{"t":"07070707-0707-0707-0707-070707070707"},"next_producer_id":1000,"applied":12}"#;
    let mut image: Image = serde_json::from_str(json).unwrap();
    assert_eq!((image.brokers[&1].epoch, image.applied), (0, 12));
    image.apply(&change(1, 4, 4), 13);
    assert_eq!(image.topics[&ID].partitions[0].leader_epoch, 4);
    let again = serde_json::to_string(&image).unwrap();
    assert_eq!(serde_json::from_str::<Image>(&again).unwrap(), image);
}
