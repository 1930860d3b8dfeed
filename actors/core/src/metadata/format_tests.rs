//! A metadata log of a single node's build, from before records knew of clusters, still opens and means the same.
//!
//! `samples/log.jsonl` has the rows of its `log`, a batch a line from index 1 on. `image-6.json` and `image-8.json` are its
//! snapshots at these indexes. That build wrote all three, and none of them is ever written anew.

use super::{Broker, Image, LevelRange, Listener, MetadataRecord, Opened, Partition};
use crate::ids::{DirectoryId, TopicId};

const LOG: &str = include_str!("samples/log.jsonl");
const SNAPSHOTS: [(u64, &str); 2] =
    [(6, include_str!("samples/image-6.json")), (8, include_str!("samples/image-8.json"))];
const ORDERS: TopicId = TopicId([1; 16]);

fn fold(mut image: Image) -> Image {
    for (index, row) in (1u64..).zip(LOG.lines()) {
        if index > image.applied {
            let records: Vec<MetadataRecord> = serde_json::from_str(row).unwrap();
            assert_eq!(image.apply_batch(index, &records), [], "batch {index}");
        }
    }
    image
}

fn snapshot(json: &str) -> Image {
    serde_json::from_str(json).unwrap()
}

#[test]
fn log_and_snapshots_of_the_first_format_add_up_to_one_image() {
    let mut folded = fold(Image::default());
    assert_eq!((folded.applied, folded.deleted.len()), (8, 1));
    // A snapshot of that build does not say what was deleted before.
    folded.deleted.clear();
    for (index, json) in SNAPSHOTS {
        let image = snapshot(json);
        assert_eq!(image.applied, index);
        assert_eq!(fold(image), folded, "from index {index}");
    }
    let again = serde_json::to_string(&folded).unwrap();
    assert_eq!(snapshot(&again), folded, "and it is stored in the new form");
}

#[test]
fn what_the_first_format_lacks_has_a_meaning() {
    let image = fold(Image::default());
    let node = Broker {
        id: 1,
        epoch: 8,
        listeners: vec![Listener::plaintext("localhost", 9092)],
        rack: Some("r1".into()),
        ..Broker::default()
    };
    assert_eq!(image.brokers[&1], node);
    assert!(node.is_active(), "a node of that build is never fenced");
    assert_eq!((node.uuid, node.process, node.feature_level), (None, None, LevelRange { min: 0, max: 0 }));
    assert_eq!((image.cluster_epoch, image.feature_level), (0, None));
    assert_eq!(image.cluster_configs["min.insync.replicas"], "1", "the single node's value stays");
    let topic = image.topic("orders").unwrap();
    assert!(!topic.default_factor, "nothing says that the cluster chose the number of replicas");
    let opened = Opened { broker: 1, directory: None, shard: None };
    let expected = Partition {
        leader_epoch: 1,
        partition_epoch: 1,
        opened: [opened].into(),
        ..Partition::new(vec![1], vec![1])
    };
    assert_eq!(image.topics[&ORDERS].partitions[0], expected);
    assert!(expected.opened_by(1) && !expected.opened_by(2));
    assert!(expected.opened_in(1, DirectoryId([9; 16])), "a place without a directory is every directory");
    assert!(image.topics[&ORDERS].partitions[3].opened.is_empty());
}

#[test]
fn a_place_names_a_directory_from_now_on() {
    let mut image = fold(Image::default());
    let (here, there) = (DirectoryId([5; 16]), DirectoryId([6; 16]));
    let (topic, partition, broker_id, shard) = (ORDERS, 3, 1, Some(2));
    let record = MetadataRecord::ReplicaOpened { topic, partition, broker_id, directory: Some(here), shard };
    assert_eq!(image.apply(&record, 9), None);
    let p = &image.topics[&ORDERS].partitions[3];
    assert!(p.opened_in(1, here) && !p.opened_in(1, there) && p.opened_by(1), "R21");
    let again: Image = serde_json::from_str(&serde_json::to_string(&image).unwrap()).unwrap();
    assert_eq!(again, image);
}

#[test]
fn a_build_stops_at_a_record_that_it_does_not_know() {
    assert!(serde_json::from_str::<Vec<MetadataRecord>>(r#"[{"FromTheFuture":{"x":1}}]"#).is_err());
}
